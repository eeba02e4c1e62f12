// Reading many objects in a given order. Objects of one file were mostly written one behind the other, so the neighbours
// that will be wanted next are read together: fewer, larger reads matter on network file systems and turning disks.
import { objectInBuffer, readObject } from "./reader.ts";
import type { Segments } from "./segments.ts";

// Ids that are looked at in advance, the largest gap that is read along, and the largest read.
const AHEAD = 64;
const GAP = 256 << 10;
const LARGEST = 4 << 20;
// The last object's size is not known before it is read.
const TAIL = 64 << 10;

interface Place {
  segment: number;
  offset: number;
}

/** Objects in the order of the ids; undefined where `locate` gives undefined. */
export function* readAhead(
  segments: Segments,
  ids: Iterable<Uint8Array>,
  locate: (id: Uint8Array) => Place | undefined,
): Generator<Uint8Array | undefined> {
  const source = ids[Symbol.iterator]();
  const queue: { id: Uint8Array }[] = [];
  let exhausted = false;
  let window: { segment: number; base: number; bytes: Uint8Array } | undefined;
  for (;;) {
    while (!exhausted && queue.length < AHEAD) {
      const next = source.next();
      if (next.done) exhausted = true;
      else queue.push({ id: next.value });
    }
    const head = queue.shift();
    if (!head) return;
    const at = locate(head.id);
    if (!at) {
      yield undefined;
      continue;
    }
    let data: Uint8Array | undefined;
    if (window?.segment === at.segment)
      data = objectInBuffer(window.bytes, window.base, at.segment, at.offset, head.id);
    if (!data) {
      const end = runEnd(at, queue, locate);
      if (end > at.offset) {
        // Megabytes that need not be filled with zeros first.
        const bytes = new Uint8Array(Buffer.allocUnsafeSlow(end - at.offset + TAIL).buffer);
        const n = segments.handle(at.segment).read(bytes, at.offset);
        window = { segment: at.segment, base: at.offset, bytes: bytes.subarray(0, n) };
        data = objectInBuffer(window.bytes, window.base, at.segment, at.offset, head.id);
      }
      data ??= readObject(segments, at.segment, at.offset, head.id);
    }
    yield data;
  }
}

/** Offset of the last of the following objects that a read from `at` on should include. */
function runEnd(
  at: Place,
  queue: { id: Uint8Array }[],
  locate: (id: Uint8Array) => Place | undefined,
): number {
  let end = at.offset;
  for (const { id } of queue) {
    let next: Place | undefined;
    try {
      next = locate(id);
    } catch {
      // A missing object is reported when its turn comes.
      return end;
    }
    if (!next || next.segment !== at.segment || next.offset < end) return end;
    if (next.offset - end > GAP || next.offset - at.offset > LARGEST) return end;
    end = next.offset;
  }
  return end;
}
