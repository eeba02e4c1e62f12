// Finds the chunk references in an archive's item stream without decoding the items, in the core (assembly/items.ts): it
// looks only at the keys "chunks" and "part" of each item. chunks_healthy is passed over: what an archive refers to is
// "chunks". The stream comes in pieces (the metadata chunks); what is kept between them is less than one token or
// chunk entry, so that an item with millions of chunks costs linear time.

import { type Core, loadCore } from "../core/index.ts";
import { IntegrityError } from "../errors.ts";
import { REFERENCE_WORDS } from "./chunks.ts";

export interface ItemTotals {
  files: number;
  size: number;
  csize: number;
}

/** Takes the references that are found; a ChunkIndex counts them, OwnReferences counts them against another. */
export interface ReferenceSink {
  /** `count` of them, REFERENCE_WORDS words each from `from` on: the id's eight, size and compressed size. */
  references(words: Uint32Array, from: number, count: number): void;
}

/** Bytes given to the core at a time, and the most that can be left of those before. */
const BLOCK = 128 << 10;
const REST = 2048;
/** References that the core tells of at a time. */
const ROOM = 1024;
const ROOM_BYTES = ROOM * REFERENCE_WORDS * 4;

/** The core's state of a scan, and its fields by word; the sums are floats. */
const STATE_BYTES = 104;
const STATE = 0;
const PASS_OVER = 4;
const COUNT = 24;
const ANSWER = 25;
const TOTALS = 6;
const PARTS = 9;

const FULL = 1;
const BAD_TYPE = 2;
const PROBLEMS: Record<number, string> = {
  3: "has an absurdly long key",
  4: "has a chunk list entry that is none",
  5: "has a chunk id of a wrong length",
  6: "has a chunk size that is none",
};

export class ItemScanner {
  readonly #core: Core;
  readonly #chunks: ReferenceSink;
  /** Kept outside the core between pieces, so that any number of scans may be under way. */
  readonly #state = new Uint8Array(STATE_BYTES);
  readonly #words = new Uint32Array(this.#state.buffer);
  #rest = new Uint8Array(0);

  /** chunks: gets one reference for each that an item has. It must not use the core's staging region. */
  constructor(chunks: ReferenceSink, core = loadCore()) {
    this.#chunks = chunks;
    this.#core = core;
  }

  /** All files. */
  get totals(): ItemTotals {
    return this.#sums(TOTALS);
  }

  /** Those of them that are parts of checkpointed files. */
  get parts(): ItemTotals {
    return this.#sums(PARTS);
  }

  /** The next piece of the stream. @throws IntegrityError for what is no item stream */
  feed(piece: Uint8Array): void {
    for (let at = 0; at < piece.length; at += BLOCK) this.#block(piece.subarray(at, at + BLOCK));
  }

  /** The stream has ended. @throws IntegrityError if it did so inside an item */
  finish(): void {
    if (this.#words[STATE] !== 0 || this.#rest.length > 0 || this.#words[PASS_OVER] !== 0)
      throw new IntegrityError("The item stream ends inside an item.");
  }

  #block(block: Uint8Array): void {
    const core = this.#core;
    const state = core.stageRegion(STATE_BYTES + ROOM_BYTES + REST + BLOCK);
    const found = state + STATE_BYTES;
    let at = found + ROOM_BYTES;
    const { u8, u32 } = core;
    u8.set(this.#state, state);
    u8.set(this.#rest, at);
    u8.set(block, at + this.#rest.length);
    const end = at + this.#rest.length + block.length;
    let answer = FULL;
    while (answer === FULL) {
      at = core.raw.scanItems(state, at, end, found, ROOM) >>> 0;
      answer = u32[state / 4 + ANSWER]!;
      this.#chunks.references(u32, found / 4, u32[state / 4 + COUNT]!);
    }
    this.#state.set(u8.subarray(state, state + STATE_BYTES));
    if (answer === BAD_TYPE)
      throw new IntegrityError(`The item stream has an unexpected type 0x${u8[at]!.toString(16)}.`);
    const problem = PROBLEMS[answer];
    if (problem) throw new IntegrityError(`The item stream ${problem}.`);
    this.#rest = u8.slice(at, end);
  }

  #sums(first: number): ItemTotals {
    const [files, size, csize] = new Float64Array(this.#state.buffer, first * 8, 3);
    return { files: files!, size: size!, csize: csize! };
  }
}
