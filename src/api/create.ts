// Making archives for the public API, of entries from anywhere and of files.
import { ChunkStore } from "../archive/chunk-store.ts";
import { Creator } from "../archive/create.ts";
import { checkArchiveName, type Manifest } from "../archive/manifest.ts";
import { cacheManifest, openCache } from "../archive/session.ts";
import { Statistics } from "../archive/stats.ts";
import { inodeKey } from "../archive/walker.ts";
import { ArchiveWriter } from "../archive/writer.ts";
import type { Cache } from "../cache/cache.ts";
import { parseChunkerParams } from "../chunker/index.ts";
import { parseCompression } from "../compress/index.ts";
import type { Environment } from "../crypto/environment.ts";
import { BackupOSError, describeSystemError } from "../errors.ts";
import { fs, fullHostname, osUserName, runtime, Stat } from "../runtime/index.ts";
import { PatternMatcher, parseExcludePattern } from "../select/index.ts";
import { EntryReader, interruptible, isFile, pieces } from "./entries.ts";
import type { ArchiveStats, BackupOptions, CreateOptions, Entry } from "./types.ts";

const DEFAULT_CHUNKER = "buzhash,19,23,21,4095";

export async function createArchive(
  manifest: Manifest,
  environment: Environment,
  name: string,
  entries: Iterable<Entry> | AsyncIterable<Entry>,
  options: CreateOptions,
): Promise<ArchiveStats> {
  const { signal, onProgress } = options;
  return making(manifest, environment, name, { ...options, workers: 0 }, async (creator, writer) => {
    const reader = new EntryReader();
    for await (const entry of interruptible(entries, signal)) {
      const item = reader.item(entry);
      if (isFile(entry)) await creator.addStream(item, pieces(entry.content, signal));
      else await writer.add(item);
      onProgress?.(event(writer.store.stats, item.path));
    }
  });
}

export async function backUp(
  manifest: Manifest,
  environment: Environment,
  name: string,
  paths: readonly string[],
  options: BackupOptions,
): Promise<ArchiveStats> {
  return making(manifest, environment, name, options, (creator) => creator.addPaths(paths));
}

const totals = (s: Statistics): ArchiveStats => ({
  files: s.nfiles,
  originalSize: s.osize,
  compressedSize: s.csize,
  deduplicatedSize: s.usize,
});

const event = (s: Statistics, path: string) => ({
  operation: "create",
  current: s.osize,
  // At the end there is none.
  ...(path === "" ? {} : { path }),
  stats: totals(s),
});

async function making(
  manifest: Manifest,
  environment: Environment,
  name: string,
  options: BackupOptions,
  work: (creator: Creator, writer: ArchiveWriter) => Promise<void>,
): Promise<ArchiveStats> {
  checkArchiveName(name);
  const progress = options.onProgress;
  const cache = await openCache(manifest, environment, {
    ...(progress
      ? { progress: (p) => progress({ operation: p.msgid, current: p.current, total: p.total }) }
      : {}),
  });
  try {
    cache.beginTxn();
    const store = new ChunkStore(manifest.objects, cache.chunks.index, new Statistics());
    const writer = newWriter(manifest, cache, store, environment, name, options);
    const creator = newCreator(manifest, cache, environment, writer, options);
    try {
      await work(creator, writer);
      await creator.finish();
    } finally {
      await creator.close();
    }
    options.signal?.throwIfAborted();
    await writer.save({
      comment: options.comment ?? "",
      ...(options.timestamp ? { timestamp: options.timestamp.getTime() * 1000 } : {}),
    });
    cache.sizes.setDeduplicated(writer.id, store.stats.usize);
    return totals(store.stats);
  } finally {
    cache.close();
  }
}

function newWriter(
  manifest: Manifest,
  cache: Cache,
  store: ChunkStore,
  { env }: Environment,
  name: string,
  options: CreateOptions,
): ArchiveWriter {
  const chunker = parseChunkerParams(options.chunkerParams ?? DEFAULT_CHUNKER);
  return new ArchiveWriter({
    manifest,
    store,
    name,
    identity: {
      cmdline: ["alcove"],
      cwd: process.cwd(),
      hostname: env["BORG_HOSTNAME"] || fullHostname(),
      username: env["BORG_USERNAME"] || osUserName(),
    },
    chunkerParams:
      chunker.algo === "fixed"
        ? ["fixed", chunker.blockSize, chunker.headerSize]
        : ["buzhash", chunker.minExp, chunker.maxExp, chunker.maskBits, chunker.windowSize],
    commitCache: async () => {
      cache.commit(cacheManifest(manifest));
      cache.beginTxn();
    },
  });
}

function newCreator(
  manifest: Manifest,
  cache: Cache,
  environment: Environment,
  writer: ArchiveWriter,
  options: BackupOptions,
): Creator {
  const matcher = new PatternMatcher(true);
  matcher.addInclExcl((options.exclude ?? []).map((text) => parseExcludePattern(text)));
  return new Creator(writer, cache.files, {
    walk: {
      matcher,
      excludeCaches: options.excludeCaches ?? false,
      excludeIfPresent: [],
      keepExcludeTags: false,
      excludeNodump: false,
      oneFileSystem: options.oneFileSystem ?? false,
      skipInodes: ownInodes(manifest, environment),
      dryRun: false,
    },
    capture: {
      onProblem: (path, what, error) =>
        options.onWarning?.(new BackupOSError(path, `${what}: ${describeSystemError(error)}`)),
    },
    compression: parseCompression(options.compression ?? "lz4"),
    chunker: parseChunkerParams(options.chunkerParams ?? DEFAULT_CHUNKER),
    filesChanged: "ctime",
    readSpecial: false,
    checkpointInterval: 0,
    workers: options.workers ?? Math.min(runtime.cores, 4),
    cwd: process.cwd(),
    ...(options.signal ? { signal: options.signal } : {}),
    onWarning: (w) => options.onWarning?.(w),
    onProgress: (stats, path) => options.onProgress?.(event(stats, path)),
  });
}

/** The cache and the repository themselves are never backed up. */
function ownInodes(manifest: Manifest, environment: Environment): Set<string> {
  const { repository } = manifest.objects;
  const paths = [environment.cacheDir()];
  if (!repository.isRemote) paths.push(repository.canonicalPath);
  return new Set(paths.map((path) => inodeKey(fs.stat(path, new Stat()))));
}
