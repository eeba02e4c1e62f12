// What the segments alone say about transactions: a segment that ends with COMMIT makes everything up to it valid, and
// its number is the transaction's id. Whatever comes behind the last such segment is an aborted transaction's.
import { IntegrityError } from "../errors.ts";
import { COMMIT, HEADER_SIZE, MAGIC_SIZE, TAG_COMMIT } from "./entry.ts";
import { segmentEntries } from "./reader.ts";
import type { Segments } from "./segments.ts";

/** Whether a segment is intact and ends with COMMIT, with nothing but commits behind the first one. */
export function isCommitted(segments: Segments, segment: number): boolean {
  const size = segments.sizeIfThere(segment);
  if (size < MAGIC_SIZE + HEADER_SIZE) return false;
  const tail = new Uint8Array(HEADER_SIZE);
  segments.handle(segment).read(tail, size - HEADER_SIZE);
  if (tail.some((byte, i) => byte !== COMMIT[i])) return false;
  let committed = false;
  try {
    for (const entry of segmentEntries(segments, segment)) {
      if (entry.tag === TAG_COMMIT) committed = true;
      else if (committed) return false;
    }
  } catch (error) {
    if (error instanceof IntegrityError) return false;
    throw error;
  }
  return committed;
}

/** Number of the last committed segment; undefined if there is none. */
export function lastCommitted(segments: Segments): number | undefined {
  for (const segment of segments.numbers({ reverse: true }))
    if (isCommitted(segments, segment)) return segment;
  return undefined;
}

/** Deletes the segments of an aborted transaction: all behind the given one. Gives how many. */
export function deleteUncommitted(segments: Segments, transaction: number | undefined): number {
  let count = 0;
  for (const segment of [...segments.numbers({ reverse: true })]) {
    if (transaction !== undefined && segment <= transaction) break;
    segments.delete(segment);
    count++;
  }
  return count;
}
