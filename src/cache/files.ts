// The files cache: hash of a file's path → (age, inode, size, ctime or mtime, chunk ids), which lets an unchanged file
// be backed up without reading it. On disk a stream of msgpack [hash, [age, inode, size, time, ids]], read and written
// by Borg too (cache.py). Kept as the file's own bytes plus 5 bytes an entry, its place and age. Nothing is decoded but the
// one entry that is asked for. Backups ask in the order in which the one before has written: so the next entry is looked at
// first; a filter of 16 bits an entry knows most hashes that none has; then all are looked at, one after the other, and a
// table of their hashes (8 bytes an entry) is made when that was necessary too often.

import type { Core } from "../core/index.ts";
import { AlcoveError, describeSystemError, FileIntegrityError } from "../errors.ts";
import { writeUint } from "../format/msgpack-uint.ts";
import { splitNanoseconds } from "../format/nanoseconds.ts";
import type { LogLevel } from "../log-level.ts";
import type { Storage } from "../storage/types.ts";
import { EntryReader, ID_STRIDE, writeEntry } from "./filesformat.ts";
import { FileHasher, verifyIntegrity } from "./integrity.ts";

export { ID_STRIDE };

/** What of a file's status must be the same for it to count as unchanged (--files-cache). */
export interface FilesCacheMode {
  /** Which time is kept and compared; undefined compares none and keeps ctime. */
  time: "ctime" | "mtime" | undefined;
  size: boolean;
  inode: boolean;
  /** Every file is read; the cache is only updated. */
  rechunk: boolean;
  disabled: boolean;
}

/** Status of a regular file. Times as seconds and nanoseconds. */
export interface FileStamp {
  size: number;
  ino: number | bigint;
  mtimeSec: number;
  mtimeNsec: number;
  ctimeSec: number;
  ctimeNsec: number;
}

/** Answers of lookup. */
export const UNKNOWN = 0;
export const CHANGED = 1;
export const UNCHANGED = 2;

const DEFAULT_TTL = 20;
// Entries' places are 32 bits, half of them for what is added.
const MAX_BYTES = 0x7fffffff;
const BLOCK = 1 << 18;
/** A fourth of what a core can have. */
const MOST_IN_CORE = 512 << 20;
/** Where the time is among the numbers. */
const TIME = 4;
/** Set in a place: the entry is among the added ones. */
const ADDED = 0x80000000;
/** Entries from the expected one on that are looked at first: some may be of files that are gone. */
const NEAR = 8;
/** How often all entries are looked at before a table of them is made. */
const MOST_SEARCHES = 16;
const DEAD = 255;
const MAX_AGE = 254;

const MODE_LETTERS: Record<string, string> = {
  ctime: "c",
  mtime: "m",
  size: "s",
  inode: "i",
  rechunk: "r",
  disabled: "d",
};
const VALID_MODES = ["cis", "ims", "cs", "ms", "cr", "mr", "d", "s"];

/** The mode of a comma-separated list, e.g. "ctime,size,inode". @throws AlcoveError */
export function parseFilesCacheMode(text: string): FilesCacheMode {
  const letters = new Set<string>();
  for (const word of text.trim().split(",")) {
    const letter = Object.hasOwn(MODE_LETTERS, word) ? MODE_LETTERS[word]! : "";
    if (!letter)
      throw new AlcoveError(
        `The files cache mode "${word}" is none of ${Object.keys(MODE_LETTERS).join(", ")}.`,
      );
    letters.add(letter);
  }
  if (!VALID_MODES.includes([...letters].sort().join(""))) {
    throw new AlcoveError(`The files cache cannot work with the mode "${text}".`);
  }
  return {
    time: letters.has("m") ? "mtime" : letters.has("c") ? "ctime" : undefined,
    size: letters.has("s"),
    inode: letters.has("i"),
    rechunk: letters.has("r"),
    disabled: letters.has("d"),
  };
}

/** "files", or "files.SUFFIX" with BORG_FILES_CACHE_SUFFIX. */
export function filesCacheName(env: Readonly<Record<string, string | undefined>>): string {
  const suffix = env["BORG_FILES_CACHE_SUFFIX"];
  return suffix ? `files.${suffix}` : "files";
}

/** BORG_FILES_CACHE_TTL: how many backups an entry survives without its file being seen. @throws AlcoveError */
export function filesCacheTtl(env: Readonly<Record<string, string | undefined>>): number {
  const text = env["BORG_FILES_CACHE_TTL"];
  if (text === undefined) return DEFAULT_TTL;
  if (!/^\s*[+-]?\d+\s*$/.test(text)) throw new AlcoveError(`BORG_FILES_CACHE_TTL is not a number: ${text}`);
  return Number(text);
}

export class FilesCache {
  readonly mode: FilesCacheMode;
  /** Bytes that chunkOffset refers to, after lookup gave UNCHANGED. */
  buffer: Uint8Array;
  /** Where the first chunk id is; further ones are ID_STRIDE bytes apart. */
  chunkOffset = 0;
  chunkCount = 0;

  #old: Uint8Array;
  #oldReader: EntryReader;
  /** Where the file's bytes are in a core's memory, whose views do not survive its growth. */
  readonly #home: Home | undefined;
  #added = new Uint8Array(1 << 16);
  #addedReader = new EntryReader(this.#added);
  #addedEnd = 0;
  /** Place of each entry: its offset, with ADDED set in #added. */
  #places = new Uint32Array(1024);
  /** Age of each entry; DEAD where another has taken its place. */
  #ages = new Uint8Array(1024);
  #count = 0;
  #dead = 0;
  /** Entry number + 1 by hash; 0 is free. Without length where there is none yet. */
  #table = new Int32Array(0);
  #searches = 0;
  /** Bits of hashes' first words: an entry has none of which the bit is not set. Used while there is no table. */
  #filter = new Uint32Array(0);
  /** The entry that the next lookup is likely to ask for. */
  #expected = 0;
  /** Entries of files that have changed, in the order in which they were asked for and will be memorized, and how many of
   *  them have been. */
  readonly #changed: number[] = [];
  #memorized = 0;
  /** Newest time of a file that was added, as nanoseconds in two halves; #anyAdded false: none was. */
  #newestHi = 0;
  #newestLo = 0;
  #anyAdded = false;
  /** Newest time of a file that was unchanged. */
  #seenHi = 0;
  #seenLo = 0;
  /** Inode, size and time of an entry, upper and lower halves. */
  readonly #numbers = new Uint32Array(6);

  private constructor(mode: FilesCacheMode, old: Uint8Array, home?: Home) {
    this.mode = mode;
    this.#home = home;
    this.#old = old;
    this.#oldReader = new EntryReader(old);
    this.buffer = old;
    if (old.length === 0) this.#index();
  }

  /** A cache without entries. */
  static empty(mode: FilesCacheMode): FilesCache {
    return new FilesCache(mode, new Uint8Array(0));
  }

  /** From a file's bytes; every entry becomes one backup older. @throws IntegrityError for what is no files cache */
  static parse(mode: FilesCacheMode, bytes: Uint8Array, home?: Home): FilesCache {
    if (bytes.length > MAX_BYTES) throw new AlcoveError("the files cache is larger than 2 GiB");
    const cache = new FilesCache(mode, bytes, home);
    const reader = cache.#oldReader;
    // About 75 bytes an entry with one chunk.
    const estimate = Math.ceil(bytes.length / 64);
    cache.#reserve(estimate);
    let words = 1024;
    while (words < estimate / 2) words *= 2;
    cache.#filter = new Uint32Array(words);
    for (let at = 0; at < bytes.length; ) {
      const end = reader.pass(at);
      cache.#append(at, Math.min(reader.age + 1, MAX_AGE));
      at = end;
    }
    return cache;
  }

  /** Reads the file; damage is told, and the cache is empty then: that costs time, no data.
   *  @param core where the file's bytes shall be in its memory */
  static load(
    storage: Storage,
    name: string,
    mode: FilesCacheMode,
    integrity: string | undefined,
    log: (level: LogLevel, message: string) => void,
    core?: Core,
  ): FilesCache {
    let why: string;
    try {
      const { bytes, home } = read(storage, name, core);
      verifyIntegrity(`${storage.root}/${name}`, name, bytes, integrity, false);
      return FilesCache.parse(mode, bytes, home);
    } catch (error) {
      if (error instanceof FileIntegrityError) why = "The files cache is corrupted";
      else if (error instanceof AlcoveError) why = `The files cache seems invalid: ${error.message}`;
      else if ((error as NodeJS.ErrnoException).code) {
        why = `The files cache cannot be read: ${describeSystemError(error as NodeJS.ErrnoException)}`;
      } else throw error;
    }
    log("warning", `${why}. Going on without it: every file will be read.`);
    return FilesCache.empty(mode);
  }

  /** Entries. */
  get size(): number {
    return this.#count - this.#dead;
  }

  /** Whether the file of this path hash (32 bytes at hashOffset) is UNKNOWN, known but CHANGED, or UNCHANGED; then
   *  buffer, chunkOffset and chunkCount give its chunk ids, and it stays in the cache. Regular files only. */
  lookup(hash: Uint8Array, hashOffset: number, st: FileStamp): number {
    const { mode } = this;
    if (mode.rechunk || mode.disabled) return UNKNOWN;
    this.#refresh();
    const entry = this.#findNext(hash, hashOffset);
    if (entry < 0) return UNKNOWN;
    const place = this.#places[entry]!;
    const reader = place >= ADDED ? this.#addedReader : this.#oldReader;
    const at = place >= ADDED ? place - ADDED : place;
    reader.scan(at);
    const sameInode = same(reader.inodeHi, reader.inodeLo, st.ino);
    if (this.#hasChanged(reader, st, sameInode)) {
      this.#changed.push(entry);
      return CHANGED;
    }
    this.chunkCount = reader.idCount;
    this.noteTime(reader.timeHi, reader.timeLo);
    if (sameInode) {
      this.buffer = reader.bytes;
      this.chunkOffset = reader.idsAt;
      this.#ages[entry] = 0;
      return UNCHANGED;
    }
    this.#keepInode(entry, reader, hash, hashOffset, st);
    return UNCHANGED;
  }

  /** Where the core finds the entries from the expected one on, by address, and its number; undefined where it cannot look. */
  get expected(): { core: Core; at: number; end: number; entry: number } | undefined {
    const { mode } = this;
    const entry = this.#expected;
    if (!this.#home || mode.rechunk || mode.disabled || entry >= this.#count) return undefined;
    const { core, at, length } = this.#home;
    const place = this.#places[entry]!;
    return place >= ADDED ? undefined : { core, at: at + place, end: at + length, entry };
  }

  /** An entry that the core has found as expected, and its file unchanged; the next one is expected then. False where it does
   *  not count. */
  keepKnown(entry: number): boolean {
    if (this.#ages[entry] === DEAD) return false;
    this.#ages[entry] = 0;
    this.#expected = entry + 1;
    return true;
  }

  /** The time of an unchanged file, as nanoseconds in two halves: the newest of several. */
  noteTime(hi: number, lo: number): void {
    if (hi < this.#seenHi || (hi === this.#seenHi && lo <= this.#seenLo)) return;
    this.#seenHi = hi;
    this.#seenLo = lo;
  }

  #refresh(): void {
    if (!this.#home || this.#old.length === this.#home.length) return;
    const { core, at, length } = this.#home;
    this.#old = core.view(at, length);
    this.#oldReader = new EntryReader(this.#old);
  }

  #hasChanged(reader: EntryReader, st: FileStamp, sameInode: boolean): boolean {
    const { mode } = this;
    if (mode.size && !same(reader.sizeHi, reader.sizeLo, st.size)) return true;
    if (mode.inode && !sameInode) return true;
    if (mode.time === undefined) return false;
    const numbers = this.#numbers;
    const fits =
      mode.time === "ctime"
        ? splitNanoseconds(st.ctimeSec, st.ctimeNsec, numbers, TIME)
        : splitNanoseconds(st.mtimeSec, st.mtimeNsec, numbers, TIME);
    return !fits || reader.timeHi !== numbers[TIME] || reader.timeLo !== numbers[TIME + 1];
  }

  /** The inode was not compared, because the files have moved to another file system, say. The new one is kept, so that
   *  comparing it works again the next time. */
  #keepInode(entry: number, reader: EntryReader, hash: Uint8Array, hashOffset: number, st: FileStamp): void {
    const { bytes, idsAt, idCount } = reader;
    const numbers = this.#numbers;
    putHalves(numbers, 0, st.ino);
    numbers[2] = reader.sizeHi;
    numbers[3] = reader.sizeLo;
    numbers[4] = reader.timeHi;
    numbers[5] = reader.timeLo;
    const offset = this.#write(hash, hashOffset, bytes, idsAt, ID_STRIDE, idCount);
    this.#places[entry] = (offset | ADDED) >>> 0;
    this.#ages[entry] = 0;
    this.buffer = this.#added;
    this.#addedReader.scan(offset);
    this.chunkOffset = this.#addedReader.idsAt;
  }

  /** Keeps a file that was read: its count chunk ids, 32 bytes each, lie one after the other in ids. */
  memorize(hash: Uint8Array, hashOffset: number, st: FileStamp, ids: Uint8Array, count: number): void {
    if (this.mode.disabled) return;
    this.#refresh();
    const useMtime = this.mode.time === "mtime";
    const numbers = this.#numbers;
    putHalves(numbers, 0, st.ino);
    putHalves(numbers, 2, st.size);
    // Before 1970: kept as zero, so that the file is read each time.
    if (
      !splitNanoseconds(
        useMtime ? st.mtimeSec : st.ctimeSec,
        useMtime ? st.mtimeNsec : st.ctimeNsec,
        numbers,
        TIME,
      )
    )
      numbers.fill(0, TIME);
    const hi = numbers[TIME]!;
    const lo = numbers[TIME + 1]!;
    if (!this.#anyAdded || hi > this.#newestHi || (hi === this.#newestHi && lo > this.#newestLo)) {
      this.#newestHi = hi;
      this.#newestLo = lo;
    }
    this.#anyAdded = true;
    const offset = this.#write(hash, hashOffset, ids, 0, 32, count);
    const place = (offset | ADDED) >>> 0;
    const entry = this.#findChanged(hash, hashOffset);
    if (entry < 0) this.#append(place, 0);
    else {
      this.#places[entry] = place;
      this.#ages[entry] = 0;
    }
  }

  /** Writes the file, without what is too old and without the files that are as new as the newest one added: within
   *  the granularity of its time such a file may change unseen. Returns the integrity JSON. */
  save(storage: Storage, name: string, ttl: number): string {
    const hasher = new FileHasher(name);
    // So that hashing a block does not let the memory grow in which the next piece lies.
    this.#home?.core.stageRegion(BLOCK);
    const chunks = gathered(this.#serialize(ttl));
    function* hashing(): Iterable<Uint8Array> {
      for (const chunk of chunks) {
        hasher.update(chunk);
        yield chunk;
      }
    }
    storage.writeAtomic(name, hashing(), { mode: 0o600 });
    hasher.part("final");
    return hasher.data();
  }

  *#serialize(ttl: number): Iterable<Uint8Array> {
    // Entries that lie one after the other and whose age is as it was go together, without being copied: most of them,
    // where every backup sees the same files.
    let isOld = true;
    let from = 0;
    let to = 0;
    const stretch = (): Uint8Array => {
      this.#refresh();
      return (isOld ? this.#old : this.#added).subarray(from, to);
    };
    // Then none of the files that were unchanged is too new.
    const olderAll = !this.#anyAdded || isOlder(this.#seenHi, this.#seenLo, this.#newestHi, this.#newestLo);
    for (let entry = 0; entry < this.#count; entry++) {
      const age = this.#ages[entry]!;
      if (age === DEAD) continue;
      this.#refresh();
      const place = this.#places[entry]!;
      const reader = place >= ADDED ? this.#addedReader : this.#oldReader;
      const at = place >= ADDED ? place - ADDED : place;
      const { bytes } = reader;
      const behind = this.#places[entry + 1];
      // In the file as it was an entry ends where the next one begins: most need not be read.
      const same = bytes[at + EntryReader.AGE_AT] === age && age < 0x80 && (age > 0 || olderAll);
      const known = same && place < ADDED && entry + 1 < this.#count && behind! < ADDED;
      const next = known ? behind! : reader.scan(at);
      if (age === 0 ? !known && !this.#isKept(reader) : age >= ttl) continue;
      if (known || age === reader.age) {
        if (place < ADDED !== isOld || at !== to) {
          if (to > from) yield stretch();
          isOld = place < ADDED;
          from = at;
        }
        to = next;
        continue;
      }
      const { ageAt, inodeAt } = reader;
      const renewed = new Uint8Array(next - at + 8);
      renewed.set(bytes.subarray(at, ageAt));
      const end = writeUint(renewed, ageAt - at, 0, age);
      renewed.set(bytes.subarray(inodeAt, next), end);
      if (to > from) yield stretch();
      from = to = 0;
      yield renewed.subarray(0, end + next - inodeAt);
    }
    if (to > from) yield stretch();
  }

  #isKept({ timeHi, timeLo }: EntryReader): boolean {
    return !this.#anyAdded || isOlder(timeHi, timeLo, this.#newestHi, this.#newestLo);
  }

  /** Adds an entry of #numbers to #added. @returns its offset */
  #write(
    hash: Uint8Array,
    hashOffset: number,
    ids: Uint8Array,
    idsAt: number,
    stride: number,
    count: number,
  ): number {
    if (hash.length < hashOffset + 32) throw new RangeError("a path hash has 32 bytes");
    const need = 36 + 1 + 1 + 3 * 9 + 5 + count * ID_STRIDE;
    if (this.#addedEnd + need > this.#added.length) {
      if (this.#addedEnd + need > MAX_BYTES) throw new AlcoveError("The files cache would exceed 2 GiB.");
      const grown = new Uint8Array(Math.max(this.#addedEnd + need, 2 * this.#added.length));
      grown.set(this.#added.subarray(0, this.#addedEnd));
      this.#added = grown;
      this.#addedReader = new EntryReader(grown);
    }
    const at = this.#addedEnd;
    this.#addedEnd = writeEntry(this.#added, at, hash, hashOffset, this.#numbers, ids, idsAt, stride, count);
    return at;
  }

  #append(place: number, age: number): void {
    this.#reserve(this.#count + 1);
    const entry = this.#count++;
    this.#places[entry] = place;
    this.#ages[entry] = age;
    if (this.#table.length > 0) this.#add(entry);
    else {
      const bytes = place >= ADDED ? this.#added : this.#old;
      const bit = word(bytes, (place >= ADDED ? place - ADDED : place) + EntryReader.HASH_AT);
      this.#filter[(bit >>> 5) & (this.#filter.length - 1)]! |= 1 << bit;
    }
  }

  /** Room for so many entries. */
  #reserve(entries: number): void {
    if (entries > this.#places.length) {
      const size = Math.max(entries, 2 * this.#places.length);
      const places = new Uint32Array(size);
      places.set(this.#places);
      this.#places = places;
      const ages = new Uint8Array(size);
      ages.set(this.#ages);
      this.#ages = ages;
    }
    if (this.#table.length > 0 && entries * 2 > this.#table.length) this.#index();
  }

  /** Makes the table of all entries, with room for as many again. */
  #index(): void {
    let size = 2048;
    while (size < this.#count * 3) size *= 2;
    this.#table = new Int32Array(size);
    this.#filter = new Uint32Array(0);
    for (let entry = 0; entry < this.#count; entry++) if (this.#ages[entry] !== DEAD) this.#add(entry);
  }

  /** Adds an entry to the table. */
  #add(entry: number): void {
    const duplicate = this.#insert(entry);
    if (duplicate < 0) return;
    // Borg's dict keeps the last of two.
    this.#ages[duplicate] = DEAD;
    this.#dead++;
  }

  /** The entry of a hash, which is likely to be behind the one that was asked for before; −1 if there is none. */
  #findNext(hash: Uint8Array, hashOffset: number): number {
    const near = this.#near(this.#expected, hash, hashOffset);
    const entry = near < 0 ? this.#find(hash, hashOffset) : near;
    if (entry >= 0) this.#expected = entry + 1;
    return entry;
  }

  #near(from: number, hash: Uint8Array, hashOffset: number): number {
    const end = Math.min(from + NEAR, this.#count);
    for (let entry = from; entry < end; entry++)
      if (this.#ages[entry] !== DEAD && this.#hashIs(entry, hash, hashOffset)) return entry;
    return -1;
  }

  /** The entry of a file that was read, which is likely to be the next one of those that have changed. */
  #findChanged(hash: Uint8Array, hashOffset: number): number {
    const end = Math.min(this.#memorized + NEAR, this.#changed.length);
    for (let i = this.#memorized; i < end; i++) {
      const entry = this.#changed[i]!;
      if (this.#ages[entry] === DEAD || !this.#hashIs(entry, hash, hashOffset)) continue;
      this.#memorized = i + 1;
      return entry;
    }
    return this.#find(hash, hashOffset);
  }

  #find(hash: Uint8Array, hashOffset: number): number {
    if (this.#table.length === 0) {
      const bit = word(hash, hashOffset);
      if ((this.#filter[(bit >>> 5) & (this.#filter.length - 1)]! & (1 << bit)) === 0) return -1;
      if (this.#searches++ < MOST_SEARCHES) return this.#search(hash, hashOffset);
      this.#index();
    }
    const mask = this.#table.length - 1;
    for (let i = word(hash, hashOffset) & mask; ; i = (i + 1) & mask) {
      const entry = this.#table[i]! - 1;
      if (entry < 0) return -1;
      if (this.#hashIs(entry, hash, hashOffset)) return entry;
    }
  }

  /** The last entry of a hash, found without the table. */
  #search(hash: Uint8Array, hashOffset: number): number {
    const ages = this.#ages;
    for (let entry = this.#count - 1; entry >= 0; entry--)
      if (ages[entry] !== DEAD && this.#hashIs(entry, hash, hashOffset)) return entry;
    return -1;
  }

  /** Puts an entry into the table; returns the one of the same hash that it replaces, or −1. */
  #insert(entry: number): number {
    const place = this.#places[entry]!;
    const bytes = place >= ADDED ? this.#added : this.#old;
    const hashAt = (place >= ADDED ? place - ADDED : place) + EntryReader.HASH_AT;
    const mask = this.#table.length - 1;
    for (let i = word(bytes, hashAt) & mask; ; i = (i + 1) & mask) {
      const other = this.#table[i]! - 1;
      if (other >= 0 && !this.#hashIs(other, bytes, hashAt)) continue;
      this.#table[i] = entry + 1;
      return other;
    }
  }

  #hashIs(entry: number, hash: Uint8Array, offset: number): boolean {
    const place = this.#places[entry]!;
    const bytes = place >= ADDED ? this.#added : this.#old;
    const at = (place >= ADDED ? place - ADDED : place) + EntryReader.HASH_AT;
    for (let i = 0; i < 32; i++) if (bytes[at + i] !== hash[offset + i]) return false;
    return true;
  }
}

/** Bytes of a file in a core's memory. */
interface Home {
  core: Core;
  at: number;
  length: number;
}

/** Reads a file, into the core's memory where there is one and the file is not too large for it. */
function read(storage: Storage, name: string, core: Core | undefined): { bytes: Uint8Array; home?: Home } {
  if (!core) return { bytes: storage.read(name) };
  const file = storage.openRead(name);
  try {
    const size = file.size();
    if (size > MOST_IN_CORE) return { bytes: storage.read(name) };
    const at = core.alloc(size);
    const length = file.read(core.view(at, size), 0);
    return { bytes: core.view(at, length), home: { core, at, length } };
  } finally {
    file.close();
  }
}

/** Pieces in blocks worth a write call: small ones are copied together, large ones go as they are. */
function* gathered(pieces: Iterable<Uint8Array>): Iterable<Uint8Array> {
  const block = new Uint8Array(BLOCK);
  let end = 0;
  for (const piece of pieces) {
    const alone = piece.length > BLOCK / 4;
    if (end > 0 && (alone || end + piece.length > BLOCK)) {
      yield block.subarray(0, end);
      end = 0;
    }
    if (alone) yield piece;
    else {
      block.set(piece, end);
      end += piece.length;
    }
  }
  if (end > 0) yield block.subarray(0, end);
}

function word(bytes: Uint8Array, at: number): number {
  return bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
}

function putHalves(out: Uint32Array, at: number, n: number | bigint): void {
  if (typeof n === "number") {
    out[at] = Math.floor(n / 4294967296);
    out[at + 1] = n;
  } else {
    const unsigned = BigInt.asUintN(64, n);
    out[at] = Number(unsigned >> 32n);
    out[at + 1] = Number(unsigned & 0xffffffffn);
  }
}

function isOlder(hi: number, lo: number, thanHi: number, thanLo: number): boolean {
  return hi !== thanHi ? hi < thanHi : lo < thanLo;
}

function same(hi: number, lo: number, n: number | bigint): boolean {
  if (typeof n === "number") return hi * 4294967296 + lo === n;
  return (BigInt(hi) << 32n) + BigInt(lo) === n;
}
