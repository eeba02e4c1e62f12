// Cuts a stream that arrives in pieces into chunks: for data that does not come from files (tar members, the contents
// of archives that are chunked anew). Files go through the create pipeline instead.
import { type Chunker, type ChunkerParams, createChunker } from "../chunker/index.ts";
import type { Core } from "../core/index.ts";

// The core's memory never shrinks: a buffer that a stream has done with serves the next one, of this chunker or another.
const free = new WeakMap<Core, { region: number; capacity: number }[]>();

function borrow(core: Core, capacity: number): { region: number; capacity: number } {
  let pool = free.get(core);
  if (!pool) {
    pool = [];
    free.set(core, pool);
  }
  const i = pool.findIndex((b) => b.capacity >= capacity);
  return i >= 0 ? pool.splice(i, 1)[0]! : { region: core.alloc(capacity), capacity };
}

/** One buffer in the core's memory for each stream under way. */
export class StreamChunker {
  readonly #core: Core;
  readonly #chunker: Chunker;
  readonly #capacity: number;

  constructor(core: Core, params: ChunkerParams, seed: number) {
    this.#core = core;
    this.#chunker = createChunker(core, params, seed);
    // Room for the largest chunk and as much again, so that the rest is moved seldom.
    this.#capacity = Math.max(2 * this.#chunker.maxSize, 4 << 20);
  }

  /** The chunks of one stream, each a copy. */
  async *chunks(pieces: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    const buffer = borrow(this.#core, this.#capacity);
    try {
      yield* this.#cut(pieces, buffer.region);
    } finally {
      free.get(this.#core)!.push(buffer);
    }
  }

  async *#cut(pieces: AsyncIterable<Uint8Array>, at: number): AsyncGenerator<Uint8Array> {
    this.#chunker.reset();
    let filled = 0;
    let tested = 0;
    for await (const piece of pieces) {
      for (let taken = 0; taken < piece.length; ) {
        const part = piece.subarray(taken, taken + this.#capacity - filled);
        this.#core.u8.set(part, at + filled);
        filled += part.length;
        taken += part.length;
        if (filled < this.#capacity) continue;
        const cuts = this.#chunker.cuts(at, filled, false, tested);
        let done = 0;
        for (const length of cuts) {
          yield this.#core.u8.slice(at + done, at + done + length);
          done += length;
        }
        this.#core.u8.copyWithin(at, at + done, at + filled);
        filled -= done;
        tested = done === 0 ? filled : 0;
      }
    }
    let done = 0;
    for (const length of this.#chunker.cuts(at, filled, true, tested)) {
      yield this.#core.u8.slice(at + done, at + done + length);
      done += length;
    }
  }
}
