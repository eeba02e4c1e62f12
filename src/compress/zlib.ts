// "zlib", levels 0 to 9: a zlib stream (RFC 1950) without any header of Borg's; it is kept even where it is
// larger than the data. node:zlib is 2.5 to 7 times faster than fflate and present on every runtime.
import { deflateSync, inflateSync } from "node:zlib";
import { DecompressionError } from "../errors.ts";
import { type Encoder, reasonOf, tooLarge } from "./codec.ts";

export function zlibEncoder(level: number): Encoder {
  return { name: "zlib", compress: (data) => plain(deflateSync(data, { level })), decide: () => "zlib" };
}

export function decodeZlib(blob: Uint8Array, maxSize: number): Uint8Array {
  let data: Uint8Array;
  try {
    // One byte more than allowed, because a limit of 0 is refused and runtimes differ about reaching it exactly.
    data = plain(inflateSync(blob, { maxOutputLength: maxSize + 1 }));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ERR_BUFFER_TOO_LARGE") throw tooLarge(maxSize);
    throw new DecompressionError(`zlib: ${reasonOf(error)}`);
  }
  if (data.length > maxSize) throw tooLarge(maxSize);
  return data;
}

/** The same bytes as a plain Uint8Array, whose slice() copies, unlike Buffer's. */
export function plain(buffer: Buffer): Uint8Array {
  return new Uint8Array(buffer.buffer as ArrayBuffer, buffer.byteOffset, buffer.length);
}
