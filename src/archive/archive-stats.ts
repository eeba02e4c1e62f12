// The figures of an archive that exists: totals from its metadata (Borg 1.2 and later) or from its items, and its
// deduplicated size, which has to be counted against the chunks cache: what only this archive references.

import { type ChunkIndex, OwnReferences } from "../cache/chunks.ts";
import { ItemScanner, type ReferenceSink } from "../cache/itemscan.ts";
import type { Archive } from "./archive.ts";
import { itemPieces } from "./item-pieces.ts";
import { Statistics } from "./stats.ts";

const NOWHERE: ReferenceSink = { references: () => undefined };

/**
 * @param chunks references of all archives; without them the deduplicated size is not computed (0)
 * @param parts count part files as files of their own
 */
export async function archiveStatistics(
  archive: Archive,
  chunks: ChunkIndex | undefined,
  options: { parts?: boolean; progress?: (done: number, total: number) => void } = {},
): Promise<Statistics> {
  const stats = new Statistics();
  const { totals } = archive.metadata;
  if (totals) {
    stats.osize = totals.size;
    stats.csize = totals.csize;
    stats.nfiles = totals.nfiles;
    if (options.parts) {
      stats.osize += totals.sizeParts;
      stats.csize += totals.csizeParts;
      stats.nfiles += totals.nfilesParts;
    }
    if (!chunks) return stats;
  }
  const own = chunks && new OwnReferences(chunks);
  const scanner = new ItemScanner(own ?? NOWHERE);
  let done = 0;
  for await (const data of itemPieces(archive.objects, archive.metadata.items)) {
    scanner.feed(data);
    options.progress?.(++done, archive.metadata.items.length);
  }
  scanner.finish();
  if (!totals) {
    const { totals: all, parts } = scanner;
    stats.osize = all.size - (options.parts ? 0 : parts.size);
    stats.csize = all.csize - (options.parts ? 0 : parts.csize);
    stats.nfiles = all.files - (options.parts ? 0 : parts.files);
  }
  if (own) stats.usize = Number(own.summarize().uniqueCsize);
  return stats;
}
