// Unchanged files of a walk that a thread of its own does: from the ring's bytes through files cache and chunk index into
// the item stream, without an object, a string or a bigint for a file. Path hashes are computed for a slot's files
// together. Whatever is out of the ordinary (attributes, ACLs, flags, hard links, times before 1970) goes the way of all
// other entries, which knows everything.
import { type FileStamp, type FilesCache, ID_STRIDE, UNCHANGED } from "../cache/files.ts";
import { choose } from "../core/choose.ts";
import { createHasher, type Hasher } from "../core/hasher.ts";
import { fsEncode } from "../format/bytes.ts";
import { splitNanoseconds } from "../format/nanoseconds.ts";
import { fs } from "../runtime/index.ts";
import type { ChunkStore } from "./chunk-store.ts";
import { isRegular } from "./constants.ts";
import { idHasherKind } from "./ids.ts";
import type { PlainFile } from "./item-encoder.ts";
import type { MetadataCollector } from "./metadata-capture.ts";
import { readStamp, ScanReader, type ScanSlot, STAT, XATTRS_NONE } from "./pipeline/scan-channel.ts";

const MOST_FILES = 2048;
const PATH_BYTES = 512 << 10;
const DIGEST = 32;
const SLASH = 0x2f;
const DOT = 0x2e;
/** Upper half from which on a time does not fit 63 bits. */
const TOO_LATE = 0x80000000;

export class UnchangedFiles {
  /** The item of the file that take() answered true for; its sizes and ids are good until the next call. */
  readonly file: PlainFile = {
    path: new Uint8Array(0),
    mode: 0,
    uid: 0,
    gid: 0,
    user: null,
    group: null,
    times: new Uint32Array(6),
    hasChangeTime: true,
    hasAccessTime: false,
    ids: new Uint8Array(0),
    idsAt: 0,
    idStride: ID_STRIDE,
    chunkCount: 0,
    sizes: new Uint32Array(64),
    size: 0,
  };
  readonly #files: FilesCache;
  readonly #store: ChunkStore;
  readonly #collector: MetadataCollector;
  readonly #hasher: Hasher;
  /** The working directory with a slash, for relative paths. */
  readonly #prefix: Uint8Array;
  readonly #digests = new Uint8Array(MOST_FILES * DIGEST);
  /** Positions in the slot of the hashed files, ascending, and the one that take() expects next. */
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
    this.file.hasChangeTime = collector.keepsChangeTime;
    this.file.hasAccessTime = collector.keepsAccessTime;
  }

  /** Hashes the paths of the files of a slot that take() may be asked for. */
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

  /** Whether the reader is at an unchanged file, all of whose chunks are there: they have been referenced then, and
   *  `file` is its item. To be asked for every event of the slot, in order. */
  take(reader: ScanReader): boolean {
    this.#current = -1;
    if (this.#next === this.#count || reader.pathAt !== this.#hashed[this.#next]) return false;
    this.#current = this.#next++;
    const { numbers, bytes, statAt: s } = reader;
    const { file } = this;
    const stamp = this.#stamp;
    readStamp(numbers, s, stamp);
    const { times } = file;
    if (!time(stamp.mtimeSec, stamp.mtimeNsec, times, 0)) return false;
    if (file.hasChangeTime && !time(stamp.ctimeSec, stamp.ctimeNsec, times, 2)) return false;
    if (file.hasAccessTime && !time(numbers[s + STAT.atimeSec]!, numbers[s + STAT.atimeNsec]!, times, 4))
      return false;
    const files = this.#files;
    if (files.lookup(this.#digests, this.#current * DIGEST, stamp) !== UNCHANGED) return false;
    if (
      this.#asksForNames &&
      reader.xattrs !== XATTRS_NONE &&
      !fs.hasNoXattrs(bytes, reader.pathAt, reader.pathEnd)
    )
      return false;
    const { chunkCount } = files;
    if (2 * chunkCount > file.sizes.length) file.sizes = new Uint32Array(4 * chunkCount);
    const { sizes } = file;
    if (!this.#store.referenceAll(files.buffer, files.chunkOffset, ID_STRIDE, chunkCount, sizes))
      return false;
    file.ids = files.buffer;
    file.idsAt = files.chunkOffset;
    file.chunkCount = chunkCount;
    file.size = 0;
    for (let i = 0; i < chunkCount; i++) file.size += sizes[2 * i]!;
    file.mode = numbers[s + STAT.mode]!;
    file.uid = numbers[s + STAT.uid]!;
    file.gid = numbers[s + STAT.gid]!;
    file.user = this.#collector.user(file.uid);
    file.group = this.#collector.group(file.gid);
    file.path = bytes.subarray(reader.pathAt + leadingSlashes(bytes, reader.pathAt), reader.pathEnd);
    this.#store.stats.nfiles++;
    return true;
  }

  /** The path hash of the file that take() was asked for last, where there is one. */
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
      () => reader.path,
    );
  }
}

function time(sec: number, nsec: number, out: Uint32Array, at: number): boolean {
  return splitNanoseconds(sec, nsec, out, at) && out[at]! < TOO_LATE;
}

function leadingSlashes(bytes: Uint8Array, at: number): number {
  return bytes[at] === SLASH ? 1 : 0;
}
