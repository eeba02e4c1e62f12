// What a codec is. A compressed blob begins with two bytes that tell the codec (Borg's compress.pyx): 00 00 none,
// 01 00 lz4, 02 00 lzma, 03 00 zstd, 04 00 obfuscate; zlib's own header serves for zlib, as it did before there
// was a choice.
import { DecompressionError } from "../errors.ts";

export type CodecName = "none" | "lz4" | "lzma" | "zstd" | "zlib" | "obfuscate";

/** Turns a chunk into a blob. */
export interface Encoder {
  readonly name: CodecName;
  /** A new array: header and compressed data, or the data as it is under "none" where nothing would be gained. */
  compress(data: Uint8Array): Uint8Array;
  /**
   * The codec for the data, which `recreate --recompress if-different` compares with the present one. "auto" answers
   * with the expensive codec where it would try it, whatever came of it, as Borg does.
   */
  decide(data: Uint8Array): CodecName;
}

/** Turns a blob, header included, into the chunk; at most maxSize bytes. @throws DecompressionError */
export type Decode = (blob: Uint8Array, maxSize: number) => Uint8Array;

const BY_ID: readonly CodecName[] = ["none", "lz4", "lzma", "zstd", "obfuscate"];

/** The codec of a blob. @throws DecompressionError if the header is not one of Borg's */
export function detectCodec(blob: Uint8Array): CodecName {
  const first = blob[0];
  const second = blob[1];
  if (first === undefined || second === undefined) throw new DecompressionError("the object is too short");
  const name = second === 0 ? BY_ID[first] : undefined;
  if (name) return name;
  // RFC 1950: method 8 in the low nibble, and the two bytes are a multiple of 31.
  if ((first & 15) === 8 && (first * 256 + second) % 31 === 0) return "zlib";
  throw new DecompressionError(`unknown compression header ${hex(first)} ${hex(second)}`);
}

const hex = (byte: number) => byte.toString(16).padStart(2, "0");

/** Header and body as one new array. */
export function withHeader(id: number, body: Uint8Array): Uint8Array {
  const blob = new Uint8Array(body.length + 2);
  blob[0] = id;
  blob.set(body, 2);
  return blob;
}

export function tooLarge(maxSize: number): Error {
  return new DecompressionError(`the data would be larger than ${maxSize} bytes`);
}

/** What a failed call of a library said, as one line. */
export function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
