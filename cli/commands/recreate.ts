// recreate: writes archives anew, with fewer files, another compression, other chunks, another comment or time.
import { Archive } from "../../src/archive/archive.ts";
import { ChunkStore } from "../../src/archive/chunk-store.ts";
import { deleteArchive } from "../../src/archive/delete.ts";
import { excludeTagged, mustRechunk, type Recompress, Recreator } from "../../src/archive/recreate.ts";
import { renameArchive } from "../../src/archive/rewrite.ts";
import { Statistics } from "../../src/archive/stats.ts";
import { ArchiveWriter } from "../../src/archive/writer.ts";
import { parseChunkerParams } from "../../src/chunker/index.ts";
import { parseCompression, prepareCodecs } from "../../src/compress/index.ts";
import { ArchiveDoesNotExist, CommandError } from "../../src/errors.ts";
import { DASHES, repositoryTotals, STATS_HEADER, statisticsLine, totalsText } from "../archive-output.ts";
import type { Args } from "../args.ts";
import { commitCache } from "../cache-transaction.ts";
import { type Changing, withChanges } from "../changing.ts";
import type { Context } from "../context.ts";
import { commandLine, hostAndUser } from "../identity.ts";
import { archiveMatcher } from "../patterns.ts";
import { type OpenedManifest, withManifest } from "../repository.ts";

const TEMPORARY = ".recreate";

export async function run(args: Args, ctx: Context): Promise<void> {
  const name = args.location.archive;
  if (name?.endsWith(TEMPORARY)) {
    throw new CommandError(`Refusing to work on temporary archive of prior recreate: ${name}`);
  }
  const target = args.text("target");
  if (name === undefined && target !== undefined)
    throw new CommandError("--target: Need to specify single archive");
  await prepareCodecs(parseCompression(args.text("compression")!));
  await withManifest(ctx, args, { exclusive: true, operations: ["check"] }, async (opened) => {
    const { manifest, environment } = opened;
    await withChanges(args, ctx, manifest, environment, async (changing) => {
      if (name !== undefined) {
        if (!manifest.archives.has(name)) throw new ArchiveDoesNotExist(name);
        if (!(await recreate(args, ctx, opened, changing, name))) {
          throw new CommandError(
            "Nothing to do. Archive was not processed.\nSpecify at least one pattern, PATH, --comment, re-compression or re-chunking option.",
          );
        }
      } else {
        for (const info of manifest.archives.select({ sortBy: ["timestamp"] })) {
          if (info.name.endsWith(TEMPORARY)) continue;
          ctx.print(`Processing ${info.name}`);
          if (!(await recreate(args, ctx, opened, changing, info.name))) {
            ctx.log.info(`Skipped archive ${info.name}: Nothing to do. Archive was not processed.`);
          }
        }
      }
      await changing.commit();
    });
  });
}

/** @returns false if there is nothing to do for this archive */
async function recreate(
  args: Args,
  ctx: Context,
  { manifest }: OpenedManifest,
  changing: Changing,
  name: string,
): Promise<boolean> {
  const source = await Archive.open(manifest, name);
  const matcher = archiveMatcher(args);
  const excludeIfPresent = args.list("exclude-if-present");
  const excludeCaches = args.flag("exclude-caches");
  if (excludeCaches || excludeIfPresent.length) {
    await excludeTagged(source, matcher, {
      excludeCaches,
      excludeIfPresent,
      keepTags: args.flag("keep-exclude-tags"),
    });
  }
  const recompress = args.text("recompress") as Recompress;
  const params = args.text("chunker-params");
  const chunker = params === undefined ? undefined : parseChunkerParams(params);
  const comment = args.text("comment");
  const targetName = args.text("target");
  const rechunk = mustRechunk(source.metadata.chunkerParams, chunker);
  if (
    matcher.isEmpty &&
    recompress === "never" &&
    !rechunk &&
    comment === undefined &&
    targetName === undefined
  ) {
    return false;
  }
  const { cache } = changing;
  const store = new ChunkStore(manifest.objects, cache.chunks.index, new Statistics());
  const progress = ctx.archiveProgress();
  const recreator = new Recreator(store, {
    ...(matcher.isEmpty ? {} : { matches: (path: string) => matcher.match(path) === true }),
    recompress,
    compression: parseCompression(args.text("compression")!),
    ...(chunker ? { chunker } : {}),
    parts: args.flag("consider-part-files"),
    checkpointInterval: args.number("checkpoint-interval")!,
    signal: ctx.signal,
    onStatus: (status, path) => ctx.fileStatus(status, path),
    onProgress: (s, path) => {
      if (!progress.due()) return;
      const counts = {
        originalSize: s.osize,
        compressedSize: s.csize,
        deduplicatedSize: s.usize,
        files: s.nfiles,
      };
      progress.show(counts, path);
    },
  });
  if (args.flag("dry-run")) {
    await recreator.copy(source, undefined, store.stats);
    return true;
  }
  const writer = new ArchiveWriter({
    manifest,
    store,
    name: targetName ?? `${name}${TEMPORARY}`,
    identity: { cmdline: source.metadata.cmdline, cwd: source.metadata.cwd, ...hostAndUser(ctx.env) },
    chunkerParams: recreator.targetParams(source),
    commitCache: async () => {
      commitCache(ctx, cache, manifest);
    },
  });
  await recreator.copy(source, writer, store.stats);
  progress.finish();
  const timestamp = args.number("timestamp");
  await writer.save({
    comment: comment ?? source.metadata.comment,
    ...(timestamp === undefined ? {} : { timestamp }),
    additional: {
      ...(timestamp === undefined ? { time: source.metadata.time, time_end: source.metadata.timeEnd } : {}),
      recreate_cmdline: commandLine(ctx),
    },
  });
  if (targetName === undefined) {
    await deleteArchive(source, store, { stats: new Statistics() });
    await renameArchive(await Archive.open(manifest, writer.name), store, name);
    await changing.changed();
  }
  if (args.flag("stats")) await statistics(ctx, changing, store, targetName ?? name);
  return true;
}

async function statistics(
  ctx: Context,
  { cache, manifest }: Changing,
  { stats }: ChunkStore,
  name: string,
): Promise<void> {
  const lines = [DASHES, `Archive name: ${name}`, `Number of files: ${stats.nfiles}`, DASHES, STATS_HEADER];
  const totals = totalsText(ctx, await repositoryTotals(manifest, cache));
  ctx.log.output("stats", [...lines, statisticsLine(ctx, stats), totals, DASHES].join("\n"));
}
