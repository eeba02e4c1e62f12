// Plain files of a walk one after another that have to be read, and what the walk found between them. Nothing is made
// for a file: what is known of it lies in tables until its chunks arrive, and then its item goes straight into the run's
// piece of the item stream. A run is part of one worker's job, so its files are done in their order.
import { type FilesCache, ID_STRIDE } from "../../cache/files.ts";
import { type AlcoveWarning, FileChangedWarning } from "../../errors.ts";
import { fsDecode } from "../../format/bytes.ts";
import { splitNanoseconds } from "../../format/nanoseconds.ts";
import { readStamp, STAT, Stat } from "../../runtime/index.ts";
import type { ChunkRef, Item } from "../item.ts";
import { ItemDecoder } from "../item-decoder.ts";
import { ItemEncoder } from "../item-encoder.ts";
import type { MetadataCollector } from "../metadata-capture.ts";
import type { PlainFile } from "../plain-item.ts";
import type { Statistics } from "../stats.ts";
import { CHANGED, type FreshStat, type JobWriter, RACE } from "./messages.ts";
import { problemOf, type ReadError, type RunOfFiles } from "./pending-file.ts";
import type { ScanReader } from "./scan-channel.ts";

/** What the items of a run need to be complete. */
export interface RunContext {
  files: FilesCache;
  stats: Statistics;
  collector: MetadataCollector;
}

const MOST_FILES = 256;
/** Bytes of items from which on a run takes no more. */
const FULL_BYTES = 1 << 17;
const DIGEST = 32;
const ID = 32;

// Numbers of a file.
const SIZE = 0;
const INO = 1;
const MTIME = 2; // seconds, nanoseconds
const CTIME = 4;
const ATIME = 6;
const MODE = 8;
const UID = 9;
const GID = 10;
const PATH_AT = 11; // in #paths
const PATH_LENGTH = 12;
const BEHIND = 13; // bytes of #behind that come before the file
const BARE = 14; // whether its entry of the files cache may say that it has no attributes
const IDS_AT = 15; // in the ids; of a file that is complete, and negative where the files cache must not know it
const ID_COUNT = 16;
const NUMBERS = 17;

/** Upper half from which on a time does not fit 63 bits. */
const TOO_LATE = 0x80000000;

/** Halves of a time's nanoseconds; false where a plain item cannot have it. */
export function plainTime(sec: number, nsec: number, out: Uint32Array, at: number): boolean {
  return splitNanoseconds(sec, nsec, out, at) && out[at]! < TOO_LATE;
}

export function aPlainFile(collector: MetadataCollector): PlainFile {
  return {
    paths: new Uint8Array(0),
    pathAt: 0,
    pathEnd: 0,
    mode: 0,
    // Nobody's, so that the first file's names are asked for.
    uid: -1,
    gid: -1,
    user: null,
    group: null,
    times: new Uint32Array(6),
    hasChangeTime: collector.keepsChangeTime,
    hasAccessTime: collector.keepsAccessTime,
    ids: new Uint8Array(0),
    idsAt: 0,
    idStride: ID_STRIDE,
    chunkCount: 0,
    sizes: new Uint32Array(64),
    size: 0,
  };
}

export class FileRun implements RunOfFiles {
  /** Problems and changes seen while reading, in order. */
  readonly told: { path: string; warning: AlcoveWarning }[] = [];
  /** Files that were replaced between the walk and the reading, and where in the items they belong. */
  readonly raced: { path: string; at: number }[] = [];
  /** Entries: files, and those between them. */
  count = 0;
  #open = true;
  readonly #context: RunContext;
  readonly #items = new ItemEncoder(1 << 16);
  readonly #behind = new ItemEncoder(1 << 12);
  #passed = 0;
  #paths = new Uint8Array(1 << 14);
  #pathsEnd = 0;
  #files = 0;
  #done = 0;
  readonly #numbers = new Float64Array(MOST_FILES * NUMBERS);
  readonly #digests = new Uint8Array(MOST_FILES * DIGEST);
  readonly #file: PlainFile;
  readonly #stamp = { size: 0, ino: 0, mtimeSec: 0, mtimeNsec: 0, ctimeSec: 0, ctimeNsec: 0 };
  /** Checkpoints that hold part files of this run. */
  #checkpoints = 0;

  constructor(context: RunContext) {
    this.#context = context;
    this.#file = { ...aPlainFile(context.collector), ids: new Uint8Array(64 * ID), idStride: ID };
  }

  /** Starts over. */
  reset(): this {
    this.count = this.#pathsEnd = this.#files = this.#done = this.#passed = this.#checkpoints = 0;
    this.told.length = this.raced.length = 0;
    this.#items.consume(this.#items.length);
    this.#behind.consume(this.#behind.length);
    this.#file.chunkCount = this.#file.idsAt = 0;
    this.#open = true;
    return this;
  }

  close(): void {
    this.#open = false;
  }

  /** Whether something may be added. */
  get takesMore(): boolean {
    return this.#open && this.#files < MOST_FILES && this.#items.length + this.#behind.length < FULL_BYTES;
  }

  /** Everything in it is complete. */
  get isDone(): boolean {
    return this.#done === this.#files;
  }

  /** Adds the file that the reader is at. @param job has room for its request @param digest where its path's hash is
   *  @param bare as in FilesCache.memorize() */
  add(job: JobWriter, reader: ScanReader, digests: Uint8Array, digest: number, bare: boolean): void {
    const { numbers: from, statAt: s } = reader;
    const size = from[s + STAT.size]!;
    const stamp = this.#stamp;
    readStamp(from, s, stamp);
    const { bytes, pathAt, pathEnd } = reader;
    const mode = from[s + STAT.mode]!;
    if (!job.addBytes(bytes, pathAt, pathEnd, false, mode, stamp.ino, size, stamp.ctimeSec, stamp.ctimeNsec))
      throw new RangeError("create: a request does not fit into its job");
    const n = this.#numbers;
    const at = this.#files * NUMBERS;
    n[at + SIZE] = size;
    n[at + INO] = stamp.ino;
    n[at + MTIME] = stamp.mtimeSec;
    n[at + MTIME + 1] = stamp.mtimeNsec;
    n[at + CTIME] = stamp.ctimeSec;
    n[at + CTIME + 1] = stamp.ctimeNsec;
    n[at + ATIME] = from[s + STAT.atimeSec]!;
    n[at + ATIME + 1] = from[s + STAT.atimeNsec]!;
    n[at + MODE] = mode;
    n[at + UID] = from[s + STAT.uid]!;
    n[at + GID] = from[s + STAT.gid]!;
    n[at + PATH_AT] = this.#keep(bytes, pathAt, pathEnd);
    n[at + PATH_LENGTH] = pathEnd - pathAt;
    n[at + BEHIND] = this.#behind.length;
    n[at + BARE] = bare ? 1 : 0;
    const to = this.#files * DIGEST;
    for (let i = 0; i < DIGEST; i++) this.#digests[to + i] = digests[digest + i]!;
    this.#files++;
    this.count++;
  }

  #keep(bytes: Uint8Array, from: number, to: number): number {
    const at = this.#pathsEnd;
    const end = at + to - from;
    if (end > this.#paths.length) {
      const paths = new Uint8Array(Math.max(2 * this.#paths.length, end));
      paths.set(this.#paths);
      this.#paths = paths;
    }
    const paths = this.#paths;
    for (let i = at; i < end; i++) paths[i] = bytes[from + i - at]!;
    this.#pathsEnd = end;
    return at;
  }

  /** Adds what is complete already, to be encoded by the caller. @param count entries */
  between(count = 1): ItemEncoder {
    this.count += count;
    return this.isDone ? this.#items : this.#behind;
  }

  /** Adds the item of a file that was read again. @param at as in `raced`; the last one first */
  insert(at: number, item: Item): void {
    this.#items.insert(at, item);
  }

  /** The items, once it is done: a view. */
  items(): Uint8Array {
    return this.#items.bytes();
  }

  /** Path of the file that was added last. */
  get lastPath(): string {
    return this.#files > 0 ? this.#path(this.#files - 1) : "";
  }

  // What its worker tells, in the files' order.

  chunk(bytes: Uint8Array, idAt: number, size: number, csize: number): void {
    const file = this.#file;
    const n = file.chunkCount++;
    const at = file.idsAt + n * ID;
    if (at + ID > file.ids.length) {
      const ids = new Uint8Array(2 * file.ids.length);
      ids.set(file.ids);
      file.ids = ids;
    }
    if (2 * n + 2 > file.sizes.length) {
      const sizes = new Uint32Array(2 * file.sizes.length);
      sizes.set(file.sizes);
      file.sizes = sizes;
    }
    for (let k = 0; k < ID; k++) file.ids[at + k] = bytes[idAt + k]!;
    file.sizes[2 * n] = size;
    file.sizes[2 * n + 1] = csize;
  }

  end(flags: number, fresh: FreshStat | undefined): undefined {
    const { stats, collector } = this.#context;
    const file = this.#file;
    const n = this.#numbers;
    const i = this.#next();
    const at = i * NUMBERS;
    stats.nfiles++;
    const pathAt = n[at + PATH_AT]!;
    file.paths = this.#paths;
    file.pathAt = pathAt + (this.#paths[pathAt] === 0x2f ? 1 : 0);
    file.pathEnd = pathAt + n[at + PATH_LENGTH]!;
    if (fresh) {
      n[at + SIZE] = fresh.size;
      n[at + MTIME] = fresh.mtimeSec;
      n[at + MTIME + 1] = fresh.mtimeNsec;
      n[at + CTIME] = fresh.ctimeSec;
      n[at + CTIME + 1] = fresh.ctimeNsec;
      // Attributes were listed before the file was opened: a fresh ctime may tell of new ones.
      n[at + BARE] = 0;
      // What was found when the file was opened is not what the walk saw.
      this.#items.encode(this.#item(i, Object.assign(new Stat(), fresh), this.#chunks()));
    } else {
      const { times } = file;
      plainTime(n[at + MTIME]!, n[at + MTIME + 1]!, times, 0);
      plainTime(n[at + CTIME]!, n[at + CTIME + 1]!, times, 2);
      plainTime(n[at + ATIME]!, n[at + ATIME + 1]!, times, 4);
      file.mode = n[at + MODE]!;
      file.uid = n[at + UID]!;
      file.gid = n[at + GID]!;
      file.user = collector.user(file.uid);
      file.group = collector.group(file.gid);
      file.size = 0;
      for (let k = 0; k < file.chunkCount; k++) file.size += file.sizes[2 * k]!;
      this.#items.plain(file);
    }
    if (flags & CHANGED) {
      this.#tell(i, (path) => new FileChangedWarning(path));
      n[at + IDS_AT] = -1;
    } else {
      n[at + IDS_AT] = file.idsAt;
      n[at + ID_COUNT] = file.chunkCount;
      file.idsAt += file.chunkCount * ID;
    }
    this.#finished();
  }

  /** Lets the files cache know what was read, in the walk's order. */
  memorize(): void {
    const { files } = this.#context;
    const n = this.#numbers;
    const stamp = this.#stamp;
    const { ids } = this.#file;
    for (let i = 0, at = 0; i < this.#files; i++, at += NUMBERS) {
      if (n[at + IDS_AT]! < 0) continue;
      stamp.size = n[at + SIZE]!;
      stamp.ino = n[at + INO]!;
      stamp.mtimeSec = n[at + MTIME]!;
      stamp.mtimeNsec = n[at + MTIME + 1]!;
      stamp.ctimeSec = n[at + CTIME]!;
      stamp.ctimeNsec = n[at + CTIME + 1]!;
      const bare = n[at + BARE] === 1;
      files.memorize(this.#digests, i * DIGEST, stamp, ids, n[at + ID_COUNT]!, bare, n[at + IDS_AT]!);
    }
  }

  fail(error: ReadError): ChunkRef[] {
    const i = this.#next();
    this.#numbers[i * NUMBERS + IDS_AT] = -1;
    if (error.code === RACE) this.raced.push({ path: this.#path(i), at: this.#items.length });
    else this.#tell(i, (path) => problemOf(path, error));
    const chunks = this.#chunks();
    this.#finished();
    return chunks;
  }

  /** For a checkpoint: part files with all chunks that are referenced here and in no item of the stream yet. */
  partItems(): Item[] {
    const found: Item[] = [];
    const decoder = new ItemDecoder();
    for (const bytes of [this.#items.bytes(), this.#behind.bytes().subarray(this.#passed)]) {
      decoder.feed(bytes.slice());
      for (let item = decoder.next(); item; item = decoder.next()) if (item.chunks?.length) found.push(item);
    }
    const chunks = this.#chunks();
    if (chunks.length > 0) found.push(this.#item(this.#done, this.#stat(this.#done), chunks));
    const part = ++this.#checkpoints;
    return found.map((item) => ({ ...item, path: `${item.path}.borg_part_${part}`, part }));
  }

  #tell(i: number, warning: (path: string) => AlcoveWarning): void {
    const path = this.#path(i);
    this.told.push({ path, warning: warning(path) });
  }

  /** The number of the file whose end arrived; what was found before it goes into the stream. */
  #next(): number {
    const i = this.#done;
    this.#pass(this.#numbers[i * NUMBERS + BEHIND]!);
    return i;
  }

  #finished(): void {
    this.#file.chunkCount = 0;
    this.#done++;
    if (!this.isDone) return;
    this.#pass(this.#behind.length);
    this.#behind.consume(this.#behind.length);
    this.#passed = 0;
  }

  #pass(to: number): void {
    if (to > this.#passed) this.#items.append(this.#behind.bytes().subarray(this.#passed, to));
    this.#passed = to;
  }

  #path(i: number): string {
    const at = this.#numbers[i * NUMBERS + PATH_AT]!;
    return fsDecode(this.#paths.subarray(at, at + this.#numbers[i * NUMBERS + PATH_LENGTH]!));
  }

  #chunks(): ChunkRef[] {
    const { ids, idsAt, sizes, chunkCount } = this.#file;
    return Array.from({ length: chunkCount }, (_, i) => ({
      id: ids.slice(idsAt + i * ID, idsAt + (i + 1) * ID),
      size: sizes[2 * i]!,
      csize: sizes[2 * i + 1]!,
    }));
  }

  #item(i: number, stat: Stat, chunks: ChunkRef[]): Item {
    return {
      ...this.#context.collector.statSimpleAttrs(stat),
      path: this.#path(i).replace(/^\//, ""),
      hardlink_master: false,
      chunks,
      size: chunks.reduce((sum, c) => sum + c.size, 0),
    };
  }

  /** What the walk saw of a file, as far as its item shows it. */
  #stat(i: number): Stat {
    const n = this.#numbers.subarray(i * NUMBERS, (i + 1) * NUMBERS);
    return Object.assign(new Stat(), {
      mode: n[MODE]!,
      uid: n[UID]!,
      gid: n[GID]!,
      mtimeSec: n[MTIME]!,
      mtimeNsec: n[MTIME + 1]!,
      ctimeSec: n[CTIME]!,
      ctimeNsec: n[CTIME + 1]!,
      atimeSec: n[ATIME]!,
      atimeNsec: n[ATIME + 1]!,
    });
  }
}
