// Finds the chunk references in an archive's item stream without decoding the items: a walk over msgpack tokens that
// looks only at the keys "chunks" and "part" of each item. chunks_healthy is passed over: what an archive refers to is
// "chunks". The stream comes in pieces (the metadata chunks); what is kept between them is less than one token or
// chunk entry, so that an item with millions of chunks costs linear time. Borg's cache_sync/unpack.h.

import { IntegrityError } from "../errors.ts";

export interface ItemTotals {
  files: number;
  size: number;
  csize: number;
}

/** Takes the references that are found; a ChunkIndex counts them, OwnReferences counts them against another. */
export interface ReferenceSink {
  reference(id: Uint8Array, offset: number, size: number, csize: number): void;
}

/** Where the next token belongs. */
const ITEM = 0;
const KEY = 1;
const SKIP = 2;
const LIST = 3;
const ENTRY = 4;

const EMPTY = new Uint8Array(0);

export class ItemScanner {
  /** All files, and those of them that are parts of checkpointed files. */
  readonly totals: ItemTotals = { files: 0, size: 0, csize: 0 };
  readonly parts: ItemTotals = { files: 0, size: 0, csize: 0 };
  readonly #chunks: ReferenceSink;
  #state = ITEM;
  #keysLeft = 0;
  #skipLeft = 0;
  #entriesLeft = 0;
  #isPart = false;
  #hasChunks = false;
  #itemSize = 0;
  #itemCsize = 0;
  #rest = EMPTY;
  /** Bytes of a long raw that lie in pieces to come. */
  #passOver = 0;
  // Of the integer or header that was read last.
  #value = 0;
  #next = 0;

  /** chunks: gets one reference for each that an item has. */
  constructor(chunks: ReferenceSink) {
    this.#chunks = chunks;
  }

  /** The next piece of the stream. @throws IntegrityError for what is no item stream */
  feed(piece: Uint8Array): void {
    let data = piece;
    if (this.#rest.length > 0) {
      data = new Uint8Array(this.#rest.length + piece.length);
      data.set(this.#rest);
      data.set(piece, this.#rest.length);
      this.#rest = EMPTY;
    }
    let at = 0;
    while (at < data.length) {
      if (this.#passOver > 0) {
        const n = Math.min(this.#passOver, data.length - at);
        this.#passOver -= n;
        at += n;
        continue;
      }
      const next = this.#step(data, at);
      if (next < 0) break;
      at = next;
    }
    if (at < data.length) this.#rest = data.slice(at);
  }

  /** The stream has ended. @throws IntegrityError if it did so inside an item */
  finish(): void {
    if (this.#state !== ITEM || this.#rest.length > 0 || this.#passOver > 0) {
      throw new IntegrityError("The item stream ends inside an item.");
    }
  }

  /** Handles the token (or chunk entry) at `at`; the position behind it, or −1 if it is not all there. */
  #step(data: Uint8Array, at: number): number {
    const b = data[at]!;
    switch (this.#state) {
      case ITEM: {
        if (!this.#header(data, at, 0x80, 0xde)) return -1;
        this.#keysLeft = this.#value;
        this.#isPart = this.#hasChunks = false;
        this.#itemSize = this.#itemCsize = 0;
        this.#state = KEY;
        if (this.#keysLeft === 0) this.#endItem();
        return this.#next;
      }
      case KEY: {
        if (!this.#rawHeader(data, at)) return -1;
        const start = this.#next;
        const end = start + this.#value;
        if (this.#value > 1000) throw new IntegrityError("The item stream has an absurdly long key.");
        if (end > data.length) return -1;
        this.#keysLeft--;
        if (isChunks(data, start, this.#value)) {
          this.#state = LIST;
          return end;
        }
        if (isPart(data, start, this.#value)) this.#isPart = true;
        // Nearly all values are short and there: passed over at once.
        const length = end < data.length ? SHORT_VALUE[data[end]!]! : 0;
        if (length > 0 && end + length <= data.length) {
          this.#endValue();
          return end + length;
        }
        this.#skipLeft = 1;
        this.#state = SKIP;
        return end;
      }
      case SKIP: {
        const next = this.#skip(data, at, b);
        if (next < 0) return -1;
        if (this.#skipLeft === 0) this.#endValue();
        return next;
      }
      case LIST: {
        if (!this.#header(data, at, 0x90, 0xdc)) return -1;
        this.#hasChunks = true;
        this.#entriesLeft = this.#value;
        if (this.#entriesLeft === 0) this.#endValue();
        else this.#state = ENTRY;
        return this.#next;
      }
      default:
        return this.#entry(data, at);
    }
  }

  /** One [id, size, csize]. */
  #entry(data: Uint8Array, at: number): number {
    if (data[at] !== 0x93) throw new IntegrityError("The item stream has a chunk list entry that is none.");
    if (at + 1 >= data.length || !this.#rawHeader(data, at + 1)) return -1;
    if (this.#value !== 32) throw new IntegrityError("The item stream has a chunk id of a wrong length.");
    const id = this.#next;
    if (!this.#integer(data, id + 32)) return -1;
    const size = this.#value;
    if (!this.#integer(data, this.#next)) return -1;
    this.#chunks.reference(data, id, size, this.#value);
    this.#itemSize += size;
    this.#itemCsize += this.#value;
    if (--this.#entriesLeft === 0) this.#endValue();
    return this.#next;
  }

  #endValue(): void {
    if (this.#keysLeft === 0) this.#endItem();
    else this.#state = KEY;
  }

  #endItem(): void {
    this.#state = ITEM;
    if (!this.#hasChunks) return;
    for (const sums of this.#isPart ? [this.totals, this.parts] : [this.totals]) {
      sums.files++;
      sums.size += this.#itemSize;
      sums.csize += this.#itemCsize;
    }
  }

  /** An array or map header: its length in #value, the position behind it in #next. False if it is not all there. */
  #header(data: Uint8Array, at: number, fix: number, wide: number): boolean {
    const b = data[at]!;
    if (b >= fix && b < fix + 16) {
      this.#value = b & 15;
      this.#next = at + 1;
      return true;
    }
    if (b !== wide && b !== wide + 1)
      throw new IntegrityError(`The item stream has an unexpected type 0x${b.toString(16)}.`);
    return this.#unsigned(data, at + 1, b === wide ? 2 : 4);
  }

  #rawHeader(data: Uint8Array, at: number): boolean {
    const b = data[at]!;
    if (b >= 0xa0 && b < 0xc0) {
      this.#value = b & 31;
      this.#next = at + 1;
      return true;
    }
    const width = RAW_LENGTH[b]!;
    if (width === 0) throw new IntegrityError(`The item stream has an unexpected type 0x${b.toString(16)}.`);
    return this.#unsigned(data, at + 1, width);
  }

  #unsigned(data: Uint8Array, at: number, width: number): boolean {
    if (at + width > data.length) return false;
    let n = 0;
    for (let i = 0; i < width; i++) n = n * 256 + data[at + i]!;
    this.#value = n;
    this.#next = at + width;
    return true;
  }

  /** A size: an integer of 32 bits. */
  #integer(data: Uint8Array, at: number): boolean {
    const b = data[at];
    if (b === undefined) return false;
    if (b < 0x80) {
      this.#value = b;
      this.#next = at + 1;
      return true;
    }
    const width = b === 0xce ? 4 : b === 0xcd ? 2 : b === 0xcc ? 1 : b === 0xcf ? 8 : 0;
    if (width === 0) throw new IntegrityError("The item stream has a chunk size that is none.");
    if (!this.#unsigned(data, at + 1, width)) return false;
    if (this.#value > 0xffffffff) throw new IntegrityError("The item stream has a chunk size that is none.");
    return true;
  }

  /** Passes over a value that does not matter, token by token; a container only adds to what is left. */
  #skip(data: Uint8Array, at: number, b: number): number {
    let more = 0;
    let next = at + 1;
    if (b < 0x80 || b >= 0xe0) {
      // A small integer.
    } else if (b < 0x90) more = 2 * (b & 15);
    else if (b < 0xa0) more = b & 15;
    else if (b >= 0xdc && b <= 0xdf) {
      if (!this.#unsigned(data, next, b & 1 ? 4 : 2)) return -1;
      more = b < 0xde ? this.#value : 2 * this.#value;
      next = this.#next;
    } else if (b < 0xc0 || RAW_LENGTH[b]! > 0) {
      if (!this.#rawHeader(data, at)) return -1;
      next = this.#next;
      const there = Math.min(this.#value, data.length - next);
      this.#passOver = this.#value - there;
      next += there;
    } else {
      const body = SCALAR_BODY[b]!;
      if (body < 0) throw new IntegrityError(`The item stream has an unexpected type 0x${b.toString(16)}.`);
      next += body;
      if (next > data.length) return -1;
    }
    this.#skipLeft += more - 1;
    return next;
  }
}

/** Width of a raw's length field by type byte; 0 for what is no raw (or a fixraw). */
const RAW_LENGTH = new Uint8Array(256);
for (const base of [0xc4, 0xd9]) for (let i = 0; i < 3; i++) RAW_LENGTH[base + i] = 1 << i;

/** Bytes behind the type byte of nil, booleans and numbers; −1 for anything else. */
const SCALAR_BODY = new Int8Array(256).fill(-1);
for (const [code, size] of [
  [0xc0, 0],
  [0xc2, 0],
  [0xc3, 0],
  [0xca, 4],
  [0xcb, 8],
  [0xcc, 1],
  [0xcd, 2],
  [0xce, 4],
  [0xcf, 8],
  [0xd0, 1],
  [0xd1, 2],
  [0xd2, 4],
  [0xd3, 8],
] as const) {
  SCALAR_BODY[code] = size;
}

/** Bytes of a scalar or a short raw in all, by its first byte; 0 for what needs a closer look. */
const SHORT_VALUE = Uint8Array.from({ length: 256 }, (_, b) =>
  b < 0x80 || b >= 0xe0 ? 1 : b >= 0xa0 && b < 0xc0 ? 1 + (b & 31) : SCALAR_BODY[b]! + 1,
);

function isChunks(d: Uint8Array, at: number, length: number): boolean {
  // "chunks"
  return (
    length === 6 &&
    d[at] === 0x63 &&
    d[at + 1] === 0x68 &&
    d[at + 2] === 0x75 &&
    d[at + 3] === 0x6e &&
    d[at + 4] === 0x6b &&
    d[at + 5] === 0x73
  );
}

function isPart(d: Uint8Array, at: number, length: number): boolean {
  // "part"
  return length === 4 && d[at] === 0x70 && d[at + 1] === 0x61 && d[at + 2] === 0x72 && d[at + 3] === 0x74;
}
