// create: backs up files into a new archive. Borg's do_create.
import { join } from "node:path";
import { ChunkStore } from "../../src/archive/chunk-store.ts";
import { S_IFREG } from "../../src/archive/constants.ts";
import { Creator } from "../../src/archive/create.ts";
import { slotBytes } from "../../src/archive/create-entry.ts";
import type { Item } from "../../src/archive/item.ts";
import { checkArchiveName } from "../../src/archive/manifest.ts";
import { CreateThreads } from "../../src/archive/pipeline/create-threads.ts";
import { ScanAhead } from "../../src/archive/pipeline/scan-ahead.ts";
import { openCache } from "../../src/archive/session.ts";
import { Statistics } from "../../src/archive/stats.ts";
import { inodeKey, Walker } from "../../src/archive/walker.ts";
import { ArchiveWriter } from "../../src/archive/writer.ts";
import type { Cache } from "../../src/cache/cache.ts";
import { cacheDirPath } from "../../src/cache/dirs.ts";
import { filesCacheName, parseFilesCacheMode } from "../../src/cache/files-mode.ts";
import { type ChunkerParams, parseChunkerParams } from "../../src/chunker/index.ts";
import { type CompressionSpec, parseCompression } from "../../src/compress/index.ts";
import { anticipateKey } from "../../src/crypto/keys.ts";
import { AlcoveError, ArchiveAlreadyExists, BackupOSError, describeSystemError } from "../../src/errors.ts";
import { toHex } from "../../src/format/bytes.ts";
import { normPath } from "../../src/format/paths.ts";
import { nowMicros } from "../../src/format/time.ts";
import type { RepositoryConfig } from "../../src/repository/config.ts";
import { fs, groupId, isSystemError, libc, Stat, userId } from "../../src/runtime/index.ts";
import { adHocCache } from "../adhoc.ts";
import { archiveDocument, archiveSummary, repositoryTotals } from "../archive-output.ts";
import type { Args } from "../args.ts";
import { beginCache, commitCache } from "../cache-transaction.ts";
import type { Context } from "../context.ts";
import { commandLine, hostAndUser, workerCount } from "../identity.ts";
import { createMatcher } from "../patterns.ts";
import { pathsFromCommand, pathsFromStdin, runFilter, standardInput } from "../pipes.ts";
import { loadManifest, type OpenedManifest, withRepository } from "../repository.ts";
import { SignalAbort } from "../signals.ts";

export async function run(args: Args, ctx: Context): Promise<void> {
  const { location } = args;
  const { matcher, roots } = createMatcher(args);
  const paths = [...roots, ...args.paths];
  const name = location.archive!;
  checkArchiveName(name);
  const dryRun = args.flag("dry-run");
  const walk = {
    matcher,
    excludeCaches: args.flag("exclude-caches"),
    excludeIfPresent: args.list("exclude-if-present"),
    keepExcludeTags: args.flag("keep-exclude-tags"),
    excludeNodump: args.flag("exclude-nodump"),
    oneFileSystem: args.flag("one-file-system"),
    skipInodes: skipped(ctx, location.isRemote ? undefined : location.path),
    dryRun,
  };
  ctx.log.info(`Creating archive at "${location.processed}"`);
  if (dryRun) {
    await dry(args, ctx, paths, walk);
    return;
  }
  // Threads take as long to start as keys and caches to be read.
  let begun: Begun = {};
  let since = Number.NEGATIVE_INFINITY;
  const start = (repositoryId: string): void => {
    begun = begin(args, ctx, paths, walk, repositoryId);
    since = performance.now();
  };
  const early = (config: RepositoryConfig): void => {
    // First what takes longer.
    start(toHex(config.id));
    anticipateKey(config.key, ctx.env);
  };
  try {
    await withRepository(ctx, args, { exclusive: true, early }, async (locked) => {
      // What was looked at before others gave the lock back may not be so any more.
      if (performance.now() - since > STALE_MS) {
        await end(begun);
        start(locked.repository.idHex);
      }
      const opened = await loadManifest(ctx, args, locked, { operations: ["write"] });
      const { manifest, environment } = opened;
      if (manifest.archives.has(name)) throw new ArchiveAlreadyExists(name);
      const adHoc = args.flag("no-cache-sync");
      const cache = adHoc
        ? await adHocCache(manifest, environment, ctx)
        : await openCache(manifest, environment, {
            filesMode: parseFilesCacheMode(args.text("files-cache")!),
            ...(ctx.lockWait >= 0 ? { lockWait: ctx.lockWait } : {}),
            progress: ctx.progressSink({ "cache.sync": "Syncing chunks cache" }),
            workers: workerCount(ctx),
          });
      const withdraw = ctx.onAbruptExit(() => cache.close());
      try {
        await backUp(args, ctx, opened, cache, paths, walk, begun);
      } finally {
        withdraw();
        cache.close();
      }
    });
  } finally {
    await end(begun);
  }
}

/** A walk that was begun longer ago, while a lock was waited for, is begun anew. */
const STALE_MS = 1000;
/** Bytes of a files cache that knows enough files for a walk ahead to pay. */
const MANY_FILES = 1 << 19;

/** What is under way before it is known whether it will be needed, and must be closed. */
interface Begun {
  walk?: ScanAhead;
  threads?: CreateThreads;
}

async function end({ walk, threads }: Begun): Promise<void> {
  await walk?.close();
  await threads?.close();
}

/** Starts to walk where most files will be found unchanged, and workers where all will have to be read. */
function begin(
  args: Args,
  ctx: Context,
  paths: readonly string[],
  walk: WalkOptions,
  repositoryId: string,
): Begun {
  const other = ["content-from-command", "paths-from-command", "paths-from-stdin", "no-cache-sync"];
  const workers = workerCount(ctx);
  if (other.some((name) => args.flag(name)) || paths.includes("-") || workers === 0 || !libc()) return {};
  const known = filesCacheBytes(args, ctx, repositoryId);
  if (known >= MANY_FILES) {
    const xattrs = !args.flag("noxattrs") || !args.flag("noacls");
    return { walk: new ScanAhead(walk, paths.map(normPath), xattrs) };
  }
  if (known > 0) return {};
  const { chunker, compression } = parameters(args);
  return { threads: new CreateThreads(workers, slotBytes(chunker, compression)) };
}

/** Size of the files cache's file; 0 where there is none or it will not be asked. */
function filesCacheBytes(args: Args, ctx: Context, repositoryId: string): number {
  if (parseFilesCacheMode(args.text("files-cache")!).disabled) return 0;
  try {
    return fs.stat(join(cacheDirPath(ctx.env), repositoryId, filesCacheName(ctx.env))).size;
  } catch (e) {
    if (!isSystemError(e)) throw e;
    return 0; // the first backup
  }
}

function parameters(args: Args): { chunker: ChunkerParams; compression: CompressionSpec } {
  return {
    chunker: parseChunkerParams(String(args.value("chunker-params"))),
    compression: parseCompression(args.text("compression") ?? "lz4"),
  };
}

type WalkOptions = ConstructorParameters<typeof Walker>[0];

async function backUp(
  args: Args,
  ctx: Context,
  { manifest, repository }: OpenedManifest,
  cache: Pick<Cache, "chunks" | "files" | "commit" | "beginTxn"> & { sizes?: Cache["sizes"] },
  paths: readonly string[],
  walk: WalkOptions,
  begun: Begun,
): Promise<void> {
  const { chunker, compression } = parameters(args);
  const store = new ChunkStore(manifest.objects, cache.chunks.index, new Statistics());
  const cwd = process.cwd();
  beginCache(ctx, cache);
  const writer = new ArchiveWriter({
    manifest,
    store,
    name: args.location.archive!,
    identity: { cmdline: commandLine(ctx), cwd, ...hostAndUser(ctx.env) },
    chunkerParams:
      chunker.algo === "fixed"
        ? ["fixed", chunker.blockSize, chunker.headerSize]
        : ["buzhash", chunker.minExp, chunker.maxExp, chunker.maskBits, chunker.windowSize],
    commitCache: async () => {
      commitCache(ctx, cache, manifest);
    },
  });
  const progress = ctx.archiveProgress(await expected(manifest, args.location.archive!, ctx));
  const counts = (s: Statistics) => ({
    originalSize: s.osize,
    compressedSize: s.csize,
    deduplicatedSize: s.usize,
    files: s.nfiles,
  });
  const creator = new Creator(writer, cache.files, {
    walk,
    capture: {
      numericIds: args.flag("numeric-ids"),
      atime: args.flag("atime"),
      ctime: !args.flag("noctime"),
      birthtime: !args.flag("nobirthtime"),
      flags: !args.flag("noflags"),
      acls: !args.flag("noacls"),
      xattrs: !args.flag("noxattrs"),
      onProblem: (path, what, error) =>
        ctx.warn(new BackupOSError(path, `${what}: ${describeSystemError(error)}`)),
      onLimits: (sentence) => ctx.warning(sentence),
    },
    compression,
    chunker,
    filesChanged: args.text("files-changed") as "ctime" | "mtime" | "disabled",
    sparse: args.flag("sparse"),
    readSpecial: args.flag("read-special"),
    checkpointInterval: args.number("checkpoint-interval")!,
    workers: workerCount(ctx),
    begun: begun.walk,
    prepared: begun.threads,
    cwd,
    signal: ctx.signal,
    onStatus: (status, path) => ctx.fileStatus(status, path),
    tells: (status) => ctx.listsStatus(status),
    onWarning: (w) => ctx.warn(w),
    ...(progress.enabled && {
      onProgress: (stats: Statistics, path: string) => {
        if (progress.due()) progress.show(counts(stats), path);
      },
    }),
  });
  try {
    if (args.flag("content-from-command")) {
      await runFilter(args.paths, ctx, (pieces) => creator.addStream(pipeItem(args), pieces));
    } else if (args.flag("paths-from-command") || args.flag("paths-from-stdin")) {
      const delimiter = args.text("paths-delimiter");
      const found = args.flag("paths-from-command")
        ? pathsFromCommand(args.paths, ctx, delimiter)
        : pathsFromStdin(delimiter);
      for await (const path of found) await creator.addPath(path);
    } else {
      // Neighbours go together: one walk for all of them.
      for (let i = 0; i < paths.length; ) {
        if (paths[i] === "-") {
          await creator.addStream(pipeItem(args), standardInput());
          i++;
          continue;
        }
        const from = i;
        while (i < paths.length && paths[i] !== "-") i++;
        await creator.addPaths(paths.slice(from, i));
      }
    }
    await creator.finish();
  } catch (e) {
    // Ctrl-C keeps what is there, so that the next run need not read it again; other signals roll back, as in Borg.
    if (e instanceof SignalAbort && e.keepsCheckpoint && (await creator.keepCheckpoint()))
      ctx.log.info(`Interrupted: what was backed up so far is kept as ${writer.checkpointName}.`);
    throw e;
  } finally {
    await creator.close();
  }
  progress.finish();
  ctx.checkSignal();
  const timestamp = args.value("timestamp") as number | undefined;
  await writer.save({
    comment: args.text("comment") ?? "",
    ...(timestamp === undefined ? {} : { timestamp }),
  });
  // Nobody else refers to what is new: info need not count it.
  cache.sizes?.setDeduplicated(writer.id, store.stats.usize);
  const wanted = args.flag("json") || args.flag("stats");
  const totals = wanted && !args.flag("quick-stats") ? await repositoryTotals(manifest, cache) : undefined;
  if (args.flag("json")) ctx.printJson(archiveDocument(ctx, manifest, writer, totals));
  else if (args.flag("stats") || args.flag("quick-stats")) {
    ctx.log.output("stats", archiveSummary(ctx, repository, writer, totals));
  }
}

async function dry(args: Args, ctx: Context, paths: readonly string[], options: WalkOptions): Promise<void> {
  const walker = new Walker(options);
  if (args.flag("content-from-command")) {
    ctx.fileStatus("-", args.text("stdin-name")!);
    return;
  }
  if (args.flag("paths-from-command") || args.flag("paths-from-stdin")) {
    const delimiter = args.text("paths-delimiter");
    const found = args.flag("paths-from-command")
      ? pathsFromCommand(args.paths, ctx, delimiter)
      : pathsFromStdin(delimiter);
    for await (const path of found) ctx.fileStatus("-", normPath(path));
    return;
  }
  for (const path of paths) {
    if (path === "-") {
      ctx.fileStatus("-", args.text("stdin-name")!);
      continue;
    }
    for (const event of walker.walk(normPath(path))) {
      ctx.checkSignal();
      if (event.type === "status") ctx.fileStatus(event.status, event.path);
      else if (event.type === "problem") {
        ctx.warn(event.problem);
        ctx.fileStatus("E", event.path);
      } else if (event.directory === undefined || event.name !== "") ctx.fileStatus("-", event.path);
    }
  }
}

/** The item for data from a pipe. @throws AlcoveError for an unknown user or group */
function pipeItem(args: Args): Item {
  const user = args.text("stdin-user")!;
  const group = args.text("stdin-group")!;
  const uid = userId(user);
  if (uid === null) throw new AlcoveError(`no such user: ${user}`);
  const gid = groupId(group);
  if (gid === null) throw new AlcoveError(`no such group: ${group}`);
  const time = BigInt(Math.floor(nowMicros() / 1e6)) * 1_000_000_000n;
  return {
    path: args.text("stdin-name")!,
    mode: (args.number("stdin-mode")! & 0o7777) | S_IFREG,
    uid,
    user,
    gid,
    group,
    mtime: time,
    atime: time,
    ctime: time,
  };
}

/** Inodes never backed up: the cache, and the repository itself. */
function skipped(ctx: Context, repository: string | undefined): Set<string> {
  const out = new Set<string>();
  const stat = new Stat();
  for (const path of [cacheDirPath(ctx.env), repository]) {
    if (path === undefined) continue;
    try {
      out.add(inodeKey(fs.stat(path, stat)));
    } catch (e) {
      // What is not there need not be skipped.
      if (!(e as NodeJS.ErrnoException).code) throw e;
    }
  }
  return out;
}

/** What to expect in all, from the newest archive whose name looks alike (digits aside). An estimate. */
async function expected(
  manifest: OpenedManifest["manifest"],
  name: string,
  ctx: Context,
): Promise<{ originalSize: number; files: number } | undefined> {
  if (!ctx.showProgress) return undefined;
  const shape = (n: string): string => n.replace(/\d+/g, "0");
  const alike = manifest.archives.select({
    sortBy: ["timestamp"],
    considerCheckpoints: false,
    matches: (n) => shape(n) === shape(name),
  });
  const last = alike.at(-1);
  if (!last) return undefined;
  const { Archive } = await import("../../src/archive/archive.ts");
  const { metadata } = await Archive.load(manifest, last.id);
  return metadata.totals && { originalSize: metadata.totals.size, files: metadata.totals.nfiles };
}
