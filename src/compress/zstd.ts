// "zstd", levels 1 to 22: one zstd frame that carries its content size, without which Borg refuses it. The
// runtime's own zstd is used where it has one that does so (Node ≥ 22.15, Bun; Deno's can only decompress),
// the one in WebAssembly elsewhere.
import * as zlib from "node:zlib";
import { DecompressionError } from "../errors.ts";
import { type CodecName, type Encoder, reasonOf, tooLarge, withHeader } from "./codec.ts";
import { Library } from "./wasm.ts";
import { plain } from "./zlib.ts";
import { wasmBrotliBase64 } from "./zstd-wasm.generated.ts";

type Native = (data: Uint8Array, options: object) => Buffer;
// Asked for when needed: node:zlib takes milliseconds to load.
const native = () => zlib as unknown as { zstdCompressSync?: Native; zstdDecompressSync?: Native };
const LEVEL = 100; // ZSTD_c_compressionLevel

const names = {
  isError: "h",
  compressBound: "i",
  createCCtx: "j",
  compress: "l",
  createDCtx: "n",
  decompress: "q",
  malloc: "s",
  free: "t",
};
let library: Library<keyof typeof names> | undefined;
let compressContext = 0;
let decompressContext = 0;

/** Loads the WebAssembly library, once. */
function load(): Library<keyof typeof names> {
  if (!library) {
    library = new Library(wasmBrotliBase64, names, { memory: "f", init: "g", grow: "e" });
    // Contexts are kept, because their tables are allocated and cleared anew otherwise.
    compressContext = library.call.createCCtx();
    decompressContext = library.call.createDCtx();
  }
  return library;
}

let nativeCompresses: boolean | undefined;

/** Whether the runtime's zstd writes the content size, found out by compressing something small. */
function hasNativeCompression(): boolean {
  if (nativeCompresses === undefined) {
    nativeCompresses = false;
    const { zstdCompressSync, zstdDecompressSync } = native();
    if (zstdCompressSync && zstdDecompressSync) {
      try {
        const frame = zstdCompressSync(new Uint8Array(300), { params: { [LEVEL]: 1 } });
        nativeCompresses = contentSize(frame) === 300;
      } catch {
        // A runtime whose zstd does not work is one without.
      }
    }
  }
  return nativeCompresses;
}

/** Loads now what compressing (or only decompressing) will need. */
export function prepareZstd(forCompression: boolean): void {
  if (forCompression ? !hasNativeCompression() : !native().zstdDecompressSync) load();
}

/** Exported for tests: the two implementations side by side. */
export const implementations: Record<
  "native" | "wasm",
  { compress: (d: Uint8Array, level: number) => Uint8Array }
> = {
  native: {
    compress: (data, level) => plain(native().zstdCompressSync!(data, { params: { [LEVEL]: level } })),
  },
  wasm: { compress: compressWasm },
};

function compressWasm(data: Uint8Array, level: number): Uint8Array {
  const lib = load();
  const bound = lib.call.compressBound(data.length) >>> 0;
  return lib.with([data.length, bound], (src, dst) => {
    lib.bytes.set(data, src!);
    const size = lib.call.compress(compressContext, dst!, bound, src!, data.length, 0, 0, level) >>> 0;
    if (lib.call.isError(size)) throw new Error(`zstd compression failed (code ${size | 0})`);
    return lib.bytes.slice(dst!, dst! + size);
  });
}

export function zstdEncoder(level: number): Encoder {
  const smaller = (data: Uint8Array): Uint8Array | undefined => {
    const { compress } = hasNativeCompression() ? implementations.native : implementations.wasm;
    const frame = compress(data, level);
    return frame.length < data.length ? frame : undefined;
  };
  return {
    name: "zstd",
    compress: (data) => {
      const frame = smaller(data);
      return frame ? withHeader(3, frame) : withHeader(0, data);
    },
    decide: (data): CodecName => (smaller(data) ? "zstd" : "none"),
  };
}

export function decodeZstd(blob: Uint8Array, maxSize: number): Uint8Array {
  const frame = blob.subarray(2);
  const size = contentSize(frame);
  if (size === undefined) throw new DecompressionError("zstd: not a frame with a content size");
  if (size > maxSize) throw tooLarge(maxSize);
  let data: Uint8Array;
  try {
    const { zstdDecompressSync } = native();
    data =
      zstdDecompressSync && !isForWasm(size)
        ? plain(zstdDecompressSync(frame, { maxOutputLength: size + 1 }))
        : decompressWasm(frame, size);
  } catch (error) {
    throw new DecompressionError(`zstd: ${reasonOf(error)}`);
  }
  if (data.length !== size) throw new DecompressionError("zstd: the size is not what the frame says");
  return data;
}

/** Bytes of plaintext up to which the WebAssembly, which keeps its context, is faster than the runtime's zstd, which makes one
 *  of 17 µs for each call: 5 µs for 2 KB, 12 to 20 for 8. Loading it takes as long as some hundred of those. */
const SMALL = 8 << 10;
const FEW = 500;
let small = 0;

function isForWasm(size: number): boolean {
  return size <= SMALL && ++small > FEW;
}

function decompressWasm(frame: Uint8Array, size: number): Uint8Array {
  const lib = load();
  return lib.with([frame.length, size], (src, dst) => {
    lib.bytes.set(frame, src!);
    const n = lib.call.decompress(decompressContext, dst!, size, src!, frame.length, 0, 0) >>> 0;
    if (lib.call.isError(n)) throw new Error(`corrupt data (code ${n | 0})`);
    return lib.bytes.slice(dst!, dst! + n);
  });
}

/** Content size in a frame's header (RFC 8878, 3.1.1.1); undefined if it is no frame or does not tell. */
function contentSize(frame: Uint8Array): number | undefined {
  if (frame.length < 6) return undefined;
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  if (view.getUint32(0, true) !== 0xfd2fb528) return undefined;
  const descriptor = frame[4]!;
  const single = (descriptor & 0x20) !== 0;
  const dictionary = [0, 1, 2, 4][descriptor & 3]!;
  const at = 5 + (single ? 0 : 1) + dictionary;
  const width = [single ? 1 : 0, 2, 4, 8][descriptor >> 6]!;
  if (width === 0 || frame.length < at + width) return undefined;
  if (width === 1) return frame[at];
  if (width === 2) return view.getUint16(at, true) + 256;
  if (width === 4) return view.getUint32(at, true);
  return Number(view.getBigUint64(at, true));
}
