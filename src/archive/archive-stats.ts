// The figures of an archive that exists: totals from its metadata (Borg 1.2 and later) or from its items, and its
// deduplicated size, which has to be counted against the chunks cache: what only this archive references. What was counted
// before need not be counted again.

import type { ArchiveSizes, ArchiveTotals } from "../cache/archive-sizes.ts";
import { type ChunkIndex, OwnReferences } from "../cache/chunks.ts";
import { ItemScanner, type ReferenceSink } from "../cache/itemscan.ts";
import type { Archive } from "./archive.ts";
import { itemPieces } from "./item-pieces.ts";
import { Statistics } from "./stats.ts";

const NOWHERE: ReferenceSink = { references: () => undefined };

export interface ArchiveStatisticsOptions {
  /** Count part files as files of their own. */
  parts?: boolean;
  /** What was counted before, and will be known the next time. */
  sizes?: ArchiveSizes | undefined;
  progress?: (done: number, total: number) => void;
}

/** @param chunks references of all archives; without them the deduplicated size is not told (0) */
export async function archiveStatistics(
  archive: Archive,
  chunks: ChunkIndex | undefined,
  options: ArchiveStatisticsOptions = {},
): Promise<Statistics> {
  const { sizes } = options;
  const recorded = archive.metadata.totals ?? sizes?.totals(archive.id);
  const known = chunks ? sizes?.deduplicated(archive.id) : 0;
  if (recorded && known !== undefined) return statistics(recorded, known, options);
  const own = chunks && known === undefined ? new OwnReferences(chunks) : undefined;
  const totals = await scan(archive, own ?? NOWHERE, options);
  if (!recorded) sizes?.setTotals(archive.id, totals);
  if (!own) return statistics(recorded ?? totals, known ?? 0, options);
  const deduplicated = Number(own.summarize().uniqueCsize);
  sizes?.setDeduplicated(archive.id, deduplicated);
  return statistics(recorded ?? totals, deduplicated, options);
}

async function scan(
  archive: Archive,
  sink: ReferenceSink,
  options: ArchiveStatisticsOptions,
): Promise<ArchiveTotals> {
  const scanner = new ItemScanner(sink);
  let done = 0;
  for await (const data of itemPieces(archive.objects, archive.metadata.items)) {
    scanner.feed(data);
    options.progress?.(++done, archive.metadata.items.length);
  }
  scanner.finish();
  const { totals: all, parts } = scanner;
  return {
    size: all.size - parts.size,
    csize: all.csize - parts.csize,
    nfiles: all.files - parts.files,
    sizeParts: parts.size,
    csizeParts: parts.csize,
    nfilesParts: parts.files,
  };
}

function statistics(
  totals: ArchiveTotals,
  usize: number,
  { parts = false }: ArchiveStatisticsOptions,
): Statistics {
  const stats = new Statistics();
  stats.osize = totals.size + (parts ? totals.sizeParts : 0);
  stats.csize = totals.csize + (parts ? totals.csizeParts : 0);
  stats.nfiles = totals.nfiles + (parts ? totals.nfilesParts : 0);
  stats.usize = usize;
  return stats;
}
