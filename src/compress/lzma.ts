// "lzma", levels 0 to 9: an .xz stream without integrity check, as Python's lzma.compress(check=CHECK_NONE) gives
// it. No runtime has xz, so liblzma runs in WebAssembly; calls map to its C API.
import { DecompressionError } from "../errors.ts";
import { type CodecName, type Encoder, reasonOf, tooLarge, withHeader } from "./codec.ts";
import { wasmBrotliBase64 } from "./lzma-wasm.generated.ts";
import { Library } from "./wasm.ts";

const names = { encode: "n", decode: "q", malloc: "s", free: "t" };
let library: Library<keyof typeof names> | undefined;

/** Loads the WebAssembly library, once. */
export function prepareLzma(): Library<keyof typeof names> {
  library ??= new Library(wasmBrotliBase64, names, { memory: "b", init: "c", grow: "a" });
  return library;
}

const CHECK_NONE = 0;
const FILTER_LZMA2 = 0x21;
const MODE_FAST = 1;
const MODE_NORMAL = 2;
const HC3 = 0x03;
const HC4 = 0x04;
const BT4 = 0x14;

/** liblzma's presets: log2 of the dictionary, mode, match finder, nice length, depth (0: chosen by the library). */
const PRESETS: readonly (readonly [number, number, number, number, number])[] = [
  [18, MODE_FAST, HC3, 128, 4],
  [20, MODE_FAST, HC4, 128, 8],
  [21, MODE_FAST, HC4, 273, 24],
  [22, MODE_FAST, HC4, 273, 48],
  [22, MODE_NORMAL, BT4, 16, 0],
  [23, MODE_NORMAL, BT4, 32, 0],
  [23, MODE_NORMAL, BT4, 64, 0],
  [24, MODE_NORMAL, BT4, 64, 0],
  [25, MODE_NORMAL, BT4, 64, 0],
  [26, MODE_NORMAL, BT4, 64, 0],
];

/** Codes of lzma_ret that an encoder or decoder gives. */
const FAILURES: Record<number, string> = {
  5: "not enough memory",
  6: "the memory limit was reached",
  7: "not an .xz stream",
  8: "unsupported options",
  9: "corrupt data",
  10: "the data ends too early or is larger than it says",
};

function encode(data: Uint8Array, level: number): Uint8Array | undefined {
  const lib = prepareLzma();
  const [dictionary, mode, finder, nice, depth] = PRESETS[level]!;
  // lzma_stream_buffer_bound: LZMA2 stores what does not compress, in pieces of 64 KiB; plus headers and index.
  const bound = data.length + (data.length >> 13) + 256;
  return lib.with([112, 32, data.length, bound, 4], (options, filters, src, dst, position) => {
    const { bytes, view } = lib;
    bytes.fill(0, options!, options! + 112);
    // The preset's dictionary, but no larger than the data needs: level 9 would take 674 MB for any chunk, and
    // the heap ends at 256 MB. What is written decompresses the same.
    view.setUint32(options!, Math.max(4096, Math.min(2 ** dictionary, data.length)), true);
    view.setUint32(options! + 12, 3, true); // lc
    view.setUint32(options! + 20, 2, true); // pb
    view.setUint32(options! + 24, mode, true);
    view.setUint32(options! + 28, nice, true);
    view.setUint32(options! + 32, finder, true);
    view.setUint32(options! + 36, depth, true);
    bytes.fill(0, filters!, filters! + 32);
    view.setBigUint64(filters!, BigInt(FILTER_LZMA2), true);
    view.setUint32(filters! + 8, options!, true);
    view.setBigUint64(filters! + 16, 0xffffffffffffffffn, true);
    view.setUint32(position!, 0, true);
    bytes.set(data, src!);
    const code = lib.call.encode(filters!, CHECK_NONE, 0, src!, data.length, dst!, position!, bound);
    if (code !== 0) throw new Error(`lzma compression failed: ${FAILURES[code] ?? `code ${code}`}`);
    const size = lib.view.getUint32(position!, true);
    return size < data.length ? lib.bytes.slice(dst!, dst! + size) : undefined;
  });
}

export function lzmaEncoder(level: number): Encoder {
  return {
    name: "lzma",
    compress: (data) => {
      const stream = encode(data, level);
      return stream ? withHeader(2, stream) : withHeader(0, data);
    },
    decide: (data): CodecName => (encode(data, level) ? "lzma" : "none"),
  };
}

export function decodeLzma(blob: Uint8Array, maxSize: number): Uint8Array {
  const stream = blob.subarray(2);
  const size = contentSize(stream);
  if (size === undefined) throw new DecompressionError("lzma: not a complete .xz stream");
  if (size > maxSize) throw tooLarge(maxSize);
  const lib = prepareLzma();
  try {
    return lib.with([stream.length, size, 16], (src, dst, numbers) => {
      lib.bytes.set(stream, src!);
      const { view } = lib;
      // A level 9 stream of Borg's asks for a dictionary of 64 MiB.
      view.setBigUint64(numbers!, 160n * 1024n * 1024n, true);
      view.setUint32(numbers! + 8, 0, true);
      view.setUint32(numbers! + 12, 0, true);
      const code = lib.call.decode(
        numbers!,
        0,
        0,
        src!,
        numbers! + 8,
        stream.length,
        dst!,
        numbers! + 12,
        size,
      );
      if (code !== 0) throw new Error(FAILURES[code] ?? `code ${code}`);
      const n = lib.view.getUint32(numbers! + 12, true);
      if (n !== size) throw new Error("the size is not what the index says");
      return lib.bytes.slice(dst!, dst! + n);
    });
  } catch (error) {
    throw new DecompressionError(`lzma: ${reasonOf(error)}`);
  }
}

/** Sum of the uncompressed sizes in the index of an .xz stream (xz-file-format 1.2, sections 2.1.2 and 4). */
function contentSize(stream: Uint8Array): number | undefined {
  const footer = stream.length - 12;
  if (footer < 20 || stream[footer + 10] !== 0x59 || stream[footer + 11] !== 0x5a) return undefined;
  const view = new DataView(stream.buffer, stream.byteOffset, stream.byteLength);
  let at = footer - (view.getUint32(footer + 4, true) + 1) * 4;
  if (at < 12 || stream[at++] !== 0) return undefined;
  const vli = (): number => {
    let n = 0;
    for (let i = 0; i < 9 && at < footer; i++) {
      const byte = stream[at++]!;
      n += (byte & 127) * 2 ** (7 * i);
      if (byte < 128) return n;
    }
    return Number.NaN;
  };
  const records = vli();
  let size = 0;
  for (let i = 0; i < records && at < footer; i++) {
    vli();
    size += vli();
  }
  return Number.isNaN(size) || Number.isNaN(records) ? undefined : size;
}
