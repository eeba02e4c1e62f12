// Memory for decrypted chunks that is used again and again: small chunks lie one after the other in blocks, a large one
// has a block of its own. Left to the garbage collectors, 10 (V8) to 60 MB (JavaScriptCore) of chunks that nobody needs
// any more stay resident between two collections, and each megabyte is got from the system and cleared anew.
import { releaseBuffer } from "../runtime/heap.ts";

/** Of small chunks; a chunk of more than half of it is a large one. */
const BLOCK = 256 << 10;
/** Most bytes of blocks that are kept for the next chunks while nothing is in them. */
const MOST_FREE = 2 << 20;

interface Block {
  memory: Uint8Array;
  /** Chunks in it. */
  live: number;
  used: number;
}

export class ChunkMemory {
  /** Those with chunks in them, or whose chunks may still be read, by their memory. */
  readonly #taken = new Map<ArrayBufferLike, Block>();
  #free: Block[] = [];
  #current: Block | undefined;
  /** Some block may have become empty. */
  #changed = false;
  #bytes = 0;
  #freeBytes = 0;

  /** Bytes of all blocks that are not free. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Bytes of blocks that are kept for the next chunks. */
  get freeBytes(): number {
    return this.#freeBytes;
  }

  /** Memory for a chunk (whatever was in it); its contents stay until the first settle() after drop(), or that comes
   *  without keep(). */
  take(size: number): Uint8Array {
    if (size > BLOCK / 2) return this.#block(size).memory.subarray(0, size);
    const current = this.#current;
    const block = current && current.used + size <= BLOCK ? current : this.#block(BLOCK);
    this.#current = block;
    const at = block.used;
    block.used = at + size;
    return block.memory.subarray(at, at + size);
  }

  #block(size: number): Block {
    let best = -1;
    for (const [i, { memory }] of this.#free.entries()) {
      const fits = memory.length >= size && (memory.length === BLOCK) === (size === BLOCK);
      if (fits && (best < 0 || memory.length < this.#free[best]!.memory.length)) best = i;
    }
    let block: Block;
    if (best >= 0) {
      block = this.#free.splice(best, 1)[0]!;
      this.#freeBytes -= block.memory.length;
    } else {
      // Some more than is needed, for the next: pages that nothing is written to take no memory.
      const capacity = size === BLOCK ? BLOCK : Math.ceil((size * 1.5) / 65536) * 65536 + 4096;
      block = { memory: new Uint8Array(capacity), live: 0, used: 0 };
    }
    this.#taken.set(block.memory.buffer, block);
    this.#bytes += block.memory.length;
    this.#changed = true;
    return block;
  }

  /** Says that a chunk (a view of memory that take() gave) is to stay. @returns false where it is other memory */
  keep(chunk: Uint8Array): boolean {
    const block = this.#taken.get(chunk.buffer);
    if (block) block.live++;
    return block !== undefined;
  }

  /** Says that a chunk that was kept is not needed any more, except by who reads it right now.
   *  @returns false where it is other memory */
  drop(chunk: Uint8Array): boolean {
    const block = this.#taken.get(chunk.buffer);
    if (!block) return false;
    block.live--;
    if (block.live === 0) {
      this.#changed = true;
      if (block !== this.#current) this.#bytes -= block.memory.length;
    }
    return true;
  }

  /** Nobody reads chunks that were dropped before: their blocks can be used again. */
  settle(): void {
    if (!this.#changed) return;
    this.#changed = false;
    let bytes = 0;
    for (const [buffer, block] of this.#taken) {
      if (block.live > 0) {
        bytes += block.memory.length;
        continue;
      }
      this.#taken.delete(buffer);
      if (block === this.#current) this.#current = undefined;
      block.used = 0;
      this.#free.push(block);
      this.#freeBytes += block.memory.length;
    }
    this.#bytes = bytes;
    while (this.#freeBytes > MOST_FREE && this.#free.length > 1) this.#giveBack(this.#free.shift()!);
  }

  /** Gives back what nothing is in. */
  trim(): void {
    for (const block of this.#free.splice(0)) this.#giveBack(block);
  }

  #giveBack(block: Block): void {
    this.#freeBytes -= block.memory.length;
    releaseBuffer(block.memory);
  }
}
