// The records that an engine writes beside its entries: what became of each file's chunks, and of the file.
import type { OutputSlot } from "./engine-setup.ts";
import {
  align4,
  BOUNDARY_RECORD_BYTES,
  CHUNK_RECORD_BYTES,
  END_RECORD_BYTES,
  type FreshStat,
  RECORD_BOUNDARY,
  RECORD_END,
  RECORD_ERROR,
  writeFreshStat,
} from "./messages.ts";

const MOST_TEXT = 4096;

/** A chunk that is known or new. @param idAt where its id lies in `memory` */
export function writeChunk(
  slot: OutputSlot,
  kind: number,
  size: number,
  entryBytes: number,
  memory: Uint8Array,
  idAt: number,
): void {
  const { view } = slot;
  const p = slot.recordPos;
  view.setUint32(p, kind, true);
  view.setUint32(p + 4, size, true);
  view.setUint32(p + 8, entryBytes, true);
  for (let i = 0; i < 32; i += 4)
    view.setUint32(
      p + 12 + i,
      memory[idAt + i]! |
        (memory[idAt + i + 1]! << 8) |
        (memory[idAt + i + 2]! << 16) |
        (memory[idAt + i + 3]! << 24),
      true,
    );
  slot.recordPos = p + CHUNK_RECORD_BYTES;
}

/** The end of a file that was read. */
export function writeEnd(slot: OutputSlot, flags: number, stat: FreshStat | undefined): void {
  const { view } = slot;
  const p = slot.recordPos;
  view.setUint32(p, RECORD_END, true);
  view.setUint32(p + 4, flags, true);
  if (stat) writeFreshStat(view, p + 8, stat);
  slot.recordPos = p + END_RECORD_BYTES;
}

/** Where the next piece of a large file begins. */
export function writeBoundary(slot: OutputSlot, offset: number): void {
  const { view } = slot;
  const p = slot.recordPos;
  view.setUint32(p, RECORD_BOUNDARY, true);
  view.setFloat64(p + 8, offset, true);
  slot.recordPos = p + BOUNDARY_RECORD_BYTES;
}

/** What writeError takes, of bounded length. */
export function errorText(code: string, syscall: string, message: string): Uint8Array {
  return new TextEncoder().encode([code, syscall, message].join("\0")).subarray(0, MOST_TEXT);
}

/** The end of a file that could not be read. */
export function writeError(slot: OutputSlot, text: Uint8Array): void {
  const { view } = slot;
  const p = slot.recordPos;
  view.setUint32(p, RECORD_ERROR, true);
  view.setUint32(p + 4, text.length, true);
  new Uint8Array(view.buffer, view.byteOffset + p + 8, text.length).set(text);
  slot.recordPos = align4(p + 8 + text.length);
}
