// Borg's content-defined chunker. The rule that equals its C code, for a chunk that starts at s: cut at the first
// p ≥ s + min with p + window < min(EOF, s + max) whose window's hash has maskBits zero bits, else at
// min(EOF, s + max); and if EOF − s < min + window + 1, the rest is one chunk.
// For Borg's window the core scans four streams at once and lists all cuts of a stretch (bench/kernels: 1.7 to 2.4
// times the best plain C loop on V8); min and max are applied here, and the list serves the chunks that follow.

import type { Core } from "../core/index.ts";
import { type BoundarySearch, boundaryDistances } from "./boundary.ts";
import { checkBuzhash } from "./params.ts";
import type { Chunker } from "./types.ts";

const STATE_BYTES = 2048;
/** Positions a lane of the four-stream scan takes: longer ones amortise the start, shorter ones overshoot less. */
const LANE = 65536 + 2;
/** Cuts a lane can report. */
const ROOM = 2048;
/** Below this many positions the four streams' start (16 KiB of hashing) costs more than they gain. */
const FEW = 24576;

/** Regions in a core's memory, which never shrinks: the chunkers of many archives share them. A call is over before the
 *  next one begins, and a table depends on seed and window alone. */
interface Regions {
  readonly states: Map<string, number>;
  list: number;
}
const regionsOf = new WeakMap<Core, Regions>();

function regions(core: Core): Regions {
  let found = regionsOf.get(core);
  if (!found) {
    found = { states: new Map(), list: 0 };
    regionsOf.set(core, found);
  }
  return found;
}

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
  readonly #parallel: boolean;
  // The cuts that the four-stream scan found in the last stretch of the buffer of the running call: positions
  // #from to #to, #found entries of which #next is the first not yet passed.
  readonly #list: number;
  #from = 0;
  #to = 0;
  #found = 0;
  #next = 0;

  constructor(core: Core, { seed, minExp, maxExp, maskBits, windowSize }: BuzhashOptions) {
    checkBuzhash({ algo: "buzhash", minExp, maxExp, maskBits, windowSize });
    this.minSize = 2 ** minExp;
    this.maxSize = 2 ** maxExp;
    this.#core = core;
    this.#window = windowSize;
    this.#mask = 2 ** maskBits - 1;
    const shared = regions(core);
    const name = `${seed | 0} ${windowSize}`;
    let state = shared.states.get(name);
    if (state === undefined) {
      state = core.alloc(STATE_BYTES);
      core.raw.buzhashInit(state, seed | 0, windowSize);
      shared.states.set(name, state);
    }
    this.#state = state;
    // With masks of few bits nearly every turn has a cut, and the plain loop stops at once.
    this.#parallel = windowSize === 4095 && maskBits >= 10;
    if (this.#parallel) shared.list ||= core.alloc(64 + 16 * ROOM) + 64;
    this.#list = this.#parallel ? shared.list : 0;
  }

  reset(): void {}

  /** See `Chunker.cuts`. */
  cuts(ptr: number, length: number, eof: boolean, from = 0): Uint32Array {
    // Most files are one chunk.
    if (eof && length > 0 && length < this.minSize + this.#window + 1) return Uint32Array.of(length);
    const out: number[] = [];
    this.#from = this.#to = 0;
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
      const end = start + limit - this.#window;
      const cut = this.#scan(ptr, first, end);
      if (cut < end) out.push(cut - start);
      else if (eof || limit === this.maxSize) out.push(limit);
      else break;
      start += out[out.length - 1]!;
      tested = 0;
    }
    return Uint32Array.from(out);
  }

  boundary(ptr: number, length: number, search: BoundarySearch): number | undefined {
    const { least, most } = boundaryDistances({ ...this, windowSize: this.#window });
    const end = length - this.#window;
    this.#from = this.#to = 0;
    while (search.at < end && !search.isHopeless) {
      const position = this.#scan(ptr, search.at, end);
      if (position === end) search.at = end;
      else if (search.take(position, least, most)) return position;
    }
    return undefined;
  }

  // The first cut among the positions from `first` to `end` of the buffer at ptr; `end` if there is none.
  #scan(ptr: number, first: number, end: number): number {
    const { raw, u32 } = this.#core;
    const list = this.#list >> 2;
    for (let at = first; at < end; ) {
      if (at >= this.#from && at < this.#to) {
        while (this.#next < this.#found && this.#from + u32[list + this.#next]! < at) this.#next++;
        const cut = this.#next < this.#found ? this.#from + u32[list + this.#next]! : this.#to;
        if (cut < this.#to || this.#to >= end) return Math.min(cut, end);
        at = this.#to;
        continue;
      }
      const count = end - at;
      if (count < FEW || !this.#parallel) {
        return at + (raw.buzhashScan(this.#state, ptr + at, count, this.#window, this.#mask) >>> 0);
      }
      const lane = Math.min(LANE, ((count / 4 - 2) & ~31) + 2);
      this.#found = raw.buzhashScan4(this.#state, ptr + at, lane, this.#mask, this.#list, ROOM);
      this.#from = at;
      this.#to = at + u32[list - 1]!;
      this.#next = 0;
    }
    return end;
  }
}
