// info: sizes and details of a repository or of archives. Borg's do_info.

import { Archive } from "../../src/archive/archive.ts";
import { archiveStatistics } from "../../src/archive/archive-stats.ts";
import { MAX_DATA_SIZE } from "../../src/archive/constants.ts";
import { openCache } from "../../src/archive/session.ts";
import type { Cache } from "../../src/cache/cache.ts";
import { removeSurrogates } from "../../src/format/paths.ts";
import { shellQuote } from "../../src/format/shlex.ts";
import { formatDuration, formatTime, toLocalIso } from "../../src/format/time.ts";
import {
  basicDocument,
  DASHES,
  percent,
  repositoryTotals,
  STATS_HEADER,
  statisticsLine,
  totalsText,
} from "../archive-output.ts";
import type { Args } from "../args.ts";
import type { Context } from "../context.ts";
import { workerCount } from "../identity.ts";
import { type Json, JsonFloat } from "../output/json.ts";
import { type OpenedManifest, withManifest } from "../repository.ts";
import { choosesArchives, selectArchives } from "../select-archives.ts";

export async function run(args: Args, ctx: Context): Promise<void> {
  await withManifest(ctx, args, { operations: ["read"] }, async (opened) => {
    const cache = await openCache(opened.manifest, opened.environment, {
      ...(ctx.lockWait >= 0 ? { lockWait: ctx.lockWait } : {}),
      progress: ctx.progressSink({ "cache.sync": "Syncing chunks cache" }),
      workers: workerCount(ctx),
    });
    const withdraw = ctx.onAbruptExit(() => cache.close());
    try {
      if (args.location.archive !== undefined || choosesArchives(args))
        await archives(args, ctx, opened, cache);
      else await repository(args, ctx, opened, cache);
    } finally {
      withdraw();
      cache.close();
    }
  });
}

async function archives(args: Args, ctx: Context, { manifest }: OpenedManifest, cache: Cache): Promise<void> {
  const names =
    args.location.archive !== undefined
      ? [args.location.archive]
      : selectArchives(args, manifest, true).map((a) => a.name);
  const documents: Json[] = [];
  const parts = args.flag("consider-part-files");
  const totals = await repositoryTotals(manifest, cache, parts);
  for (const [i, name] of names.entries()) {
    const archive = await Archive.open(manifest, name);
    const progress = ctx.percent("archive.calc_stats", `Calculating statistics for archive ${name}`);
    const stats = await archiveStatistics(archive, cache.chunks, {
      parts,
      sizes: cache.sizes,
      progress: (done, total) => progress.show(done, total),
    });
    progress.finish();
    const { metadata } = archive;
    const used = (cache.chunks.get(archive.id)?.csize ?? 0) / MAX_DATA_SIZE;
    const seconds = (archive.end - archive.start) / 1e6;
    if (args.flag("json")) {
      documents.push({
        name: archive.name,
        id: archive.fingerprint,
        start: toLocalIso(archive.start),
        end: toLocalIso(archive.end),
        duration: new JsonFloat(seconds),
        stats: { ...stats.toJSON() },
        limits: { max_archive_size: new JsonFloat(used) },
        command_line: metadata.cmdline.map(removeSurrogates),
        cwd: metadata.cwd,
        hostname: metadata.hostname,
        username: metadata.username,
        comment: metadata.comment,
        chunker_params: metadata.chunkerParams ?? "",
      });
      continue;
    }
    ctx.print(
      [
        `Archive name: ${removeSurrogates(archive.name)}`,
        `Archive fingerprint: ${archive.fingerprint}`,
        `Comment: ${removeSurrogates(metadata.comment)}`,
        `Hostname: ${removeSurrogates(metadata.hostname)}`,
        `Username: ${removeSurrogates(metadata.username)}`,
        `Time (start): ${formatTime(archive.start)}`,
        `Time (end): ${formatTime(archive.end)}`,
        `Duration: ${formatDuration(seconds)}`,
        `Number of files: ${stats.nfiles}`,
        ...(metadata.raw.has("cwd") ? [`Working Directory: ${removeSurrogates(metadata.cwd)}`] : []),
        `Command line: ${metadata.cmdline.map((w) => shellQuote(removeSurrogates(w))).join(" ")}`,
        `Utilization of maximum supported archive size: ${percent(used)}`,
        DASHES,
        STATS_HEADER,
        statisticsLine(ctx, stats),
        totalsText(ctx, totals),
      ].join("\n"),
    );
    if (i < names.length - 1) ctx.print("");
  }
  if (args.flag("json")) ctx.printJson({ ...basicDocument(manifest, totals), archives: documents });
}

async function repository(
  args: Args,
  ctx: Context,
  { manifest, repository, key, environment }: OpenedManifest,
  cache: Cache,
): Promise<void> {
  const totals = await repositoryTotals(manifest, cache, args.flag("consider-part-files"));
  const securityDir = environment.securityDir(repository.idHex);
  if (args.flag("json")) {
    ctx.printJson({ ...basicDocument(manifest, totals), security_dir: securityDir });
    return;
  }
  const plain = key.name === "plaintext" || key.name === "authenticated";
  ctx.print(
    [
      `Repository ID: ${repository.idHex}`,
      `Location: ${repository.canonicalPath}`,
      `Encrypted: ${plain ? "No" : `Yes (${key.name})`}`,
      ...(key.info.storage === "keyfile" ? [`Key file: ${key.target}`] : []),
      `Cache: ${cache.path}`,
      `Security dir: ${securityDir}`,
      DASHES,
      STATS_HEADER,
      totalsText(ctx, totals),
    ].join("\n"),
  );
}
