// Borg's `fixed` chunker: an optional header, then blocks of equal size; the last may be shorter. A header larger than a
// block is cut into blocks of its own.

import type { Chunker } from "./types.ts";

export class FixedChunker implements Chunker {
  readonly blockSize: number;
  readonly headerSize: number;
  readonly maxSize: number;
  #header: number;

  constructor({ blockSize, headerSize = 0 }: { blockSize: number; headerSize?: number }) {
    this.blockSize = blockSize;
    this.headerSize = headerSize;
    this.#header = headerSize;
    this.maxSize = Math.max(blockSize, headerSize);
  }

  reset(): void {
    this.#header = this.headerSize;
  }

  /** See `Chunker.cuts`. The first call after the start or `reset` begins with the header. */
  cuts(_ptr: number, length: number, eof: boolean): Uint32Array {
    const out: number[] = [];
    let rest = length;
    while (rest > 0) {
      const want = this.#header > 0 ? Math.min(this.#header, this.blockSize) : this.blockSize;
      if (rest < want && !eof) break;
      const length = Math.min(want, rest);
      out.push(length);
      rest -= length;
      this.#header = Math.max(this.#header - length, 0);
    }
    return Uint32Array.from(out);
  }
}
