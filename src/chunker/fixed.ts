// Borg's `fixed` chunker: an optional header chunk, then blocks of equal size; the last may be shorter.

import type { Chunker } from "./types.ts";

export class FixedChunker implements Chunker {
  readonly blockSize: number;
  readonly headerSize: number;
  readonly maxSize: number;
  #headerDone = false;

  constructor({ blockSize, headerSize = 0 }: { blockSize: number; headerSize?: number }) {
    this.blockSize = blockSize;
    this.headerSize = headerSize;
    this.maxSize = Math.max(blockSize, headerSize);
  }

  reset(): void {
    this.#headerDone = false;
  }

  /** See `Chunker.cuts`. The first call after the start or `reset` begins with the header. */
  cuts(_ptr: number, length: number, eof: boolean): Uint32Array {
    const out: number[] = [];
    let rest = length;
    while (rest > 0) {
      const want = this.#headerDone || !this.headerSize ? this.blockSize : this.headerSize;
      if (rest < want && !eof) break;
      out.push(Math.min(want, rest));
      rest -= Math.min(want, rest);
      this.#headerDone = true;
    }
    return Uint32Array.from(out);
  }
}
