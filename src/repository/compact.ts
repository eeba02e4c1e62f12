// Compaction (borg's compact_segments): segments with enough superseded entries have their live ones copied to new
// segments and are deleted, always after a COMMIT that covers the copies. A DELETE is copied, too, as long as an older
// PUT of its id may still be on the disk, because otherwise a crash or a later rebuild would bring the object back.
import { formatFileSize } from "../format/sizes.ts";
import { indexTransaction } from "./auxiliary.ts";
import { breathe, MANIFEST_ID } from "./constants.ts";
import { HEADER_SIZE, MAGIC_SIZE, PUT_HEADER_SIZE, TAG_COMMIT, TAG_DELETE, TAG_PUT } from "./entry.ts";
import { type SegmentEntry, segmentEntries } from "./reader.ts";
import { addTo } from "./replay.ts";
import type { TransactionLog } from "./transaction.ts";
import type { Progress, ProgressSink } from "./types.ts";

/** A segment that holds nothing but a COMMIT. */
const COMMIT_ONLY = MAGIC_SIZE + HEADER_SIZE;

export interface CompactOptions {
  /** Fraction 0…1 of freeable bytes above which a segment is compacted; default 0.1. */
  threshold?: number;
  /** Also removes segments of 17 bytes, which old versions left behind in large numbers. */
  cleanupCommits?: boolean;
  progress?: ProgressSink;
}

/** Segments that would be compacted, and about how many bytes that would free. For a dry run. */
export function compactionPlan(log: TransactionLog, threshold = 0.1): { segments: number[]; bytes: number } {
  const segments: number[] = [];
  let bytes = 0;
  for (const [segment, freeable] of log.readHints().compact) {
    const size = log.segments.sizeIfThere(segment);
    if (size === 0 || !(freeable / size > threshold)) continue;
    segments.push(segment);
    bytes += Math.min(freeable, size);
  }
  return { segments: segments.sort((a, b) => a - b), bytes };
}

/** Marks all segments that hold only a COMMIT as entirely free. */
export function markCommitSegments(log: TransactionLog): void {
  for (const segment of log.segments.numbers()) {
    if (log.segments.sizeIfThere(segment) !== COMMIT_ONLY) continue;
    log.hints.segments.set(segment, 0);
    log.hints.compact.set(segment, HEADER_SIZE);
  }
}

/** Runs within a transaction whose COMMIT is written. Gives the bytes freed, as the quota counts them. */
export async function compactSegments(log: TransactionLog, options: CompactOptions = {}): Promise<number> {
  const { threshold = 0.1, progress } = options;
  const report = log.options.log;
  if (log.hints.compact.size === 0) return 0;
  const before = log.hints.quotaUse;
  const run = new Compaction(log);
  const candidates = [...log.hints.compact].sort((a, b) => a[0] - b[0]);
  const show = (current: number, finished = false) => {
    const state: Progress = { msgid: "repository.compact_segments", current, total: candidates.length };
    progress?.(finished ? { ...state, finished } : state);
  };
  let done = 0;
  for (const [segment, freeable] of candidates) {
    const size = log.segments.sizeIfThere(segment);
    if (size === 0) {
      report("warning", `Segment ${segment} is to be compacted, but it does not exist.`);
      log.hints.compact.delete(segment);
      log.hints.segments.delete(segment);
    } else if (freeable / size > threshold) {
      run.segment(segment);
      await breathe();
    }
    show(++done);
  }
  show(done, true);
  run.complete(false);
  log.segments.removeEmptyDirectories();
  const freed = before - log.hints.quotaUse;
  report("info", `compaction freed about ${formatFileSize(freed)} repository space.`);
  return freed;
}

class Compaction {
  private readonly log: TransactionLog;
  private readonly settled: number | undefined;
  private unused: number[] = [];
  /** Segments with a DELETE that is not kept, because the PUT that it covers goes in the same run. */
  private readonly coverers = new Set<number>();
  private readonly id = new Uint8Array(32);

  constructor(log: TransactionLog) {
    this.log = log;
    // What the index on the disk covers has certainly happened completely, deletions of files included.
    this.settled = indexTransaction(log.storage);
  }

  segment(segment: number): void {
    const { hints, segments, options } = this.log;
    addTo(hints.segments, segment, 0);
    for (const entry of segmentEntries(segments, segment)) {
      if (entry.tag === TAG_COMMIT) continue;
      this.entry(entry);
    }
    const left = hints.segments.get(segment);
    if (left !== 0) {
      options.log(
        "warning",
        `Segment ${segment} counts ${left} objects in use, but has none: damaged index or hints.`,
      );
    }
    this.unused.push(segment);
  }

  private entry(entry: SegmentEntry): void {
    const { hints, index } = this.log;
    const { tag, segment, offset, size, buffer, at } = entry;
    const slot = index.find(buffer, at + HEADER_SIZE);
    if (tag === TAG_PUT) {
      if (slot >= 0 && index.word(slot, 0) === segment && index.word(slot, 1) === offset) {
        const to = this.copy(entry);
        index.setWord(slot, 0, to.segment);
        index.setWord(slot, 1, to.offset);
        addTo(hints.segments, to.segment, 1);
        addTo(hints.segments, segment, -1);
      } else {
        // Superseded: it is gone with this segment. An empty list must stay, the DELETE's turn comes later.
        hints.shadow.removeSegment(buffer, at + HEADER_SIZE, segment);
        hints.quotaUse -= size;
      }
    } else if (tag === TAG_DELETE && slot < 0) this.deletion(entry);
  }

  private deletion(entry: SegmentEntry): void {
    const { hints } = this.log;
    const { segment, buffer, at } = entry;
    const idAt = at + HEADER_SIZE;
    const shadowed = hints.shadow.get(buffer, idAt);
    // Without an entry in the shadow index nothing is known about older PUTs: the DELETE must stay.
    const olderPut = shadowed === undefined || shadowed.some((s) => s < segment);
    const unsettled = this.settled === undefined || segment > this.settled;
    if (olderPut || unsettled) {
      const to = this.copy(entry);
      addTo(hints.compact, to.segment, PUT_HEADER_SIZE);
      addTo(hints.segments, to.segment, 0);
    } else {
      this.coverers.add(segment);
      if (shadowed.length === 0) hints.shadow.delete(buffer, idAt);
    }
  }

  /** Copies an entry as it is (its CRC was just verified) to the segment being written. */
  private copy({ buffer, at, size }: SegmentEntry): { segment: number; offset: number } {
    const { writer } = this.log;
    this.id.set(buffer.subarray(at + HEADER_SIZE, at + HEADER_SIZE + 32));
    const manifest = this.id.every((byte, i) => byte === MANIFEST_ID[i]);
    if (writer.isFull || manifest) this.complete(true);
    const offset = this.log.appendRaw(buffer.subarray(at, at + size), manifest);
    return { segment: writer.segment, offset };
  }

  /** Commits what was copied, and only then deletes the segments it came from. */
  complete(intermediate: boolean): void {
    const { log } = this;
    log.commitSegment({ intermediate });
    // A loss of power may undo what was not synced, in any order. A segment that comes back must not bring objects back
    // whose DELETE is gone: the next rebuild of the index would list them, and check would call the repository damaged.
    const touched = new Set<string>();
    const settle = () => {
      for (const dir of touched) log.storage.syncDir(dir);
      touched.clear();
    };
    for (const segment of this.unused) {
      if (this.coverers.delete(segment)) settle();
      const count = log.hints.segments.get(segment) ?? 0;
      if (count !== 0) {
        log.options.log("warning", `Segment ${segment} counts ${count} objects in use while it is deleted.`);
      }
      log.segments.delete(segment);
      touched.add(log.segments.directory(segment));
      log.hints.segments.delete(segment);
      log.hints.compact.delete(segment);
    }
    settle();
    this.unused = [];
  }
}
