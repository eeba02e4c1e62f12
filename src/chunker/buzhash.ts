// Borg's content-defined chunker. The rule that equals its C code, for a chunk that starts at s: cut at the first
// p ≥ s + min with p + window < min(EOF, s + max) whose window's hash has maskBits zero bits, else at
// min(EOF, s + max); and if EOF − s < min + window + 1, the rest is one chunk.

import type { Core } from "../core/index.ts";
import type { Chunker } from "./index.ts";
import { checkBuzhash } from "./params.ts";

const STATE_BYTES = 2048;

export interface BuzhashOptions {
  /** The repository's chunk_seed, signed or unsigned 32 bits. */
  seed: number;
  minExp: number;
  maxExp: number;
  maskBits: number;
  windowSize: number;
}

export class Buzhash implements Chunker {
  readonly minSize: number;
  readonly maxSize: number;
  readonly #core: Core;
  readonly #window: number;
  readonly #mask: number;
  readonly #state: number;

  constructor(core: Core, { seed, minExp, maxExp, maskBits, windowSize }: BuzhashOptions) {
    checkBuzhash({ algo: "buzhash", minExp, maxExp, maskBits, windowSize });
    this.minSize = 2 ** minExp;
    this.maxSize = 2 ** maxExp;
    this.#core = core;
    this.#window = windowSize;
    this.#mask = 2 ** maskBits - 1;
    this.#state = core.alloc(STATE_BYTES);
    core.raw.buzhashInit(this.#state, seed | 0, windowSize);
  }

  reset(): void {}

  /** See `Chunker.cuts`. */
  cuts(ptr: number, length: number, eof: boolean, from = 0): Uint32Array {
    const out: number[] = [];
    let start = 0;
    // Positions up to here are known to be no cut: those whose window an earlier call could test.
    let tested = Math.max(0, from - this.#window);
    while (start < length) {
      const rest = length - start;
      if (rest < this.minSize + this.#window + 1) {
        if (eof) out.push(rest);
        break;
      }
      const limit = Math.min(rest, this.maxSize);
      const first = Math.max(start + this.minSize, tested);
      const count = start + limit - this.#window - first;
      const hit = count > 0 ? this.#scan(ptr + first, count) : count;
      if (hit < count) out.push(first + hit - start);
      else if (eof || limit === this.maxSize) out.push(limit);
      else break;
      start += out[out.length - 1]!;
      tested = 0;
    }
    return Uint32Array.from(out);
  }

  // Distance from p to the first of `count` positions that is a cut; `count` if none is.
  #scan(p: number, count: number): number {
    return this.#core.raw.buzhashScan(this.#state, p, count, this.#window, this.#mask) >>> 0;
  }
}
