// The contract of the chunkers, apart from them so that they and their factory need not import each other.

import type { BoundarySearch } from "./boundary.ts";

export interface Chunker {
  /** Largest chunk in bytes; a buffer of this size always gives at least one chunk. */
  readonly maxSize: number;
  /**
   * The lengths of the chunks at the front of [ptr, ptr + length) that no further data can change. The buffer
   * starts at a chunk's start; with `eof` it ends at the stream's end and the lengths sum to `length`.
   * `from`: how long the buffer was when an earlier call found no cut in it (0 if there was none).
   */
  cuts(ptr: number, length: number, eof: boolean, from?: number): Uint32Array;
  /**
   * A position of the buffer at which the stream is cut wherever its chunks before began, so that what follows can be
   * cut by itself; undefined where the buffer shows none. The buffer may start anywhere in the stream, and grow at its
   * end from call to call. Absent where chunks are not found by content.
   */
  boundary?(ptr: number, length: number, search: BoundarySearch): number | undefined;
  /** Forgets the position in the stream, before another file. */
  reset(): void;
}
