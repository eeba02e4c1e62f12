// Plain files of a walk: from its bytes through files cache and chunk index into the item stream, or to the workers,
// without an object, a string or a bigint for a file. Path hashes are computed for a slot's files together. Whatever is
// out of the ordinary (attributes, ACLs, flags, hard links, times before 1970) goes the way of all other entries, which
// knows everything.
import { type FileStamp, type FilesCache, ID_STRIDE, UNCHANGED } from "../cache/files.ts";
import { choose } from "../core/choose.ts";
import { createHasher, type Hasher } from "../core/hasher.ts";
import { fsEncode } from "../format/bytes.ts";
import { fs, readStamp, STAT } from "../runtime/index.ts";
import type { ChunkStore } from "./chunk-store.ts";
import { isRegular } from "./constants.ts";
import { idHasherKind } from "./ids.ts";
import type { MetadataCollector } from "./metadata-capture.ts";
import { aPlainFile, type FileRun, plainTime } from "./pipeline/file-run.ts";
import type { JobWriter } from "./pipeline/messages.ts";
import { ScanReader, type ScanSlot, XATTRS_NONE } from "./pipeline/scan-channel.ts";
import type { PlainFile } from "./plain-item.ts";

const MOST_FILES = 2048;
const PATH_BYTES = 512 << 10;
const DIGEST = 32;
const SLASH = 0x2f;
const DOT = 0x2e;
/** What is larger is an entry of its own, which checkpoints know how to take apart. */
const LARGEST = 1 << 20;

/** Answers of look(): not to be treated as plain; unchanged, with all its chunks referenced; to be read. */
export const SPECIAL = 0;
export const KNOWN = 1;
export const TO_READ = 2;

export class PlainFiles {
  /** The item of the file that look() called KNOWN; its sizes and ids are good until the next call. */
  readonly file: PlainFile;
  readonly #files: FilesCache;
  readonly #store: ChunkStore;
  readonly #collector: MetadataCollector;
  readonly #hasher: Hasher;
  /** The working directory with a slash, for relative paths. */
  readonly #prefix: Uint8Array;
  readonly #digests = new Uint8Array(MOST_FILES * DIGEST);
  /** Positions in the slot of the hashed files, ascending, and the one that look() expects next. */
  readonly #hashed = new Uint32Array(MOST_FILES);
  #count = 0;
  #next = 0;
  /** Number of the digest of the file that was looked at last; -1 for none. */
  #current = -1;
  readonly #asksForNames: boolean;
  readonly #stamp: FileStamp = { size: 0, ino: 0, mtimeSec: 0, mtimeNsec: 0, ctimeSec: 0, ctimeNsec: 0 };

  constructor(files: FilesCache, store: ChunkStore, collector: MetadataCollector, cwd: string) {
    this.#files = files;
    this.#store = store;
    this.#collector = collector;
    const { core, key } = store.objects;
    this.#hasher = createHasher(core, idHasherKind(key.material), choose());
    this.#prefix = fsEncode(`${cwd}/`);
    this.#asksForNames = collector.asksForNames;
    this.file = aPlainFile(collector);
  }

  /** Hashes the paths of the files of a slot that look() may be asked for. */
  begin(slot: ScanSlot): void {
    const { core } = this.#store.objects;
    const stage = core.stageRegion(PATH_BYTES + MOST_FILES * (8 + DIGEST));
    const [table, digests] = [stage + PATH_BYTES, stage + PATH_BYTES + MOST_FILES * 8];
    const { u8, u32 } = core;
    const end = stage + PATH_BYTES;
    const reader = new ScanReader(slot);
    let at = stage;
    let n = 0;
    for (; n < MOST_FILES && reader.next(); ) {
      if (!this.#isPlain(reader)) continue;
      const { pathAt, pathLength } = reader;
      const start = at;
      const relative = slot.bytes[pathAt] !== SLASH;
      if (at + pathLength + (relative ? this.#prefix.length : 0) > end) break;
      if (relative) {
        u8.set(this.#prefix, at);
        at += this.#prefix.length;
      }
      for (let i = 0; i < pathLength; i++) u8[at++] = slot.bytes[pathAt + i]!;
      u32[table / 4 + 2 * n] = start;
      u32[table / 4 + 2 * n + 1] = at - start;
      this.#hashed[n++] = pathAt;
    }
    this.#hasher.many(table, n, digests);
    this.#digests.set(core.u8.subarray(digests, digests + n * DIGEST));
    this.#count = n;
    this.#next = 0;
    this.#current = -1;
  }

  /** What the reader is at, in the order of the slot. KNOWN: `file` is its item. */
  look(reader: ScanReader): number {
    this.#current = -1;
    const hashed = this.#hashed;
    while (this.#next < this.#count && hashed[this.#next]! < reader.pathAt) this.#next++;
    if (this.#next === this.#count || reader.pathAt !== hashed[this.#next]) return SPECIAL;
    this.#current = this.#next++;
    const { numbers, bytes, statAt: s } = reader;
    const { file } = this;
    const stamp = this.#stamp;
    readStamp(numbers, s, stamp);
    const { times } = file;
    if (!plainTime(stamp.mtimeSec, stamp.mtimeNsec, times, 0)) return SPECIAL;
    if (file.hasChangeTime && !plainTime(stamp.ctimeSec, stamp.ctimeNsec, times, 2)) return SPECIAL;
    if (file.hasAccessTime && !plainTime(numbers[s + STAT.atimeSec]!, numbers[s + STAT.atimeNsec]!, times, 4))
      return SPECIAL;
    if (
      this.#asksForNames &&
      reader.xattrs !== XATTRS_NONE &&
      !fs.hasNoXattrs(bytes, reader.pathAt, reader.pathEnd)
    )
      return SPECIAL;
    const files = this.#files;
    const answer = files.lookup(this.#digests, this.#current * DIGEST, stamp);
    if (answer !== UNCHANGED) return stamp.size <= LARGEST ? TO_READ : SPECIAL;
    const { chunkCount } = files;
    if (2 * chunkCount > file.sizes.length) file.sizes = new Uint32Array(4 * chunkCount);
    const { sizes } = file;
    // The cache knows the file, but a chunk was lost: read it like a modified one.
    if (!this.#store.referenceAll(files.buffer, files.chunkOffset, ID_STRIDE, chunkCount, sizes))
      return stamp.size <= LARGEST ? TO_READ : SPECIAL;
    file.ids = files.buffer;
    file.idsAt = files.chunkOffset;
    file.chunkCount = chunkCount;
    file.size = 0;
    for (let i = 0; i < chunkCount; i++) file.size += sizes[2 * i]!;
    file.mode = numbers[s + STAT.mode]!;
    const uid = numbers[s + STAT.uid]!;
    const gid = numbers[s + STAT.gid]!;
    if (uid !== file.uid) file.user = this.#collector.user(uid);
    if (gid !== file.gid) file.group = this.#collector.group(gid);
    file.uid = uid;
    file.gid = gid;
    file.paths = bytes;
    file.pathAt = reader.pathAt + leadingSlashes(bytes, reader.pathAt);
    file.pathEnd = reader.pathEnd;
    this.#store.stats.nfiles++;
    return KNOWN;
  }

  /** Adds the file that look() called TO_READ. */
  addTo(run: FileRun, job: JobWriter, reader: ScanReader): void {
    run.add(job, reader, this.#digests, this.#current * DIGEST);
  }

  /** The path hash of the file that look() was asked for last, where there is one. */
  get pathHash(): Uint8Array | undefined {
    const at = this.#current * DIGEST;
    return this.#current < 0 ? undefined : this.#digests.slice(at, at + DIGEST);
  }

  /** Whether nothing about an entry is out of the ordinary. */
  #isPlain(reader: ScanReader): boolean {
    if (!reader.isEntry) return false;
    const { numbers, statAt: s, bytes, pathAt } = reader;
    if (!isRegular(numbers[s + STAT.mode]!) || numbers[s + STAT.nlink] !== 1) return false;
    // Inode numbers of more than 53 bits; paths that would need more than their first slash taken away.
    if (numbers[s + STAT.inoHigh]! >= 0 || bytes[pathAt + 1] === SLASH) return false;
    if (bytes[pathAt] === DOT && bytes[pathAt + 1] === DOT) return false;
    return this.#collector.isPlain(
      numbers[s + STAT.dev]!,
      numbers[s + STAT.attributes]!,
      numbers[s + STAT.attributesMask]!,
      reader,
    );
  }
}

function leadingSlashes(bytes: Uint8Array, at: number): number {
  return bytes[at] === SLASH ? 1 : 0;
}
