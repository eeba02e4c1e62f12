// The chunks cache: id → how many references all archives have to a chunk, its size and its stored size. A Borg hash
// index with three value words, kept whole in the cache directory ("chunks") and, without free buckets, per archive
// (chunks.archive.d). A reference count that reached its maximum is never changed again. Borg's hashindex.pyx.

import { DELETED, HashIndex, HashIndexError, MAX_VALUE } from "../core/hashindex.ts";
import { loadCore } from "../core/index.ts";
import { FileIntegrityError, IntegrityError } from "../errors.ts";
import { toHex } from "../format/bytes.ts";
import type { Storage } from "../storage/types.ts";
import { FileHasher, HASH_HEADER_SIZE, verifyIntegrity } from "./integrity.ts";

export { MAX_VALUE };

const WORDS = 3;
const BUCKET = 32 + 4 * WORDS;
/** Words of a reference as ItemScanner tells it: eight of the id, size and compressed size. */
export const REFERENCE_WORDS = 10;

export interface ChunkEntry {
  refcount: number;
  size: number;
  csize: number;
}

/** Sums over all entries; bigint beyond 2^53. */
export interface ChunkSummary {
  totalSize: number | bigint;
  totalCsize: number | bigint;
  uniqueSize: number | bigint;
  uniqueCsize: number | bigint;
  totalUniqueChunks: number;
  totalChunks: number | bigint;
}

export class ChunkIndex {
  readonly index: HashIndex;

  constructor(index: HashIndex = HashIndex.create(WORDS, 0, true)) {
    this.index = index;
  }

  /** With room for so many entries. */
  static withCapacity(entries: number): ChunkIndex {
    return new ChunkIndex(HashIndex.create(WORDS, entries, true));
  }

  get size(): number {
    return this.index.size;
  }

  /** Number of references; 0 for a chunk that is not known. */
  seen(id: Uint8Array, offset = 0): number {
    const slot = this.index.find(id, offset);
    return slot < 0 ? 0 : this.index.word(slot, 0);
  }

  get(id: Uint8Array, offset = 0): ChunkEntry | undefined {
    const slot = this.index.find(id, offset);
    return slot < 0 ? undefined : this.entry(slot);
  }

  entry(slot: number): ChunkEntry {
    const { index } = this;
    return { refcount: index.word(slot, 0), size: index.word(slot, 1), csize: index.word(slot, 2) };
  }

  /** One reference more; gives the slot, for size and stored size. @throws IntegrityError if the chunk is not known */
  incref(id: Uint8Array, offset = 0): number {
    const slot = this.#mustFind(id, offset);
    const refcount = this.index.word(slot, 0);
    if (refcount !== MAX_VALUE) this.index.setWord(slot, 0, refcount + 1);
    return slot;
  }

  /** One reference less. At 0 the entry stays until it is removed. @throws IntegrityError if there is none to take */
  decref(id: Uint8Array, offset = 0): ChunkEntry {
    const slot = this.#mustFind(id, offset);
    const entry = this.entry(slot);
    if (entry.refcount === 0)
      throw new IntegrityError(`Chunk ${idHex(id, offset)} has no references left to remove.`);
    if (entry.refcount !== MAX_VALUE) this.index.setWord(slot, 0, --entry.refcount);
    return entry;
  }

  /** Adds references; size and stored size are those of the latest caller. */
  add(id: Uint8Array, offset: number, refs: number, size: number, csize: number): void {
    const { index } = this;
    const slot = index.find(id, offset);
    if (slot < 0) {
      index.insert(id, offset, refs, size, csize);
      return;
    }
    index.setWord(slot, 0, Math.min(index.word(slot, 0) + refs, MAX_VALUE));
    index.setWord(slot, 1, size);
    index.setWord(slot, 2, csize);
  }

  /** Adds one reference; size and stored size are set only if the chunk was not known. */
  reference(id: Uint8Array, offset: number, size: number, csize: number): void {
    const { index } = this;
    const slot = index.find(id, offset);
    if (slot < 0) index.insert(id, offset, 1, size, csize);
    else {
      const refcount = index.word(slot, 0);
      if (refcount !== MAX_VALUE) index.setWord(slot, 0, refcount + 1);
    }
  }

  /** As ItemScanner tells of them. */
  references(words: Uint32Array, from: number, count: number): void {
    const bytes = new Uint8Array(words.buffer, words.byteOffset, words.byteLength);
    const end = from + count * REFERENCE_WORDS;
    for (let i = from; i < end; i += REFERENCE_WORDS)
      this.reference(bytes, 4 * i, words[i + 8]!, words[i + 9]!);
  }

  remove(id: Uint8Array, offset = 0): void {
    const slot = this.index.find(id, offset);
    if (slot >= 0) this.index.remove(slot);
  }

  /** Adds all references of another index. */
  merge(other: ChunkIndex): void {
    const key = new Uint8Array(32);
    const { index } = other;
    for (let slot = index.next(-1); slot >= 0; slot = index.next(slot)) {
      index.copyKey(slot, key, 0);
      this.add(key, 0, index.word(slot, 0), index.word(slot, 1), index.word(slot, 2));
    }
  }

  /** Ids whose stored size is not known (archives made with --no-cache-sync). */
  zeroCsizeIds(): Uint8Array[] {
    const ids: Uint8Array[] = [];
    const { index } = this;
    for (let slot = index.next(-1); slot >= 0; slot = index.next(slot)) {
      if (index.word(slot, 2) === 0) ids.push(index.key(slot));
    }
    return ids;
  }

  summarize(): ChunkSummary {
    return summary(this.index);
  }

  #mustFind(id: Uint8Array, offset: number): number {
    const slot = this.index.find(id, offset);
    if (slot < 0) throw new IntegrityError(`Chunk ${idHex(id, offset)} is not in the chunks index.`);
    return slot;
  }

  /** Reads an index file; integrity: its JSON, undefined to verify nothing. compact: it has no free buckets.
   *  @throws ENOENT, FileIntegrityError for what is damaged */
  static load(
    storage: Storage,
    name: string,
    integrity: string | undefined,
    options: { compact?: boolean; integrityName?: string } = {},
  ): ChunkIndex {
    const path = `${storage.root}/${name}`;
    const file = storage.openRead(name);
    try {
      const index = HashIndex.load(
        file.size(),
        (into) => {
          if (file.read(into, 0) !== into.length) throw new FileIntegrityError(path);
          verifyIntegrity(path, options.integrityName ?? baseName(name), into, integrity, true);
        },
        WORDS,
        { compact: options.compact ?? false, shared: true },
      );
      return new ChunkIndex(index);
    } catch (error) {
      if (error instanceof HashIndexError) throw new FileIntegrityError(path);
      throw error;
    } finally {
      file.close();
    }
  }

  /** Writes the file; returns its integrity JSON. */
  save(storage: Storage, name: string): string {
    return writeHashed(storage, name, baseName(name), this.index.serialize());
  }

  /** Writes it without free buckets, as files of chunks.archive.d are: they are only ever iterated. */
  saveCompact(storage: Storage, name: string): string {
    return writeHashed(storage, name, baseName(name), this.#serializeCompact());
  }

  *#serializeCompact(): Iterable<Uint8Array> {
    const { index } = this;
    const buckets = Math.max(1, index.size);
    const header = new Uint8Array(HASH_HEADER_SIZE);
    const headerView = new DataView(header.buffer);
    header.set(Buffer.from("BORG_IDX", "latin1"));
    headerView.setInt32(8, index.size, true);
    headerView.setInt32(12, buckets, true);
    header[16] = 32;
    header[17] = 4 * WORDS;
    yield header;
    const piece = new Uint8Array(BUCKET * Math.min(buckets, 20_000));
    const view = new DataView(piece.buffer);
    let at = 0;
    for (let slot = index.next(-1); slot >= 0; slot = index.next(slot)) {
      if (at === piece.length) {
        yield piece;
        at = 0;
      }
      index.copyKey(slot, piece, at);
      for (let i = 0; i < WORDS; i++) view.setUint32(at + 32 + 4 * i, index.word(slot, i), true);
      at += BUCKET;
    }
    if (index.size === 0) {
      // Borg's form of an empty compact index: one bucket that was never used.
      view.setUint32(32, DELETED + 1, true);
      at = BUCKET;
    }
    yield piece.subarray(0, at);
  }
}

/** Counts an archive's references by the slots of the index of all archives, without a table of its own. The index must
 *  not change meanwhile. */
export class OwnReferences {
  readonly #master: HashIndex;
  readonly #counts: Uint32Array;
  #slots = new Int32Array(0);

  constructor(master: ChunkIndex) {
    this.#master = master.index;
    this.#counts = new Uint32Array(master.index.slots);
  }

  /** As ItemScanner tells of them. @throws IntegrityError if the index does not know a chunk */
  references(words: Uint32Array, from: number, count: number): void {
    if (count > this.#slots.length) this.#slots = new Int32Array(count);
    const slots = this.#slots;
    this.#master.findMany(words, from, REFERENCE_WORDS, count, slots);
    for (let i = 0; i < count; i++) {
      const slot = slots[i]!;
      if (slot < 0) {
        const id = words.slice(from + i * REFERENCE_WORDS).subarray(0, 8);
        throw new IntegrityError(`Chunk ${idHex(new Uint8Array(id.buffer), 0)} is not in the chunks index.`);
      }
      this.#counts[slot]!++;
    }
  }

  /** Sums over the chunks referenced here, where unique means: by nothing else. */
  summarize(): ChunkSummary {
    return summary(this.#master, this.#counts);
  }
}

function writeHashed(
  storage: Storage,
  name: string,
  hashedName: string,
  chunks: Iterable<Uint8Array>,
): string {
  const hasher = new FileHasher(hashedName);
  function* hashing(): Iterable<Uint8Array> {
    let first = true;
    for (const chunk of chunks) {
      hasher.update(chunk);
      // The header comes as a chunk of its own.
      if (first) hasher.part("HashHeader");
      first = false;
      yield chunk;
    }
  }
  storage.writeAtomic(name, hashing(), { mode: 0o600 });
  hasher.part("final");
  return hasher.data();
}

function baseName(name: string): string {
  return name.slice(name.lastIndexOf("/") + 1);
}

function idHex(id: Uint8Array, offset: number): string {
  return toHex(id.subarray(offset, offset + 32));
}

/** Buckets that the core adds up at a time. */
const SUMMED = 1024;
const SUMS = 6;

/** @param counts of the references that are meant, by slot; all there are without it */
function summary(index: HashIndex, counts?: Uint32Array): ChunkSummary {
  const core = loadCore();
  const sums = core.stageRegion(SUMS * 8 + SUMMED * (BUCKET + 4));
  const table = sums + SUMS * 8;
  const meant = table + SUMMED * BUCKET;
  const { u8, u32 } = core;
  u8.fill(0, sums, table);
  for (let slot = 0; slot < index.slots; slot += SUMMED) {
    const n = Math.min(SUMMED, index.slots - slot);
    u8.set(index.table(slot, n), table);
    if (counts) u32.set(counts.subarray(slot, slot + n), meant / 4);
    core.raw.sumChunks(table, n, counts ? meant : 0, sums);
  }
  const sum = (i: number): number | bigint => {
    const n = new BigUint64Array(core.memory.buffer, sums, SUMS)[i]!;
    return n <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(n) : n;
  };
  return {
    totalSize: sum(0),
    totalCsize: sum(1),
    uniqueSize: sum(2),
    uniqueCsize: sum(3),
    totalUniqueChunks: Number(sum(5)),
    totalChunks: sum(4),
  };
}
