// Borg's hash index (docs/internals/data-structures.rst, "HashIndex"; _hashindex.c): open addressing with linear
// probing over 32-byte keys and N little-endian u32 values, in the very layout of the files index.N and chunks, so that
// loading and saving are one read and one write. Where worker threads look up while the owner inserts, the table lives in a
// SharedArrayBuffer; elsewhere it is given back as soon as a larger one has taken its place. Unlike Borg's, a lookup never
// moves entries: slots stay valid until insert or remove.

import { collectGarbage } from "../runtime/collector.ts";
import { releaseBuffer } from "../runtime/heap.ts";

/** Value words that mark a bucket as never used and as a tombstone; no first value word may equal them. */
export const EMPTY = 0xffffffff;
export const DELETED = 0xfffffffe;
/** Largest value a first value word may have (Borg's MAX_VALUE, 0xfffffbff, leaves room for further marks). */
export const MAX_VALUE = 0xfffffbff;

const KEY_BYTES = 32;
const KEY_WORDS = 8;
const HEADER_BYTES = 18;
// Buckets start at a cache line; the header ends right before them, so that both are one contiguous range of the buffer.
const BODY = 64;
const HEADER = BODY - HEADER_BYTES;
// A word of the prefix that readers watch: non-zero once the owner moved to a bigger or cleaner table.
const RETIRED_WORD = 0;

// Borg's bucket counts. From 262147 on we grow by a fifth instead of by up to 2: after growth a table is then at least
// 0.62 full, and an entry of the repository index costs at most 64 bytes (Borg's: up to 106). Borg reads any count.
const BORG_SIZES = [1031, 2053, 4099, 8209, 16411, 32771, 65537, 131101, 262147];
const MAX_BUCKETS = 2062383853;

const bucketCounts: number[] = (() => {
  const counts = [...BORG_SIZES];
  for (let n = 262147; n < MAX_BUCKETS; ) {
    n = Math.min(Math.floor(n * 1.2) | 1, MAX_BUCKETS);
    counts.push(n);
  }
  return counts;
})();

const fitting = (buckets: number) => bucketCounts.find((n) => n >= buckets) ?? MAX_BUCKETS;
const grown = (buckets: number) => bucketCounts.find((n) => n > buckets) ?? MAX_BUCKETS;
const shrunk = (buckets: number) => bucketCounts.findLast((n) => n < buckets) ?? bucketCounts[0]!;

const lowerLimit = (buckets: number) => (buckets <= bucketCounts[0]! ? 0 : Math.floor(buckets * 0.25));
const upperLimit = (buckets: number) => (buckets >= MAX_BUCKETS ? buckets : Math.floor(buckets * 0.75));
/** Never-used buckets that must remain, so that a lookup of an absent key ends soon: Borg's effective load of 0.93. */
const minEmpty = (buckets: number) => 1 + Math.floor(buckets * (1 - 0.93));

/** What another thread needs to look up; may be posted to a worker. */
export interface HashIndexShare {
  buffer: SharedArrayBuffer;
  valueWords: number;
}

/** A file that is no hash index, or one that contradicts itself. */
export class HashIndexError extends Error {}

export class HashIndex {
  readonly valueWords: number;
  /** Entries in use. */
  size: number;
  private words: Uint32Array;
  private buckets: number;
  private empty: number;
  private readonly stride: number;
  private readonly readOnly: boolean;
  /** What touch() has seen: read by nobody, but it has to be looked for. */
  protected touched = 0;

  private constructor(
    buffer: ArrayBufferLike,
    valueWords: number,
    used: number,
    empty: number,
    readOnly = false,
  ) {
    this.valueWords = valueWords;
    this.stride = KEY_WORDS + valueWords;
    this.words = new Uint32Array(buffer);
    this.buckets = (this.words.length - BODY / 4) / this.stride;
    this.size = used;
    this.empty = empty;
    this.readOnly = readOnly;
  }

  /** An empty index. @param capacity entries that will fit without growing @param shared whether share() will be asked for */
  static create(valueWords: number, capacity = 0, shared = false): HashIndex {
    const buckets = fitting(Math.max(1, Math.ceil(capacity / 0.75)));
    return new HashIndex(allocate(valueWords, buckets, shared), valueWords, 0, buckets);
  }

  /** From a file's bytes. @throws HashIndexError where header, length and contents do not agree. */
  static parse(bytes: Uint8Array, valueWords: number, options: { compact?: boolean } = {}): HashIndex {
    return HashIndex.load(bytes.length, (into) => void into.set(bytes), valueWords, options);
  }

  /**
   * From a file of a given length, which `fill` reads straight into the table's memory.
   * With `compact`, a table without free buckets, as Borg's chunks.archive.d has, is accepted: it can be iterated only.
   * @throws HashIndexError
   */
  static load(
    length: number,
    fill: (into: Uint8Array) => void,
    valueWords: number,
    options: { compact?: boolean; shared?: boolean } = {},
  ): HashIndex {
    const stride = KEY_WORDS + valueWords;
    const buckets = (length - HEADER_BYTES) / (stride * 4);
    if (!Number.isInteger(buckets) || buckets < 1)
      throw new HashIndexError(`length ${length} does not fit an index`);
    const buffer = memory(BODY + buckets * stride * 4, options.shared === true);
    fill(new Uint8Array(buffer, HEADER, length));
    const entries = checkHeader(buffer, buckets, valueWords);
    let used = 0;
    let empty = 0;
    const words = new Uint32Array(buffer);
    for (let at = BODY / 4 + KEY_WORDS; at < words.length; at += stride) {
      const mark = words[at]!;
      if (mark === EMPTY) empty++;
      else if (mark <= MAX_VALUE) used++;
      else if (mark !== DELETED) throw new HashIndexError(`reserved value ${mark} in use`);
    }
    if (used !== entries)
      throw new HashIndexError(`${entries} entries according to the header, but ${used} are there`);
    const index = new HashIndex(buffer, valueWords, used, empty, options.compact === true);
    if (!options.compact && empty < minEmpty(buckets)) index.rebuild(index.comfortable(buckets));
    return index;
  }

  /** Looks up only, in another thread, while the owner inserts: what it finds is there; it may miss what is newer. */
  static attach(share: HashIndexShare): HashIndex {
    return new HashIndex(share.buffer, share.valueWords, -1, -1, true);
  }

  /** For attach(). A share goes out of date (see `outdated`) when the owner's table is rebuilt. */
  share(): HashIndexShare {
    const { buffer } = this.words;
    if (!(buffer instanceof SharedArrayBuffer))
      throw new HashIndexError("this index is not in shared memory");
    return { buffer, valueWords: this.valueWords };
  }

  /** For an attached view: the owner has moved on to another table, so a fresh share would miss less. */
  get outdated(): boolean {
    return Atomics.load(this.words, RETIRED_WORD) !== 0;
  }

  /** Slots of the table, used or not: all slot numbers are below. */
  get slots(): number {
    return this.buckets;
  }

  /** Bytes of the table in memory, and (less 46) of its file. */
  get byteLength(): number {
    return this.words.byteLength;
  }

  /** The slot of the key at key[keyOffset…+32], or −1. Valid until the next insert or remove. */
  find(key: Uint8Array, keyOffset = 0): number {
    const { words, stride, buckets } = this;
    const first = readWord(key, keyOffset);
    const start = first % buckets;
    let slot = start;
    let at = BODY / 4 + start * stride;
    do {
      const mark = words[at + KEY_WORDS]!;
      if (mark === EMPTY) return -1;
      if (words[at] === first && mark !== DELETED && sameKey(words, at, key, keyOffset)) return slot;
      at += stride;
      if (++slot === buckets) {
        slot = 0;
        at = BODY / 4;
      }
    } while (slot !== start);
    return -1;
  }

  /** Finds `count` keys, of which each is eight words, every `stride` words from `from` on; their slots, or −1, go into
   *  `slots`. The first bucket of each is looked at before anything depends on what it holds: the memory answers many such
   *  questions at a time, where find() waits for each. */
  findMany(keys: Uint32Array, from: number, stride: number, count: number, slots: Int32Array): void {
    const { words, buckets } = this;
    for (let i = 0, key = from; i < count; i++, key += stride) {
      const first = keys[key]!;
      const slot = first % buckets;
      slots[i] = words[BODY / 4 + slot * this.stride] === first ? slot : -1;
    }
    for (let i = 0, key = from; i < count; i++, key += stride) {
      const slot = slots[i]!;
      const at = BODY / 4 + slot * this.stride;
      let word = 0;
      if (slot >= 0 && words[at + KEY_WORDS]! < DELETED)
        for (word = 1; word < KEY_WORDS && words[at + word] === keys[key + word]; word++);
      if (word < KEY_WORDS)
        slots[i] = this.find(new Uint8Array(keys.buffer, keys.byteOffset + 4 * key, KEY_BYTES));
    }
  }

  /** Touches where `count` keys belong, at places[i · step] + offset each, before they are looked up or inserted one by one: the
   *  memory answers many such questions at a time, and what comes then finds them in the cache. */
  touch(keys: Uint8Array, places: Uint32Array, step: number, offset: number, count: number): void {
    const { words, stride, buckets } = this;
    let seen = 0;
    for (let i = 0; i < count; i++) {
      const at = BODY / 4 + (readWord(keys, places[i * step]! + offset) % buckets) * stride;
      seen ^= words[at]! ^ words[at + KEY_WORDS]!;
    }
    this.touched = seen;
  }

  has(key: Uint8Array, keyOffset = 0): boolean {
    return this.find(key, keyOffset) >= 0;
  }

  /** Value word i of a used slot. */
  word(slot: number, i: number): number {
    return this.words[BODY / 4 + slot * this.stride + KEY_WORDS + i]!;
  }

  setWord(slot: number, i: number, value: number): void {
    if (i === 0) checkFirst(value);
    this.words[BODY / 4 + slot * this.stride + KEY_WORDS + i] = value;
  }

  /** Sets the entry of a key, whether it is there or not; gives its slot. Slots known before become invalid. */
  insert(key: Uint8Array, keyOffset: number, w0: number, w1 = 0, w2 = 0, w3 = 0): number {
    if (this.readOnly) throw new HashIndexError("this view of an index is read-only");
    checkFirst(w0);
    let slot = this.place(key, keyOffset);
    if (slot < 0) {
      slot = ~slot;
      if (this.size > upperLimit(this.buckets)) {
        this.grow();
        slot = this.freeSlot(key, keyOffset);
      }
      if (this.mark(slot) === EMPTY) {
        if (this.empty <= minEmpty(this.buckets)) {
          this.rebuild(this.buckets);
          slot = this.freeSlot(key, keyOffset);
        }
        this.empty--;
      }
      this.size++;
      writeKey(this.words, BODY / 4 + slot * this.stride, key, keyOffset);
    }
    const at = BODY / 4 + slot * this.stride + KEY_WORDS;
    const { words, valueWords } = this;
    if (valueWords > 1) words[at + 1] = w1;
    if (valueWords > 2) words[at + 2] = w2;
    if (valueWords > 3) words[at + 3] = w3;
    // Last, and not before the key is visible: this is what makes the bucket exist for other threads.
    Atomics.store(words, at, w0);
    return slot;
  }

  /** Removes a used slot. All slots become invalid, because the table may shrink. */
  remove(slot: number): void {
    if (this.readOnly) throw new HashIndexError("this view of an index is read-only");
    this.words[BODY / 4 + slot * this.stride + KEY_WORDS] = DELETED;
    this.size--;
    if (this.size < lowerLimit(this.buckets)) this.rebuild(shrunk(this.buckets));
  }

  /** A copy of a used slot's key. */
  key(slot: number): Uint8Array {
    const at = BODY + slot * this.stride * 4;
    return new Uint8Array(this.words.buffer, at, KEY_BYTES).slice();
  }

  /** Copies a used slot's key to into[offset…+32], without allocating. */
  copyKey(slot: number, into: Uint8Array, offset: number): void {
    const at = BODY / 4 + slot * this.stride;
    for (let i = 0; i < KEY_WORDS; i++) {
      const w = this.words[at + i]!;
      into[offset + 4 * i] = w;
      into[offset + 4 * i + 1] = w >>> 8;
      into[offset + 4 * i + 2] = w >>> 16;
      into[offset + 4 * i + 3] = w >>> 24;
    }
  }

  /** The next used slot after `slot`, in table order; start with −1, ends with −1. */
  next(slot: number): number {
    const { words, stride, buckets } = this;
    let at = BODY / 4 + (slot + 1) * stride + KEY_WORDS;
    for (let i = slot + 1; i < buckets; i++, at += stride) {
      if (words[at]! < DELETED) return i;
    }
    return -1;
  }

  /** The bytes of `count` buckets from a slot on, as they are in the file: a view, valid until the next change. */
  table(slot: number, count: number): Uint8Array {
    return new Uint8Array(this.words.buffer, BODY + slot * this.stride * 4, count * this.stride * 4);
  }

  /** The file's bytes in order, as views of the table: write them before the next change. First the 18-byte header. */
  *serialize(): Iterable<Uint8Array> {
    const buffer = this.words.buffer;
    const view = new DataView(buffer, HEADER, HEADER_BYTES);
    view.setInt32(8, this.size, true);
    yield new Uint8Array(buffer, HEADER, HEADER_BYTES);
    const step = 4 << 20;
    for (let at = BODY; at < buffer.byteLength; at += step) {
      yield new Uint8Array(buffer, at, Math.min(step, buffer.byteLength - at));
    }
  }

  /** Bytes that serialize() gives in all: what Borg calls the index's size. */
  get fileSize(): number {
    return this.words.byteLength - HEADER;
  }

  private mark(slot: number): number {
    return this.words[BODY / 4 + slot * this.stride + KEY_WORDS]!;
  }

  /** The slot of a key, or the complement of the one it would get: the first tombstone or free one on the way. */
  private place(key: Uint8Array, keyOffset: number): number {
    const { words, stride, buckets } = this;
    const first = readWord(key, keyOffset);
    const start = first % buckets;
    let slot = start;
    let at = BODY / 4 + start * stride;
    let free = -1;
    do {
      const mark = words[at + KEY_WORDS]!;
      if (mark === EMPTY) return ~(free < 0 ? slot : free);
      if (mark === DELETED) {
        if (free < 0) free = slot;
      } else if (words[at] === first && sameKey(words, at, key, keyOffset)) return slot;
      at += stride;
      if (++slot === buckets) {
        slot = 0;
        at = BODY / 4;
      }
    } while (slot !== start);
    if (free < 0) throw new HashIndexError("the index is full");
    return ~free;
  }

  /** The first bucket for a key that is not there: a tombstone where one is on the way. */
  private freeSlot(key: Uint8Array, keyOffset: number): number {
    let slot = readWord(key, keyOffset) % this.buckets;
    for (let probes = 0; probes < this.buckets; probes++) {
      if (this.mark(slot) >= DELETED) return slot;
      if (++slot === this.buckets) slot = 0;
    }
    throw new HashIndexError("the index is full");
  }

  /** Smallest count from `buckets` up at which the entries are below the load limit. */
  private comfortable(buckets: number): number {
    while (this.size > upperLimit(buckets) && buckets < MAX_BUCKETS) buckets = grown(buckets);
    return buckets;
  }

  private grow(): void {
    if (this.buckets < MAX_BUCKETS) this.rebuild(grown(this.buckets));
    else if (this.size >= this.buckets) throw new HashIndexError("the index is full");
  }

  private rebuild(buckets: number): void {
    const old = this.words;
    const { stride } = this;
    buckets = this.comfortable(buckets);
    const shared = old.buffer instanceof SharedArrayBuffer;
    const words = new Uint32Array(allocate(this.valueWords, buckets, shared));
    for (let at = BODY / 4; at < old.length; at += stride) {
      if (old[at + KEY_WORDS]! >= DELETED) continue;
      let slot = old[at]! % buckets;
      let to = BODY / 4 + slot * stride;
      while (words[to + KEY_WORDS] !== EMPTY) {
        to += stride;
        if (++slot === buckets) {
          slot = 0;
          to = BODY / 4;
        }
      }
      for (let i = 0; i < stride; i++) words[to + i] = old[at + i]!;
    }
    this.words = words;
    this.buckets = buckets;
    this.empty = buckets - this.size;
    if (shared) Atomics.store(old, RETIRED_WORD, 1);
    else releaseBuffer(new Uint8Array(old.buffer));
  }
}

/** Bytes of a table whose predecessor is worth a garbage collection. */
const LARGE = 16 << 20;

/** A shared table stays until each thread that has known it has noticed that nobody there does any more, which might take
 *  longer than the backup. Called when a larger one has come. A collection costs 10 ms in each thread: the 3 MB of 100,000 chunks
 *  are not worth that. */
export function leaveSharedTable(next: HashIndexShare): void {
  if (next.buffer.byteLength >= LARGE) collectGarbage();
}

function memory(bytes: number, shared: boolean): ArrayBufferLike {
  return shared ? new SharedArrayBuffer(bytes) : new ArrayBuffer(bytes);
}

function allocate(valueWords: number, buckets: number, shared: boolean): ArrayBufferLike {
  const stride = KEY_WORDS + valueWords;
  const buffer = memory(BODY + buckets * stride * 4, shared);
  const words = new Uint32Array(buffer);
  for (let at = BODY / 4 + KEY_WORDS; at < words.length; at += stride) words[at] = EMPTY;
  const header = new DataView(buffer, HEADER, HEADER_BYTES);
  for (let i = 0; i < 8; i++) header.setUint8(i, "BORG_IDX".charCodeAt(i));
  header.setInt32(12, buckets, true);
  header.setInt8(16, KEY_BYTES);
  header.setInt8(17, valueWords * 4);
  return buffer;
}

function checkHeader(buffer: ArrayBufferLike, buckets: number, valueWords: number): number {
  const header = new DataView(buffer, HEADER, HEADER_BYTES);
  for (let i = 0; i < 8; i++) {
    if (header.getUint8(i) !== "BORG_IDX".charCodeAt(i))
      throw new HashIndexError("not a hash index (wrong magic)");
  }
  if (header.getInt8(16) !== KEY_BYTES)
    throw new HashIndexError(`key size ${header.getInt8(16)}, expected 32`);
  if (header.getInt8(17) !== valueWords * 4) {
    throw new HashIndexError(`value size ${header.getInt8(17)}, expected ${valueWords * 4}`);
  }
  if (header.getInt32(12, true) !== buckets)
    throw new HashIndexError("number of buckets and length do not agree");
  const entries = header.getInt32(8, true);
  if (entries < 0 || entries > buckets) throw new HashIndexError(`impossible number of entries: ${entries}`);
  return entries;
}

function checkFirst(value: number): void {
  if (!(value >= 0 && value <= MAX_VALUE)) throw new HashIndexError(`value ${value} is out of range`);
}

function readWord(key: Uint8Array, at: number): number {
  return (key[at]! | (key[at + 1]! << 8) | (key[at + 2]! << 16) | (key[at + 3]! << 24)) >>> 0;
}

function sameKey(words: Uint32Array, at: number, key: Uint8Array, offset: number): boolean {
  for (let i = 1; i < KEY_WORDS; i++) if (words[at + i] !== readWord(key, offset + 4 * i)) return false;
  return true;
}

function writeKey(words: Uint32Array, at: number, key: Uint8Array, offset: number): void {
  if (key.length < offset + KEY_BYTES) throw new HashIndexError("a key has 32 bytes");
  for (let i = 0; i < KEY_WORDS; i++) words[at + i] = readWord(key, offset + 4 * i);
}
