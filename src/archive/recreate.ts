// Writes archives anew: without what a matcher excludes, recompressed, or cut into other chunks. Borg's
// ArchiveRecreater: the new archive is written as NAME.recreate, then takes the old one's place, in one commit.
import { CACHE_TAG_CONTENTS, CACHE_TAG_NAME } from "../cache/dirs.ts";
import { type ChunkerParams, defaultChunkerParams } from "../chunker/index.ts";
import { type CompressionSpec, type Compressor, createCompressor, detectCodec } from "../compress/index.ts";
import { HashIndex } from "../core/hashindex.ts";
import type { PatternMatcher } from "../select/index.ts";
import { createPattern, type Pattern } from "../select/pattern.ts";
import type { Archive } from "./archive.ts";
import type { ChunkStore } from "./chunk-store.ts";
import {
  isDirectory,
  isHardlinkable,
  isRegular,
  isSymlink,
  S_IFBLK,
  S_IFCHR,
  S_IFIFO,
  S_IFMT,
} from "./constants.ts";
import type { ChunkRef, Item } from "./item.ts";
import type { StoredChunkerParams } from "./metadata.ts";
import type { Statistics } from "./stats.ts";
import { StreamChunker } from "./stream-chunker.ts";
import type { ArchiveWriter } from "./writer.ts";

export type Recompress = "never" | "if-different" | "always";

export interface RecreateOptions {
  /** Items to keep; undefined keeps all. */
  matches?: (path: string) => boolean;
  recompress: Recompress;
  compression: CompressionSpec;
  /** Undefined: chunks stay as they are. */
  chunker?: ChunkerParams;
  parts?: boolean;
  dryRun?: boolean;
  /** Seconds; 0 for none. */
  checkpointInterval?: number;
  onStatus?: (status: string, path: string) => void;
  onProgress?: (stats: Statistics, path: string) => void;
  signal?: AbortSignal;
}

/** Whether the archive's data has to be cut anew. */
export function mustRechunk(
  stored: StoredChunkerParams | undefined,
  wanted: ChunkerParams | undefined,
): boolean {
  if (!wanted) return false;
  const text = storedParams(wanted).join();
  return stored?.join() !== text;
}

/** Parameters as an archive's metadata records them. */
export function storedParams(p: ChunkerParams): StoredChunkerParams {
  return p.algo === "fixed"
    ? ["fixed", p.blockSize, p.headerSize]
    : ["buzhash", p.minExp, p.maxExp, p.maskBits, p.windowSize];
}

export class Recreator {
  readonly #store: ChunkStore;
  readonly #options: RecreateOptions;
  readonly #compressor: Compressor;
  /** Chunks that this run has written or decided to keep. */
  readonly #seen = HashIndex.create(1);

  constructor(store: ChunkStore, options: RecreateOptions) {
    this.#store = store;
    this.#options = options;
    this.#compressor = createCompressor(options.compression, store.objects.core);
  }

  /** The parameters that the new archive records. */
  targetParams(source: Archive): StoredChunkerParams {
    const { chunker } = this.#options;
    if (chunker) return storedParams(chunker);
    return source.metadata.chunkerParams ?? storedParams(defaultChunkerParams);
  }

  /** Copies the items; `writer` is undefined in a dry run. The caller saves the new archive. */
  async copy(source: Archive, writer: ArchiveWriter | undefined, stats: Statistics): Promise<void> {
    const { matches, onStatus, onProgress, signal } = this.#options;
    const rechunk = mustRechunk(source.metadata.chunkerParams, this.#options.chunker);
    const { core, key } = this.#store.objects;
    const chunker =
      rechunk && writer ? new StreamChunker(core, this.#options.chunker!, key.chunkSeed) : undefined;
    // Masters of hard links that are left out: the first link that stays takes the chunks.
    const masters = new Map<
      string,
      { chunks: ChunkRef[] | undefined; healthy: ChunkRef[] | undefined; path?: string }
    >();
    const interval = (this.#options.checkpointInterval ?? 0) * 1000;
    let lastCheckpoint = performance.now();
    for await (const batch of source.itemBatches({ parts: this.#options.parts ?? false })) {
      for (const item of batch) {
        signal?.throwIfAborted();
        if (matches && !matches(item.path)) {
          onStatus?.("x", item.path);
          if (isHardlinkable(item.mode) && (item.hardlink_master ?? true) && item.source === undefined) {
            masters.set(item.path, { chunks: item.chunks, healthy: item.chunks_healthy });
          }
          continue;
        }
        if (isHardlinkable(item.mode) && item.source !== undefined) adopt(item, masters.get(item.source));
        if (!writer) {
          onStatus?.("-", item.path);
          continue;
        }
        onStatus?.(statusOf(item), item.path);
        if (item.chunks) {
          await this.#contents(source, item, chunker, stats);
          stats.nfiles++;
        }
        onProgress?.(stats, item.path);
        await writer.add(item);
        if (interval && performance.now() - lastCheckpoint > interval) {
          await writer.checkpoint(stats);
          lastCheckpoint = performance.now();
        }
      }
    }
  }

  async #contents(
    source: Archive,
    item: Item,
    chunker: StreamChunker | undefined,
    stats: Statistics,
  ): Promise<void> {
    const chunks = item.chunks!;
    if (!chunker && this.#options.recompress === "never") {
      item.chunks = chunks.map((c) => this.#store.reference(c.id, c.size, stats));
      return;
    }
    const data = source.objects.getMany(chunks.map((c) => c.id));
    const out: ChunkRef[] = [];
    for await (const chunk of chunker ? chunker.chunks(data) : data) {
      this.#options.signal?.throwIfAborted();
      out.push(await this.#add(chunk, stats));
    }
    item.chunks = out;
    // The list of what is missing does not fit another list of chunks.
    if (chunker) delete item.chunks_healthy;
    item.size = out.reduce((n, c) => n + c.size, 0);
  }

  async #add(data: Uint8Array, stats: Statistics): Promise<ChunkRef> {
    const { objects, index } = this.#store;
    const id = objects.id(data);
    const known = this.#store.has(id);
    const seen = this.#seen.has(id);
    if (!seen) this.#seen.insert(id, 0, 1);
    if (known && (seen || !(await this.#mustReplace(id, data))))
      return this.#store.reference(id, data.length, stats);
    const blob = await objects.key.encrypt(this.#compressor.compress(data));
    await objects.repository.put(id, blob);
    if (!known) return this.#store.add(id, data.length, blob.length, stats).chunk;
    // The same chunk in another form: its references stay, and this one comes to them.
    const slot = index.find(id);
    index.setWord(slot, 2, blob.length);
    return this.#store.reference(id, data.length, stats);
  }

  /** Whether a chunk that is stored already is to be stored in another compression. */
  async #mustReplace(id: Uint8Array, data: Uint8Array): Promise<boolean> {
    if (this.#options.recompress === "never") return false;
    if (this.#options.recompress === "always") return true;
    const { objects } = this.#store;
    const stored = objects.key.decrypt(await objects.repository.get(id), id);
    return detectCodec(stored) !== this.#compressor.decide(data);
  }
}

/** A link whose master is left out becomes the master, or links to the one that did. */
function adopt(
  item: Item,
  master: { chunks: ChunkRef[] | undefined; healthy: ChunkRef[] | undefined; path?: string } | undefined,
): void {
  if (!master) return;
  if (master.path !== undefined) {
    item.source = master.path;
    return;
  }
  if (master.chunks) item.chunks = master.chunks;
  if (master.healthy) item.chunks_healthy = master.healthy;
  master.path = item.path;
  delete item.source;
  item.hardlink_master = true;
}

function statusOf({ mode }: Item): string {
  if (isDirectory(mode)) return "d";
  if (isSymlink(mode)) return "s";
  const kind = mode & S_IFMT;
  return kind === S_IFIFO
    ? "f"
    : kind === S_IFBLK
      ? "b"
      : kind === S_IFCHR
        ? "c"
        : isRegular(mode)
          ? "A"
          : "?";
}

export interface TagOptions {
  excludeCaches: boolean;
  excludeIfPresent: readonly string[];
  /** Keep the tag itself of a directory that is left out. */
  keepTags: boolean;
}

/** Adds to a matcher the directories of an archive that carry a tag (--exclude-caches, --exclude-if-present). */
export async function excludeTagged(
  archive: Archive,
  matcher: PatternMatcher,
  options: TagOptions,
): Promise<void> {
  const wanted = new Set(["mode", "source", "chunks"]);
  const tags: Item[] = [];
  // The tag may be a hard link; then its content is with the master, which has any name.
  const masters = new Map<string, Item | undefined>();
  for await (const item of archive.items({ wanted })) {
    const name = item.path.slice(item.path.lastIndexOf("/") + 1);
    if (name !== CACHE_TAG_NAME && !options.excludeIfPresent.includes(name)) continue;
    tags.push(item);
    if (!item.chunks && item.source !== undefined) masters.set(item.source, undefined);
  }
  if (options.excludeCaches && masters.size > 0) {
    for await (const item of archive.items({ wanted }))
      if (masters.has(item.path)) masters.set(item.path, item);
  }
  const kept: Pattern[] = [];
  const excluded: Pattern[] = [];
  for (const item of tags) {
    const slash = item.path.lastIndexOf("/");
    const dir = item.path.slice(0, Math.max(0, slash));
    const named = options.excludeIfPresent.includes(item.path.slice(slash + 1));
    if (!named && !(options.excludeCaches && (await isCacheTag(archive, item, masters)))) continue;
    if (options.keepTags) {
      kept.push(createPattern("pp", item.path));
      excluded.push(createPattern("fm", `${dir}/`));
    } else excluded.push(createPattern("pp", dir));
  }
  matcher.add(kept, "include");
  matcher.add(excluded, "excludeNoRecurse");
}

async function isCacheTag(
  archive: Archive,
  item: Item,
  masters: ReadonlyMap<string, Item | undefined>,
): Promise<boolean> {
  if (!isRegular(item.mode) || !item.path.endsWith(CACHE_TAG_NAME)) return false;
  const chunks = item.chunks ?? masters.get(item.source ?? "")?.chunks ?? [];
  for await (const data of archive.objects.getMany(chunks.map((c) => c.id))) {
    return Buffer.from(data.subarray(0, CACHE_TAG_CONTENTS.length)).toString("latin1") === CACHE_TAG_CONTENTS;
  }
  return false;
}
