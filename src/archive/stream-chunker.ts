// Cuts a stream that arrives in pieces into chunks: for data that does not come from files (tar members, the contents
// of archives that are chunked anew). Files go through the create pipeline instead.
import { type Chunker, type ChunkerParams, createChunker } from "../chunker/index.ts";
import type { Core } from "../core/index.ts";

/** One buffer in the core's memory, reused for every stream. */
export class StreamChunker {
  readonly #core: Core;
  readonly #chunker: Chunker;
  readonly #region: number;
  readonly #capacity: number;

  constructor(core: Core, params: ChunkerParams, seed: number) {
    this.#core = core;
    this.#chunker = createChunker(core, params, seed);
    // Room for the largest chunk and as much again, so that the rest is moved seldom.
    this.#capacity = Math.max(2 * this.#chunker.maxSize, 4 << 20);
    this.#region = core.alloc(this.#capacity);
  }

  /** The chunks of one stream, each a copy. */
  async *chunks(pieces: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    this.#chunker.reset();
    const at = this.#region;
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
