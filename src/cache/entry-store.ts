// The bytes of a files cache's entries: those of its file as it was read, and blocks of those that were added. An entry's
// place is one number, and stays.

import type { Core } from "../core/index.ts";
import { AlcoveError } from "../errors.ts";
import type { Storage } from "../storage/types.ts";
import { EntryReader, ID_STRIDE, writeEntry } from "./filesformat.ts";

/** Set in a place: the entry is among the added ones. */
export const ADDED = 0x80000000;
/** Bytes of a block, as a power of two: larger entries have one of their own, which counts as several. */
const BLOCK_BITS = 20;
const BLOCK_BYTES = 1 << BLOCK_BITS;
// Places are 32 bits, half of them for what is added.
const MAX_BYTES = 0x7fffffff;
/** A fourth of what a core can have. */
const MOST_IN_CORE = 512 << 20;

/** Bytes of a file in a core's memory. */
interface Home {
  core: Core;
  at: number;
  length: number;
}

export class EntryStore {
  /** Reader of the file's bytes; made anew when they have moved. */
  old: EntryReader;
  /** Where they are in a core's memory, whose views do not survive its growth. */
  home: Home | undefined;
  /** By the number of the block in an added entry's place. */
  readonly #added: EntryReader[] = [];
  #end = BLOCK_BYTES;

  constructor(bytes: Uint8Array, home?: Home) {
    if (bytes.length > MAX_BYTES) throw new AlcoveError("the files cache is larger than 2 GiB");
    this.old = new EntryReader(bytes);
    this.home = home;
  }

  /** Reads a file, into the core's memory where there is one and the file is not too large for it. */
  static read(storage: Storage, name: string, core?: Core): EntryStore {
    if (!core) return new EntryStore(storage.read(name));
    const file = storage.openRead(name);
    try {
      const size = file.size();
      if (size > MOST_IN_CORE) return new EntryStore(storage.read(name));
      const at = core.borrow(size);
      try {
        const length = file.read(core.view(at, size), 0);
        return new EntryStore(core.view(at, length), { core, at, length });
      } catch (e) {
        core.giveBack(at);
        throw e;
      }
    } finally {
      file.close();
    }
  }

  /** Gives the memory back: there are no entries any more. */
  close(): void {
    this.home?.core.giveBack(this.home.at);
    this.home = undefined;
    this.old = new EntryReader(new Uint8Array(0));
  }

  /** To be called before anything is read, wherever the core's memory may have grown. */
  refresh(): void {
    if (!this.home || this.old.bytes.length === this.home.length) return;
    const { core, at, length } = this.home;
    this.old = new EntryReader(core.view(at, length));
  }

  /** The reader that an entry is read with, at offset(place). */
  reader(place: number): EntryReader {
    return place < ADDED ? this.old : this.#added[(place - ADDED) >>> BLOCK_BITS]!;
  }

  offset(place: number): number {
    return place < ADDED ? place : place & (BLOCK_BYTES - 1);
  }

  /** Offset of an entry's path hash. */
  hashOffset(place: number): number {
    return this.offset(place) + EntryReader.HASH_AT;
  }

  /** First word of an entry's path hash. */
  word(place: number): number {
    return wordOf(this.reader(place).bytes, this.hashOffset(place));
  }

  hashIs(place: number, hash: Uint8Array, offset: number): boolean {
    const { bytes } = this.reader(place);
    const at = this.hashOffset(place);
    for (let i = 0; i < 32; i++) if (bytes[at + i] !== hash[offset + i]) return false;
    return true;
  }

  /** Adds an entry of age 0; see writeEntry. Its ids may lie in one that was added before. @returns its place */
  add(
    hash: Uint8Array,
    hashOffset: number,
    numbers: Uint32Array,
    ids: Uint8Array,
    idsAt: number,
    stride: number,
    count: number,
    bare = false,
  ): number {
    if (hash.length < hashOffset + 32) throw new RangeError("a path hash has 32 bytes");
    const need = 36 + 1 + 1 + 3 * 9 + 5 + count * ID_STRIDE;
    if (this.#end + need > BLOCK_BYTES) {
      const blocks = Math.ceil(need / BLOCK_BYTES);
      if ((this.#added.length + blocks) * BLOCK_BYTES > MAX_BYTES)
        throw new AlcoveError("The files cache would exceed 2 GiB.");
      const reader = new EntryReader(new Uint8Array(blocks * BLOCK_BYTES));
      for (let i = 0; i < blocks; i++) this.#added.push(reader);
      this.#end = 0;
    }
    const at = this.#end;
    const { bytes } = this.#added[this.#added.length - 1]!;
    const block = this.#added.length - bytes.length / BLOCK_BYTES;
    this.#end = writeEntry(bytes, at, hash, hashOffset, numbers, ids, idsAt, stride, count, bare);
    return (ADDED | (block << BLOCK_BITS) | at) >>> 0;
  }
}

/** Four bytes of a hash, as a table takes them. */
export function wordOf(bytes: Uint8Array, at: number): number {
  return bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
}
