// Deriving index and hints from segments: for transactions that were committed but not indexed before a crash, for a lost
// or damaged index, and for check. The rules are Borg's, down to what counts as freeable, so that both programs write the
// same hints for the same segments.
import type { HashIndex } from "../core/hashindex.ts";
import { HEADER_SIZE, TAG_DELETE, TAG_PUT } from "./entry.ts";
import type { Hints } from "./hints.ts";
import { readEntrySize, type SegmentEntry, segmentEntries } from "./reader.ts";
import type { Segments } from "./segments.ts";

/** What the repository holds at a point in its log. */
export interface LogState {
  /** Id → segment, offset. */
  index: HashIndex;
  hints: Hints;
}

export function addTo(map: Map<number, number>, key: number, amount: number): void {
  map.set(key, (map.get(key) ?? 0) + amount);
}

/** Takes a segment's entries, in order, into the state. */
export class SegmentReplay {
  private readonly state: LogState;
  private readonly segments: Segments;
  private readonly id = new Uint8Array(32);

  constructor(state: LogState, segments: Segments) {
    this.state = state;
    this.segments = segments;
  }

  /** @throws IntegrityError for a damaged segment */
  segment(segment: number): void {
    this.begin(segment);
    for (const entry of segmentEntries(this.segments, segment)) this.entry(entry);
    this.end(segment);
  }

  begin(segment: number): void {
    this.state.hints.segments.set(segment, 0);
  }

  entry(entry: SegmentEntry): void {
    if (entry.tag === TAG_PUT) this.put(entry);
    else if (entry.tag === TAG_DELETE) this.remove(entry);
  }

  end(segment: number): void {
    const { hints } = this.state;
    if (hints.segments.get(segment) === 0) hints.compact.set(segment, this.segments.sizeIfThere(segment));
  }

  private put({ segment, offset, size, buffer, at }: SegmentEntry): void {
    const { index, hints } = this.state;
    const idAt = at + HEADER_SIZE;
    const slot = index.find(buffer, idAt);
    if (slot >= 0) {
      const older = index.word(slot, 0);
      addTo(hints.compact, older, size);
      addTo(hints.segments, older, -1);
      hints.shadow.add(buffer, idAt, older);
      index.setWord(slot, 0, segment);
      index.setWord(slot, 1, offset);
    } else index.insert(buffer, idAt, segment, offset);
    addTo(hints.segments, segment, 1);
    hints.quotaUse += size;
  }

  private remove({ buffer, at }: SegmentEntry): void {
    const { index, hints } = this.state;
    const idAt = at + HEADER_SIZE;
    const slot = index.find(buffer, idAt);
    if (slot < 0) return;
    const older = index.word(slot, 0);
    const offset = index.word(slot, 1);
    index.remove(slot);
    // An index older than a compaction may point to a segment that is gone: then all is done already.
    if (!this.segments.exists(older)) return;
    addTo(hints.segments, older, -1);
    this.id.set(buffer.subarray(idAt, idAt + 32));
    addTo(hints.compact, older, readEntrySize(this.segments, older, offset, this.id));
    hints.shadow.add(this.id, 0, older);
  }
}

/** Hints of version 1 name the sparse segments only: counts what each of them could free. */
export function measureSparse(state: LogState, segments: Segments, sparse: Iterable<number>): void {
  const { index, hints } = state;
  for (const segment of [...sparse].sort((a, b) => a - b)) {
    if (!segments.exists(segment)) {
      hints.segments.delete(segment);
      continue;
    }
    if ((hints.segments.get(segment) ?? 0) === 0) {
      hints.compact.set(segment, segments.size(segment));
      continue;
    }
    let freeable = 0;
    for (const entry of segmentEntries(segments, segment, { headersOnly: true })) {
      if (entry.tag === TAG_PUT) {
        const slot = index.find(entry.buffer, entry.at + HEADER_SIZE);
        const current = slot >= 0 && index.word(slot, 0) === segment && index.word(slot, 1) === entry.offset;
        if (!current) freeable += entry.size;
      } else if (entry.tag === TAG_DELETE) freeable += entry.size;
    }
    hints.compact.set(segment, freeable);
  }
}
