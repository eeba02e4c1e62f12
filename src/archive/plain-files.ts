// Plain files of a walk: from its bytes through files cache and chunk index into the item stream, or to the workers,
// without an object, a string or a bigint for a file. Most that are unchanged are taken together (plain-batch.ts); the others
// are looked at one by one. Whatever is out of the ordinary (attributes, ACLs, flags, hard links, times before 1970) goes the
// way of all other entries, which knows everything.
import { type FileStamp, type FilesCache, ID_STRIDE, UNCHANGED } from "../cache/files.ts";
import { readStamp, STAT } from "../runtime/index.ts";
import type { ChunkStore } from "./chunk-store.ts";
import type { MetadataCollector } from "./metadata-capture.ts";
import { aPlainFile, type FileRun, plainTime } from "./pipeline/file-run.ts";
import type { JobWriter } from "./pipeline/messages.ts";
import type { ScanReader, ScanSlot } from "./pipeline/scan-channel.ts";
import { PlainBatch } from "./plain-batch.ts";
import type { PlainFile } from "./plain-item.ts";

const DIGEST = 32;
const SLASH = 0x2f;
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
  readonly #batch: PlainBatch;
  /** Address in the core's memory of the path hash of the file that was looked at last; −1 for none. */
  #digest = -1;
  /** Whether its entry of the files cache may say that it has no attributes. */
  #bare = false;
  readonly #stamp: FileStamp = { size: 0, ino: 0, mtimeSec: 0, mtimeNsec: 0, ctimeSec: 0, ctimeNsec: 0 };

  constructor(
    files: FilesCache,
    store: ChunkStore,
    collector: MetadataCollector,
    cwd: string,
    quiet: boolean,
  ) {
    this.#files = files;
    this.#store = store;
    this.#collector = collector;
    this.#batch = new PlainBatch(files, store, collector, cwd, quiet);
    this.file = aPlainFile(collector);
  }

  /** Prepares for what look() and known() may be asked of a slot. */
  begin(slot: ScanSlot): void {
    this.#batch.begin(slot);
    this.#digest = -1;
  }

  close(): void {
    this.#batch.close();
  }

  /** See PlainBatch. */
  known(reader: ScanReader): Uint8Array | undefined {
    return this.#batch.known(reader);
  }
  get taken(): number {
    return this.#batch.taken;
  }

  /** What the reader is at, in the order of the slot. KNOWN: `file` is its item. */
  look(reader: ScanReader): number {
    const found = this.#batch.find(reader.at);
    this.#digest = found < 0 ? -1 : this.#batch.digestOf(found);
    if (found < 0 || this.#batch.isSpecial(found)) return SPECIAL;
    const { numbers, bytes, statAt: s } = reader;
    const { file } = this;
    const stamp = this.#stamp;
    readStamp(numbers, s, stamp);
    const { times } = file;
    if (!plainTime(stamp.mtimeSec, stamp.mtimeNsec, times, 0)) return SPECIAL;
    if (file.hasChangeTime && !plainTime(stamp.ctimeSec, stamp.ctimeNsec, times, 2)) return SPECIAL;
    if (file.hasAccessTime && !plainTime(numbers[s + STAT.atimeSec]!, numbers[s + STAT.atimeNsec]!, times, 4))
      return SPECIAL;
    const files = this.#files;
    const answer = files.lookup(this.#store.objects.core.u8, this.#digest, stamp);
    this.#bare = this.#batch.mayBeBare(found);
    if (!this.#bare || !files.isBare) {
      if (this.#batch.hasAttributes(found)) return SPECIAL;
      if (this.#bare) files.setBare(true);
    }
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
    run.add(job, reader, this.#store.objects.core.u8, this.#digest, this.#bare);
  }

  /** The path hash of the file that look() was asked for last, where there is one. */
  get pathHash(): Uint8Array | undefined {
    const at = this.#digest;
    return at < 0 ? undefined : this.#store.objects.core.copy(at, DIGEST);
  }
}

function leadingSlashes(bytes: Uint8Array, at: number): number {
  return bytes[at] === SLASH ? 1 : 0;
}
