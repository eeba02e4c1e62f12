// Writes an archive: encodes items, cuts their stream into chunks, and saves metadata and manifest in one
// transaction. Borg's ChunkBuffer and Archive.save(); the item stream has chunker parameters of its own, finer
// than those of files, so that a changed directory costs little.
import { type Chunker, createChunker, itemsChunkerParams } from "../chunker/index.ts";
import type { Core } from "../core/index.ts";
import { AlcoveError, ArchiveAlreadyExists } from "../errors.ts";
import { formatTimestamp, nowMicros } from "../format/time.ts";
import type { ChunkStore } from "./chunk-store.ts";
import { MAX_DATA_SIZE } from "./constants.ts";
import type { Item } from "./item.ts";
import { ItemEncoder } from "./item-encoder.ts";
import type { Manifest } from "./manifest.ts";
import type { StoredChunkerParams } from "./metadata.ts";
import type { PlainFile } from "./plain-item.ts";
import { Statistics } from "./stats.ts";

/** Encoded items that are cut together: more than the largest chunk has, and little enough to stay in a cache. */
const FLUSH_BYTES = 768 << 10;
const REGION_BYTES = 2 << 20;

/** Who makes an archive and how, as its metadata records it. */
export interface Identity {
  cmdline: readonly string[];
  hostname: string;
  username: string;
  cwd: string;
}

export interface SaveOptions {
  name?: string;
  comment?: string;
  /** Microseconds: the start to record instead of the real one. */
  timestamp?: number;
  stats?: Statistics;
  /** Additional keys of the metadata, e.g. recreate_cmdline. */
  additional?: Record<string, unknown>;
}

// One for all writers of a core, whose memory is never given back: it is used between two awaits only.
const regions = new WeakMap<Core, number>();
function regionOf(core: Core): number {
  let region = regions.get(core);
  if (region === undefined) {
    region = core.alloc(REGION_BYTES);
    regions.set(core, region);
  }
  return region;
}

export class ArchiveWriter {
  readonly name: string;
  readonly checkpointName: string;
  readonly store: ChunkStore;
  /** Chunks of metadata; kept out of the archive's own figures. */
  readonly metaStats = new Statistics();
  readonly manifest: Manifest;
  /** Id of the metadata object, once saved. */
  id: Uint8Array = new Uint8Array(0);
  /** Microseconds. */
  start: number;
  end: number;
  readonly #encoder = new ItemEncoder(2 * FLUSH_BYTES);
  readonly #chunker: Chunker;
  readonly #region: number;
  readonly #identity: Identity;
  readonly #chunkerParams: StoredChunkerParams;
  readonly #items: Uint8Array[] = [];
  readonly #commitCache: () => Promise<void>;

  /** @param commitCache brings the caches in line after each commit of the repository */
  constructor(options: {
    manifest: Manifest;
    store: ChunkStore;
    name: string;
    identity: Identity;
    chunkerParams: StoredChunkerParams;
    commitCache: () => Promise<void>;
  }) {
    const { manifest, store, name } = options;
    if (manifest.archives.has(name)) throw new ArchiveAlreadyExists(name);
    this.manifest = manifest;
    this.store = store;
    this.name = name;
    this.#identity = options.identity;
    this.#chunkerParams = options.chunkerParams;
    this.#commitCache = options.commitCache;
    this.start = this.end = nowMicros();
    const { core, key } = store.objects;
    this.#chunker = createChunker(core, itemsChunkerParams, key.chunkSeed);
    this.#region = regionOf(core);
    let checkpoint = `${name}.checkpoint`;
    for (let i = 1; manifest.archives.has(checkpoint); i++) checkpoint = `${name}.checkpoint.${i}`;
    this.checkpointName = checkpoint;
  }

  /** Adds an item. A promise only where the stream has to be written. */
  add(...items: Item[]): Promise<void> | undefined {
    for (const item of items) this.#encoder.encode(item);
    return this.#flushIfFull();
  }

  /** Adds the item of a file that has nothing but times, owner and chunks. */
  addPlain(file: PlainFile): Promise<void> | undefined {
    this.#encoder.plain(file);
    return this.#flushIfFull();
  }

  /** Adds items that were encoded before. */
  addEncoded(bytes: Uint8Array): Promise<void> | undefined {
    this.#encoder.append(bytes);
    return this.#flushIfFull();
  }

  #flushIfFull(): Promise<void> | undefined {
    return this.#encoder.length > FLUSH_BYTES ? this.#flush(false) : undefined;
  }

  /** Saves what there is under the checkpoint's name, commits, and takes the name out of the manifest again: the
   *  next commit replaces it. */
  async checkpoint(stats: Statistics): Promise<void> {
    await this.save({ name: this.checkpointName, stats });
    this.manifest.archives.delete(this.checkpointName);
    await this.store.dereference(this.id, this.metaStats);
  }

  async save(options: SaveOptions = {}): Promise<void> {
    const name = options.name ?? this.name;
    if (this.manifest.archives.has(name)) throw new ArchiveAlreadyExists(name);
    await this.#flush(true);
    const duration = nowMicros() - this.#began;
    if (options.timestamp === undefined) {
      this.end = nowMicros();
      this.start = this.end - duration;
    } else {
      this.start = options.timestamp;
      this.end = options.timestamp + duration;
    }
    const stats = options.stats ?? this.store.stats;
    const metadata: Record<string, unknown> = {
      version: 1,
      name,
      comment: options.comment ?? "",
      items: this.#items,
      cmdline: this.#identity.cmdline,
      hostname: this.#identity.hostname,
      username: this.#identity.username,
      time: formatTimestamp(this.start),
      time_end: formatTimestamp(this.end),
      cwd: this.#identity.cwd,
      chunker_params: this.#chunkerParams,
      size: stats.osize,
      csize: stats.csize,
      nfiles: stats.nfiles,
      size_parts: stats.osizeParts,
      csize_parts: stats.csizeParts,
      nfiles_parts: stats.nfilesParts,
      ...options.additional,
    };
    const data = this.manifest.key.packAndAuthenticate(metadata, "archive");
    if (data.length > MAX_DATA_SIZE) {
      throw new AlcoveError(
        `The metadata of archive ${name} is too large (${data.length} bytes): split the backup.`,
      );
    }
    this.id = (await this.store.addData(data, this.metaStats)).id;
    this.manifest.archives.set(name, this.id, String(metadata.time));
    await this.manifest.write();
    await this.manifest.objects.repository.commit({ compact: false });
    await this.#commitCache();
  }

  /** Bytes the metadata object takes of the 20 MiB it may have, as a fraction. */
  utilization(): number {
    const slot = this.store.index.find(this.id);
    return slot < 0 ? 0 : this.store.index.word(slot, 2) / MAX_DATA_SIZE;
  }

  readonly #began = nowMicros();

  // Cuts what was encoded; the last, uncertain piece stays in the encoder unless everything must go.
  async #flush(everything: boolean): Promise<void> {
    const { core } = this.store.objects;
    while (this.#encoder.length > 0) {
      const n = Math.min(this.#encoder.length, REGION_BYTES);
      core.u8.set(this.#encoder.bytes().subarray(0, n), this.#region);
      const eof = everything && n === this.#encoder.length;
      const cuts = this.#chunker.cuts(this.#region, n, eof);
      let done = 0;
      // Most are known where little has changed: referenced as they lie there. The others are copied, as the region is used by
      // whoever comes next while they are stored.
      const pieces: { id: Uint8Array; data: Uint8Array }[] = [];
      for (const length of cuts) {
        const data = core.view(this.#region + done, length);
        const id = this.store.objects.id(data);
        if (this.store.has(id)) this.store.reference(id, length, this.metaStats);
        else pieces.push({ id, data: data.slice() });
        this.#items.push(id);
        done += length;
      }
      for (const { id, data } of pieces) await this.store.addData(data, this.metaStats, id);
      this.#encoder.consume(done);
      if (!everything && this.#encoder.length < FLUSH_BYTES) return;
      if (done === 0) return;
    }
  }
}
