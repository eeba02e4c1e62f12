// Salvaging a damaged segment (borg's recover_segment): the file is replaced by one with every entry that can be found in
// it whole, by looking for a plausible header with a matching CRC at every position.

import { crc32 } from "../runtime/crc32.ts";
import { removeTemporaries } from "../storage/atomic.ts";
import { MAX_OBJECT_SIZE } from "./constants.ts";
import { HEADER_SIZE, MAGIC, PUT_HEADER_SIZE, TAG_COMMIT, TAG_DELETE, TAG_PUT, u32 } from "./entry.ts";
import type { Segments } from "./segments.ts";

const WINDOW = 2 * MAX_OBJECT_SIZE;

/** Rewrites the file atomically; gives the number of entries that were saved. */
export function recoverSegment(segments: Segments, segment: number): number {
  segments.forget(segment);
  let saved = 0;
  function* chunks() {
    yield MAGIC;
    for (const entry of intactEntries(segments, segment)) {
      saved++;
      yield entry;
    }
  }
  removeTemporaries(segments.storage, segments.directory(segment));
  segments.storage.writeAtomic(segments.name(segment), chunks());
  segments.forget(segment);
  return saved;
}

function* intactEntries(segments: Segments, segment: number): Generator<Uint8Array> {
  const handle = segments.storage.openRead(segments.name(segment));
  try {
    const buffer = new Uint8Array(Math.min(WINDOW, handle.size()));
    let start = 0;
    let filled = handle.read(buffer, 0);
    let at = 0;
    for (;;) {
      if (filled - at < MAX_OBJECT_SIZE && start + filled < handle.size()) {
        buffer.copyWithin(0, at, filled);
        start += at;
        filled -= at;
        at = 0;
        filled += handle.read(buffer.subarray(filled), start + filled);
      }
      if (filled - at < HEADER_SIZE) return;
      const size = intactSize(buffer, at, filled - at);
      if (size > 0) yield buffer.subarray(at, at + size);
      at += size || 1;
    }
  } finally {
    handle.close();
  }
}

/** Size of the entry at a place if it is one; 0 if not. The cheap conditions come first: most positions fail them. */
function intactSize(buffer: Uint8Array, at: number, available: number): number {
  const tag = buffer[at + 8]!;
  if (tag > TAG_COMMIT) return 0;
  const size = u32(buffer, at + 4);
  if (size > available || size > MAX_OBJECT_SIZE) return 0;
  const plausible =
    (tag === TAG_PUT && size >= PUT_HEADER_SIZE) ||
    (tag === TAG_DELETE && size === PUT_HEADER_SIZE) ||
    (tag === TAG_COMMIT && size === HEADER_SIZE);
  if (!plausible) return 0;
  return crc32(buffer.subarray(at + 4, at + size)) === u32(buffer, at) ? size : 0;
}
