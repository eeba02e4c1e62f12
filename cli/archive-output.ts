// How archives, repositories and caches are shown: Borg's statistics texts and JSON documents.
import { Archive } from "../src/archive/archive.ts";
import { archiveStatistics } from "../src/archive/archive-stats.ts";
import type { Manifest } from "../src/archive/manifest.ts";
import type { Statistics } from "../src/archive/stats.ts";
import type { ArchiveWriter } from "../src/archive/writer.ts";
import type { ArchiveSizes } from "../src/cache/archive-sizes.ts";
import type { ChunkIndex, ChunkSummary } from "../src/cache/chunks.ts";
import { toHex } from "../src/format/bytes.ts";
import { formatDuration, formatTime, parseTimestamp, toLocalIso } from "../src/format/time.ts";
import type { Repository } from "../src/repository/types.ts";
import type { Context } from "./context.ts";
import { commandLine } from "./identity.ts";
import { type Json, JsonFloat } from "./output/json.ts";

export const DASHES = "-".repeat(78);
export const STATS_HEADER = `${" ".repeat(23)}Original size      Compressed size    Deduplicated size`;

/** "This archive:" and the like, with three sizes. */
export function sizesLine(ctx: Context, label: string, sizes: readonly (number | bigint)[]): string {
  return [label.padEnd(15), ...sizes.map((n) => ctx.size(n).padStart(20))].join(" ");
}

export function statisticsLine(ctx: Context, stats: Statistics, label = "This archive:"): string {
  return sizesLine(ctx, label, [stats.osize, stats.csize, stats.usize]);
}

/** Sums over a repository, as info and --stats show them. */
export interface RepositoryTotals extends ChunkSummary {
  /** The cache's directory; absent without one. */
  path: string | undefined;
}

/**
 * The totals of a repository. Original and compressed size are summed up over the archives: the chunks cache counts
 * metadata and part files too, which belong to no file. Borg's CacheStatsMixin.
 */
export async function repositoryTotals(
  manifest: Manifest,
  cache: { readonly chunks: ChunkIndex; readonly path?: string; readonly sizes?: ArchiveSizes },
  parts = false,
): Promise<RepositoryTotals> {
  let totalSize = 0;
  let totalCsize = 0;
  for (const info of manifest.archives.values()) {
    const archive = await Archive.load(manifest, info.id);
    const stats = await archiveStatistics(archive, undefined, { parts, sizes: cache.sizes });
    totalSize += stats.osize;
    totalCsize += stats.csize;
  }
  return { ...cache.chunks.summarize(), totalSize, totalCsize, path: cache.path };
}

export function totalsText(ctx: Context, s: RepositoryTotals): string {
  return [
    sizesLine(ctx, "All archives:", [s.totalSize, s.totalCsize, s.uniqueCsize]),
    "",
    `${" ".repeat(23)}Unique chunks         Total chunks`,
    `Chunk index:    ${String(s.totalUniqueChunks).padStart(20)} ${String(s.totalChunks).padStart(20)}`,
  ].join("\n");
}

function totalsJson(s: RepositoryTotals): Json {
  return {
    path: s.path,
    stats: {
      total_size: s.totalSize,
      total_csize: s.totalCsize,
      unique_size: s.uniqueSize,
      unique_csize: s.uniqueCsize,
      total_unique_chunks: s.totalUniqueChunks,
      total_chunks: s.totalChunks,
    },
  };
}

/** What every JSON document of Borg's has: repository, encryption, and the cache where there is one. */
export function basicDocument(manifest: Manifest, totals?: RepositoryTotals): { [key: string]: Json } {
  const { repository } = manifest.objects;
  const { key } = manifest;
  return {
    repository: {
      id: repository.idHex,
      location: repository.canonicalPath,
      last_modified: toLocalIso(parseTimestamp(manifest.timestamp ?? "1970-01-01T00:00:00.000000")),
    },
    encryption: {
      mode: key.argName,
      ...(key.info.storage === "keyfile" ? { keyfile: key.target } : {}),
    },
    ...(totals ? { cache: totalsJson(totals) } : {}),
  };
}

/** `create --json`. */
export function archiveDocument(
  ctx: Context,
  manifest: Manifest,
  writer: ArchiveWriter,
  totals: RepositoryTotals | undefined,
): Json {
  return {
    ...basicDocument(manifest, totals),
    archive: {
      name: writer.name,
      id: toHex(writer.id),
      start: toLocalIso(writer.start),
      end: toLocalIso(writer.end),
      duration: new JsonFloat((writer.end - writer.start) / 1e6),
      stats: { ...writer.store.stats.toJSON() },
      limits: { max_archive_size: new JsonFloat(writer.utilization()) },
      command_line: commandLine(ctx),
    },
  };
}

/** `create --stats`. */
export function archiveSummary(
  ctx: Context,
  repository: Repository,
  writer: ArchiveWriter,
  totals: RepositoryTotals | undefined,
): string {
  return [
    DASHES,
    `Repository: ${repository.canonicalPath}`,
    `Archive name: ${writer.name}`,
    `Archive fingerprint: ${toHex(writer.id)}`,
    `Time (start): ${formatTime(writer.start)}`,
    `Time (end):   ${formatTime(writer.end)}`,
    `Duration: ${formatDuration((writer.end - writer.start) / 1e6)}`,
    `Number of files: ${writer.store.stats.nfiles}`,
    `Utilization of max. archive size: ${percent(writer.utilization())}`,
    DASHES,
    STATS_HEADER,
    statisticsLine(ctx, writer.store.stats),
    ...(totals ? [totalsText(ctx, totals)] : []),
    DASHES,
  ].join("\n");
}

/** Python's {:.0%}. */
export function percent(fraction: number): string {
  return `${Math.round(fraction * 100)}%`;
}
