// What is about to be sent, gathered for few and large writes. A write of its own for each message of some dozen bytes
// cost more than everything else a server did for it (260 of 700 ms for 10,000 puts), and a buffer of its own for each
// object that is sent fills memory with garbage: so one copy into blocks that are used again.

/** Bytes of a block: a socket's buffer takes about as much at a time. */
export const BLOCK_BYTES = 256 * 1024;
/** Blocks kept for use again: as many as a client's upload buffer fills. */
const SPARE_BLOCKS = 20;

interface Block {
  buffer: Uint8Array<ArrayBuffer>;
  /** What was appended ends here. */
  end: number;
  /** What was taken ends here. */
  taken: number;
  /** Pieces taken and not yet given back. */
  lent: number;
}

/** A piece to be written, valid until given back. */
export interface LentPiece {
  piece: Uint8Array;
  giveBack: () => void;
}

/** Copies in, lends out. */
export class Outbox {
  /** Bytes that were appended and not taken. */
  bytes = 0;
  /** Oldest first; the last one is being filled. */
  private blocks: Block[] = [];
  private readonly spare: Uint8Array<ArrayBuffer>[] = [];

  append(bytes: Uint8Array): void {
    let at = 0;
    while (at < bytes.length) {
      const block = this.room();
      const n = Math.min(bytes.length - at, BLOCK_BYTES - block.end);
      block.buffer.set(at === 0 && n === bytes.length ? bytes : bytes.subarray(at, at + n), block.end);
      block.end += n;
      at += n;
    }
    this.bytes += bytes.length;
  }

  /** The next bytes in order, at most `limit` of them; undefined if there are none. */
  take(limit: number): LentPiece | undefined {
    const block = this.blocks[0];
    if (!block || block.taken === block.end || limit < 1) return undefined;
    const n = Math.min(limit, block.end - block.taken);
    const piece = block.buffer.subarray(block.taken, block.taken + n);
    block.taken += n;
    block.lent++;
    this.bytes -= n;
    if (block.taken === BLOCK_BYTES) this.blocks.shift();
    return { piece, giveBack: () => this.back(block) };
  }

  /** Forgets what was not taken. */
  clear(): void {
    this.blocks = [];
    this.bytes = 0;
  }

  private room(): Block {
    const last = this.blocks.at(-1);
    if (last && last.end < BLOCK_BYTES) return last;
    const block = { buffer: this.spare.pop() ?? new Uint8Array(BLOCK_BYTES), end: 0, taken: 0, lent: 0 };
    this.blocks.push(block);
    return block;
  }

  private back(block: Block): void {
    if (--block.lent > 0 || block.taken < block.end) return;
    // The block that is being filled starts anew, any other one is done with.
    if (block === this.blocks[0]) {
      block.taken = 0;
      block.end = 0;
    } else if (block.end === BLOCK_BYTES && this.spare.length < SPARE_BLOCKS) this.spare.push(block.buffer);
  }
}

/** Pieces for one write: small ones are gathered in buffers of their own, large ones go as they are. */
export class PieceBatch {
  bytes = 0;
  private pieces: Uint8Array[] = [];
  private gather = new Uint8Array(4096);
  private from = 0;
  private at = 0;

  add(piece: Uint8Array): void {
    this.bytes += piece.length;
    if (piece.length > 1024) {
      this.cut();
      this.pieces.push(piece);
      return;
    }
    if (this.at + piece.length > this.gather.length) {
      this.cut();
      this.gather = new Uint8Array(16384);
      this.from = 0;
      this.at = 0;
    }
    this.gather.set(piece, this.at);
    this.at += piece.length;
  }

  /** Everything added; the batch starts anew. The pieces stay valid. */
  take(): Uint8Array[] {
    this.cut();
    const { pieces } = this;
    this.pieces = [];
    this.bytes = 0;
    return pieces;
  }

  private cut(): void {
    if (this.at > this.from) this.pieces.push(this.gather.subarray(this.from, this.at));
    this.from = this.at;
  }
}
