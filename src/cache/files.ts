// The files cache: hash of a file's path → (age, inode, size, ctime or mtime, chunk ids), which lets an unchanged file
// be backed up without reading it. On disk a stream of msgpack [hash, [age, inode, size, time, ids]], read and written
// by Borg too (cache.py). Kept as the file's own bytes, with a place and an age for each entry: nothing is decoded but the one
// that is asked for.

import type { Core } from "../core/index.ts";
import { AlcoveError, describeSystemError, FileIntegrityError } from "../errors.ts";
import { writeUint } from "../format/msgpack-uint.ts";
import { splitNanoseconds } from "../format/nanoseconds.ts";
import type { LogLevel } from "../log-level.ts";
import type { Storage } from "../storage/types.ts";
import type { BareMarks } from "./bare-files.ts";
import { ADDED, EntryStore } from "./entry-store.ts";
import { DEAD, EntryTable } from "./entry-table.ts";
import type { FilesCacheMode } from "./files-mode.ts";
import { EntryReader, ID_STRIDE } from "./filesformat.ts";
import { FileHasher, verifyIntegrity } from "./integrity.ts";

export { ID_STRIDE };

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

/** Bytes of a write. */
const BLOCK = 1 << 18;
/** Bytes of a short entry: the table's first size is made for as many as there may be. */
const SHORT_ENTRY = 64;
/** Where the time is among the numbers. */
const TIME = 4;
const MAX_AGE = 254;
const NO_MARKS: BareMarks = { make: false, trust: false };

export class FilesCache {
  readonly mode: FilesCacheMode;
  /** Entries may say that their file has no extended attributes, and are believed. */
  readonly marksBare: boolean;
  /** Bytes that chunkOffset refers to, after lookup gave UNCHANGED. To be read at once: they may move. */
  buffer: Uint8Array;
  /** Where the first chunk id is; further ones are ID_STRIDE bytes apart. */
  chunkOffset = 0;
  chunkCount = 0;

  readonly #store: EntryStore;
  readonly #table: EntryTable;
  /** Newest time of a file that was added, as nanoseconds in two halves; #anyAdded false: none was. */
  #newestHi = 0;
  #newestLo = 0;
  #anyAdded = false;
  /** Newest time of a file that was unchanged. */
  #seenHi = 0;
  #seenLo = 0;
  /** Inode, size and time of an entry, upper and lower halves. */
  readonly #numbers = new Uint32Array(6);
  /** Has scanned the entry that lookup() has found last, where it is as the file is. */
  #found: EntryReader | undefined;
  /** Entries that were read and say that their file has no extended attributes. */
  #bare = 0;

  private constructor(mode: FilesCacheMode, store: EntryStore, marks: BareMarks) {
    const { bytes } = store.old;
    this.mode = mode;
    // They are about a ctime, and an inode.
    this.marksBare = marks.make && mode.time === "ctime" && mode.inode;
    this.#store = store;
    this.#table = new EntryTable(store, Math.ceil(bytes.length / SHORT_ENTRY));
    this.buffer = bytes;
  }

  /** A cache without entries. */
  static empty(mode: FilesCacheMode, marks: BareMarks = NO_MARKS): FilesCache {
    return new FilesCache(mode, new EntryStore(new Uint8Array(0)), marks);
  }

  /** From a file's bytes; every entry becomes one backup older. @throws IntegrityError for what is no files cache */
  static parse(mode: FilesCacheMode, bytes: Uint8Array, marks: BareMarks = NO_MARKS): FilesCache {
    return FilesCache.#of(mode, new EntryStore(bytes), marks);
  }

  static #of(mode: FilesCacheMode, store: EntryStore, marks: BareMarks): FilesCache {
    const cache = new FilesCache(mode, store, marks);
    const reader = store.old;
    for (let at = 0; at < reader.bytes.length; ) {
      const end = reader.pass(at);
      if (reader.isBare) {
        if (marks.trust) cache.#bare++;
        else reader.setBare(false);
      }
      cache.#table.append(at, Math.min(reader.age + 1, MAX_AGE));
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
    marks: BareMarks = NO_MARKS,
  ): FilesCache {
    let why: string;
    let store: EntryStore | undefined;
    try {
      store = EntryStore.read(storage, name, core);
      verifyIntegrity(`${storage.root}/${name}`, name, store.old.bytes, integrity, false);
      return FilesCache.#of(mode, store, marks);
    } catch (error) {
      if (error instanceof FileIntegrityError) why = "The files cache is corrupted";
      else if (error instanceof AlcoveError) why = `The files cache seems invalid: ${error.message}`;
      else if ((error as NodeJS.ErrnoException).code) {
        why = `The files cache cannot be read: ${describeSystemError(error as NodeJS.ErrnoException)}`;
      } else throw error;
    }
    store?.close();
    log("warning", `${why}. Going on without it: every file will be read.`);
    return FilesCache.empty(mode, marks);
  }

  /** Gives memory back. Nothing else may be called then. */
  close(): void {
    this.#store.close();
  }

  /** Entries. */
  get size(): number {
    return this.#table.size;
  }

  /** Of most files it is known that they have no extended attributes: it costs less to list those of the others, one by one. */
  get isMostlyBare(): boolean {
    return this.marksBare && 2 * this.#bare > this.#table.count;
  }

  /** Whether the file of this path hash (32 bytes at hashOffset) is UNKNOWN, known but CHANGED, or UNCHANGED; then
   *  buffer, chunkOffset and chunkCount give its chunk ids, and it stays in the cache. Regular files only. */
  lookup(hash: Uint8Array, hashOffset: number, st: FileStamp): number {
    const { mode } = this;
    this.#found = undefined;
    if (mode.rechunk || mode.disabled) return UNKNOWN;
    const store = this.#store;
    const table = this.#table;
    store.refresh();
    const entry = table.findNext(hash, hashOffset);
    if (entry < 0) return UNKNOWN;
    const place = table.place(entry);
    const reader = store.reader(place);
    reader.scan(store.offset(place));
    const sameInode = same(reader.inodeHi, reader.inodeLo, st.ino);
    if (this.#hasChanged(reader, st, sameInode)) {
      table.noteChanged(entry);
      return CHANGED;
    }
    this.chunkCount = reader.idCount;
    this.noteTime(reader.timeHi, reader.timeLo);
    if (sameInode) {
      this.#found = reader;
      this.buffer = reader.bytes;
      this.chunkOffset = reader.idsAt;
      table.setAge(entry, 0);
      return UNCHANGED;
    }
    this.#keepInode(entry, reader, hash, hashOffset, st);
    return UNCHANGED;
  }

  /** Whether the entry of the file that was UNCHANGED last says that it has no extended attributes. */
  get isBare(): boolean {
    return this.marksBare && this.#found?.isBare === true;
  }

  /** Lets it say so, where marksBare, of a file whose attributes were listed after its status was asked for; or no more. */
  setBare(bare: boolean): void {
    this.#found?.setBare(bare && this.marksBare);
  }

  /** Where the core finds the entries from the expected one on, by address, and its number; undefined where it cannot look. */
  get expected(): { core: Core; at: number; end: number; entry: number } | undefined {
    const { mode } = this;
    const { home } = this.#store;
    const entry = this.#table.expected;
    if (!home || mode.rechunk || mode.disabled || entry >= this.#table.count) return undefined;
    const place = this.#table.place(entry);
    return place < ADDED
      ? { core: home.core, at: home.at + place, end: home.at + home.length, entry }
      : undefined;
  }

  /** An entry that the core has found as expected, and its file unchanged; the next one is expected then. False where it does
   *  not count. */
  keepKnown(entry: number): boolean {
    const table = this.#table;
    if (table.age(entry) === DEAD) return false;
    table.setAge(entry, 0);
    table.expected = entry + 1;
    return true;
  }

  /** The time of an unchanged file, as nanoseconds in two halves: the newest of several. */
  noteTime(hi: number, lo: number): void {
    if (!isOlder(this.#seenHi, this.#seenLo, hi, lo)) return;
    this.#seenHi = hi;
    this.#seenLo = lo;
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
    const place = this.#store.add(hash, hashOffset, numbers, bytes, idsAt, ID_STRIDE, idCount);
    this.#table.move(entry, place);
    this.#table.setAge(entry, 0);
    const added = this.#store.reader(place);
    added.scan(this.#store.offset(place));
    this.buffer = added.bytes;
    this.chunkOffset = added.idsAt;
  }

  /** Keeps a file that was read: its count chunk ids, 32 bytes each, lie one after the other in ids, from idsAt on. The next
   *  backup finds entries fastest in the order in which it asks for them.
   *  @param bare as in setBare() */
  memorize(
    hash: Uint8Array,
    hashOffset: number,
    st: FileStamp,
    ids: Uint8Array,
    count: number,
    bare = false,
    idsAt = 0,
  ): void {
    if (this.mode.disabled) return;
    this.#store.refresh();
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
    const place = this.#store.add(hash, hashOffset, numbers, ids, idsAt, 32, count, bare && this.marksBare);
    const entry = this.#table.findChanged(hash, hashOffset);
    if (entry < 0) this.#table.append(place, 0, true);
    else {
      this.#table.move(entry, place);
      this.#table.setAge(entry, 0);
    }
  }

  /** Writes the file, without what is too old and without the files that are as new as the newest one added: within
   *  the granularity of its time such a file may change unseen. Returns the integrity JSON. */
  save(storage: Storage, name: string, ttl: number): string {
    const hasher = new FileHasher(name);
    // So that hashing a block does not let the memory grow in which the next piece lies.
    this.#store.home?.core.stageRegion(BLOCK);
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
    const store = this.#store;
    const table = this.#table;
    // Of a stretch: a place in it, and its ends.
    let of = 0;
    let from = 0;
    let to = 0;
    const stretch = (): Uint8Array => {
      store.refresh();
      return store.reader(of).bytes.subarray(from, to);
    };
    // Then none of the files that were unchanged is too new.
    const olderAll = !this.#anyAdded || isOlder(this.#seenHi, this.#seenLo, this.#newestHi, this.#newestLo);
    for (let entry = 0; entry < table.count; entry++) {
      const age = table.age(entry);
      if (age === DEAD) continue;
      store.refresh();
      const place = table.place(entry);
      const reader = store.reader(place);
      const at = store.offset(place);
      const { bytes } = reader;
      // In the file as it was an entry ends where the next one begins: most need not be read.
      const same = bytes[at + EntryReader.AGE_AT] === age && age < 0x80 && (age > 0 || olderAll);
      const behind = same && place < ADDED && entry + 1 < table.count ? table.place(entry + 1) : ADDED;
      const known = behind < ADDED;
      const next = known ? behind : reader.scan(at);
      if (age === 0 ? !known && !this.#isKept(reader) : age >= ttl) continue;
      if (known || age === reader.age) {
        if (at !== to || reader !== store.reader(of)) {
          if (to > from) yield stretch();
          of = place;
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
