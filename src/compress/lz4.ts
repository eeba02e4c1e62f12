// "lz4": one raw LZ4 block without its size, the fast level of liblz4. The kernels of the WebAssembly core work
// on its memory, so data that already lies there is not copied in.
import { DecompressionError } from "../errors.ts";
import { type CodecName, type Encoder, tooLarge, withHeader } from "./codec.ts";

/** What is needed of the core. */
export interface Lz4Kernels {
  alloc(bytes: number, align?: number): number;
  readonly u8: Uint8Array;
  /** Size of the block, 0 if it does not fit into cap. */
  lz4Compress(src: number, length: number, dst: number, cap: number): number;
  /** Size of the data, negative if the block is corrupt or the data larger than cap. */
  lz4Decompress(src: number, length: number, dst: number, cap: number): number;
}

const scratches = new WeakMap<Lz4Kernels, Lz4>();

/** LZ4 on one core's memory; one instance for each core, because memory that was allocated is not given back. */
export class Lz4 {
  private readonly core: Lz4Kernels;
  private readonly input = { address: 0, size: 0 };
  private readonly output = { address: 0, size: 0 };

  private constructor(core: Lz4Kernels) {
    this.core = core;
  }

  static of(core: Lz4Kernels): Lz4 {
    let lz4 = scratches.get(core);
    if (!lz4) {
      lz4 = new Lz4(core);
      scratches.set(core, lz4);
    }
    return lz4;
  }

  private room(region: { address: number; size: number }, size: number): number {
    if (region.size < size) {
      // Doubling bounds what is lost by growing to the size of the last region.
      region.size = Math.max(size, 2 * region.size, 1 << 20);
      region.address = this.core.alloc(region.size);
    }
    return region.address;
  }

  /** Makes room for compressing up to `length` bytes. Memory may grow here, which detaches every view of it. */
  reserve(length: number): void {
    this.room(this.output, bound(length));
  }

  /** Address of the data in the core's memory; copied there unless it is a view of it. */
  private place(data: Uint8Array): number {
    if (data.buffer === this.core.u8.buffer) return data.byteOffset;
    const address = this.room(this.input, data.length);
    this.core.u8.set(data, address);
    return address;
  }

  /** The block behind its header, or undefined where it is not smaller than the data. */
  compress(data: Uint8Array): Uint8Array | undefined {
    const length = data.length;
    if (length === 0) return undefined;
    const cap = bound(length) - 2;
    const src = this.place(data);
    const dst = this.room(this.output, cap + 2);
    const size = this.core.lz4Compress(src, length, dst + 2, cap);
    if (size === 0 || size >= length) return undefined;
    const { u8 } = this.core;
    u8[dst] = 1;
    u8[dst + 1] = 0;
    return u8.slice(dst, dst + 2 + size);
  }

  decompress(block: Uint8Array, maxSize: number): Uint8Array {
    const length = block.length;
    const src = this.place(block);
    // The size is not known: room for a chunk of the usual maximum first, for all that is allowed if it fails.
    for (const cap of [Math.min(maxSize, Math.max(9 << 20, 3 * length)), maxSize]) {
      const dst = this.room(this.output, Math.max(1, cap));
      const size = this.core.lz4Decompress(src, length, dst, cap);
      if (size >= 0) return this.core.u8.slice(dst, dst + size);
      if (cap === maxSize) break;
    }
    // A block cannot become more than 255 times larger, so there the limit cannot have been the reason.
    if (length * 255 > maxSize) throw new DecompressionError(`lz4: corrupt, or more than ${maxSize} bytes`);
    throw new DecompressionError("lz4: corrupt data");
  }
}

function bound(length: number): number {
  return length + Math.floor(length / 255) + 34;
}

export function lz4Encoder(core: Lz4Kernels): Encoder {
  return {
    name: "lz4",
    compress: (data) => Lz4.of(core).compress(data) ?? withHeader(0, data),
    decide: (data): CodecName => (Lz4.of(core).compress(data) ? "lz4" : "none"),
  };
}

export function decodeLz4(blob: Uint8Array, maxSize: number, core: Lz4Kernels): Uint8Array {
  if (blob.length <= 2) throw new DecompressionError("lz4: no data");
  if (maxSize < 0) throw tooLarge(maxSize);
  return Lz4.of(core).decompress(blob.subarray(2), maxSize);
}
