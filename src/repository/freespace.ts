// Is there room to finish a transaction? (borg's check_free_space): four times the index (journaled deletes, growth, the
// new file beside the old one), the hints, additional_free_space, and room to compact one segment. It is better to stop
// before COMMIT than to be left with a full disk on which nothing can be deleted any more.
import { describeSystemError } from "../errors.ts";
import { MAX_OBJECT_SIZE } from "./constants.ts";
import type { TransactionLog } from "./transaction.ts";

/** Required and available bytes where there is too little; undefined where there is enough, or nobody knows. */
export function missingSpace(
  log: TransactionLog,
  limits: { maxSegmentSize: number; additionalFreeSpace: number },
): { required: number; available: number } | undefined {
  const { hints, index, segments } = log;
  let required =
    index.fileSize * 4 + (hints.segments.size + hints.compact.size) * 10 + 4096 + limits.additionalFreeSpace;
  if (!log.options.appendOnly) {
    const fullSegment = limits.maxSegmentSize + MAX_OBJECT_SIZE;
    if (hints.compact.size < 10) {
      // Few segments, as in a small repository: what they hold now, rather than a full one.
      let working = 0;
      for (const [segment, free] of hints.compact) {
        const size = segments.sizeIfThere(segment);
        if (size > 0) working += size - free;
      }
      required += Math.min(working, fullSegment);
    } else required += fullSegment;
  }
  let available: number;
  try {
    available = log.storage.freeSpace();
  } catch (error) {
    const why = describeSystemError(error as NodeJS.ErrnoException);
    log.options.log("warning", `Cannot find out how much space is free before the commit: ${why}`);
    return undefined;
  }
  return available < required ? { required, available } : undefined;
}
