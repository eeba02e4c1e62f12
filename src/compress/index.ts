// Compression of chunks, as Borg applies it: after the id was computed and before encryption. What was used is
// told by each blob's header, so decompression needs no settings.
import { autoEncoder } from "./auto.ts";
import { type CodecName, detectCodec, type Encoder } from "./codec.ts";
import { decodeLz4, Lz4, type Lz4Kernels, lz4Encoder } from "./lz4.ts";
import { decodeLzma, lzmaEncoder, prepareLzma } from "./lzma.ts";
import { decodeNone, noneEncoder } from "./none.ts";
import { decodeObfuscated, MAX_DATA_SIZE, obfuscateEncoder } from "./obfuscate.ts";
import type { CompressionSpec } from "./spec.ts";
import { decodeZlib, zlibEncoder } from "./zlib.ts";
import { decodeZstd, prepareZstd, zstdEncoder } from "./zstd.ts";

export { type CodecName, detectCodec } from "./codec.ts";
export type { Lz4Kernels } from "./lz4.ts";
export { type CompressionSpec, defaultCompression, formatCompression, parseCompression } from "./spec.ts";

export interface Compressor {
  readonly spec: CompressionSpec;
  /** A new array: the blob with Borg's header. Data in the core's memory is not copied first. */
  compress(data: Uint8Array): Uint8Array;
  /** The codec for this data: where compressing gains nothing, "none"; "auto" names the codec it would try. */
  decide(data: Uint8Array): CodecName;
  /**
   * The data of any blob, as a new array.
   * maxSize: bytes allowed, default Borg's MAX_DATA_SIZE. @throws DecompressionError
   */
  decompress(blob: Uint8Array, maxSize?: number): Uint8Array;
}

/** A compressor on a core; everything is synchronous. What is not in the runtime is loaded at its first use. */
export function createCompressor(spec: CompressionSpec, core: Lz4Kernels): Compressor {
  const encoder = createEncoder(spec, core);
  return {
    spec,
    compress(data) {
      // A view of the core's memory would be detached if memory grew on the way: it grows now, and the view is
      // made anew. What is compressed is never a view that has become empty.
      const { byteOffset, length } = data;
      if (data.buffer === core.u8.buffer) {
        Lz4.of(core).reserve(length);
        data = core.u8.subarray(byteOffset, byteOffset + length);
      }
      const blob = encoder.compress(data);
      if (data.length !== length) throw new Error("compress: memory was moved while it was read");
      return blob;
    },
    decide: (data) => encoder.decide(data),
    decompress: (blob, maxSize = MAX_DATA_SIZE) => decompress(blob, maxSize, core),
  };
}

function createEncoder(spec: CompressionSpec, core: Lz4Kernels): Encoder {
  switch (spec.name) {
    case "none":
      return noneEncoder;
    case "lz4":
      return lz4Encoder(core);
    case "zstd":
      return zstdEncoder(spec.level);
    case "zlib":
      return zlibEncoder(spec.level);
    case "lzma":
      return lzmaEncoder(spec.level);
    case "auto":
      return autoEncoder(lz4Encoder(core), createEncoder(spec.inner, core));
    case "obfuscate":
      return obfuscateEncoder(spec.level, createEncoder(spec.inner, core));
  }
}

/** The data of a blob of any codec. @throws DecompressionError */
export function decompress(blob: Uint8Array, maxSize: number, core: Lz4Kernels): Uint8Array {
  switch (detectCodec(blob)) {
    case "none":
      return decodeNone(blob, maxSize);
    case "lz4":
      return decodeLz4(blob, maxSize, core);
    case "zstd":
      return decodeZstd(blob, maxSize);
    case "zlib":
      return decodeZlib(blob, maxSize);
    case "lzma":
      return decodeLzma(blob, maxSize);
    case "obfuscate":
      return decodeObfuscated(blob, maxSize, (inner, max) => decompress(inner, max, core));
  }
}

/**
 * Loads what a specification (or, with "all", decompressing anything) needs beyond the runtime, so that the first
 * chunk does not wait for it: some 10 ms for xz, and for zstd on Node 20.
 */
export async function prepareCodecs(spec: CompressionSpec | "all"): Promise<void> {
  if (spec === "all") {
    prepareZstd(false);
    prepareLzma();
  } else if (spec.name === "auto" || spec.name === "obfuscate") await prepareCodecs(spec.inner);
  else if (spec.name === "zstd") prepareZstd(true);
  else if (spec.name === "lzma") prepareLzma();
}
