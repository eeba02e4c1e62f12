// Blobs that lie in the core's memory, decompressed within it, for who opens many at a time.
import type { Core } from "../core/index.ts";
import { DecompressionError } from "../errors.ts";
import { releaseBuffer } from "../runtime/heap.ts";
import { type Compressor, createCompressor, defaultCompression } from "./index.ts";

/** First byte of a blob whose second byte is 0: stored as it is, and LZ4. */
export const NONE = 0;
export const LZ4 = 1;
/** Bytes of a blob before its data. */
export const BLOB_HEADER = 2;

export class InCoreDecompressor {
  readonly #core: Core;
  readonly #codec: Compressor;

  constructor(core: Core) {
    this.#core = core;
    this.#codec = createCompressor(defaultCompression, core);
  }

  /** Whether the data of the blob at an address is there as it is, behind the header. */
  isStored(at: number): boolean {
    return this.#codecAt(at) === NONE;
  }

  /** Writes the plaintext of a blob to an address. @returns its bytes; -1 for what cannot be decompressed, or not into `room` bytes */
  decompress(at: number, length: number, to: number, room: number): number {
    const core = this.#core;
    if (this.#codecAt(at) === LZ4)
      return length > BLOB_HEADER ? core.lz4Decompress(at + BLOB_HEADER, length - BLOB_HEADER, to, room) : -1;
    try {
      // A copy: the memory may grow on the way, and a view of it would be empty then.
      const data = this.#codec.decompress(core.u8.slice(at, at + length), room);
      core.u8.set(data, to);
      const { length: size } = data;
      releaseBuffer(data);
      return size;
    } catch (e) {
      if (e instanceof DecompressionError) return -1;
      throw e;
    }
  }

  #codecAt(at: number): number {
    const { u8 } = this.#core;
    return u8[at + 1] === 0 ? u8[at]! : -1;
  }
}
