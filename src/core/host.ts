// Primitives that the host offers in native code on Node, Deno and Bun. What a runtime may lack is undefined here,
// and the caller has the core's kernel or a codec in its place.

import crypto, { type KeyObject } from "node:crypto";
import zlib from "node:zlib";
import { releaseBuffer } from "../runtime/heap.ts";

/** One-shot hash: without the object that createHash makes (Node ≥ 20.12); half the cost for small messages. */
type OneShot = (algorithm: string, data: Uint8Array, encoding: "buffer") => Uint8Array;

let sha256Host: ((data: Uint8Array) => Uint8Array) | undefined;

/** SHA-256, 32 bytes. Which way is found at the first call: node:crypto and node:zlib take milliseconds to load, and
 *  many commands need neither. */
export function sha256(data: Uint8Array): Uint8Array {
  sha256Host ??= bestSha256();
  return sha256Host(data);
}

function bestSha256(): (data: Uint8Array) => Uint8Array {
  const oneShot = (crypto as unknown as { hash?: OneShot }).hash;
  return worksOneShot(oneShot)
    ? (data) => oneShot!("sha256", data, "buffer")
    : (data) => crypto.createHash("sha256").update(data).digest();
}

// Present is not enough: the encoding "buffer" is younger than the function in some runtimes.
function worksOneShot(oneShot: OneShot | undefined): boolean {
  if (typeof oneShot !== "function") return false;
  try {
    const digest = oneShot("sha256", new Uint8Array(1), "buffer");
    return digest instanceof Uint8Array && digest.length === 32 && digest[0] === 0x6e;
  } catch {
    return false;
  }
}

let sha256TextHost: ((data: Uint8Array) => string) | undefined;

/** SHA-256 as a string of 32 characters, one a byte: cheaper than a Buffer for it where messages are small. */
export function sha256Text(data: Uint8Array): string {
  sha256TextHost ??= bestSha256Text();
  return sha256TextHost(data);
}

function bestSha256Text(): (data: Uint8Array) => string {
  const oneShot = (crypto as unknown as { hash?: (...a: [string, Uint8Array, "binary"]) => string }).hash;
  try {
    const digest = oneShot?.("sha256", new Uint8Array(1), "binary");
    if (oneShot && digest?.length === 32 && digest.charCodeAt(0) === 0x6e)
      return (data) => oneShot("sha256", data, "binary");
  } catch {
    // Older than the encoding: the way below is there always.
  }
  return (data) => crypto.createHash("sha256").update(data).digest("binary");
}

/** A key prepared for `hmacSha256`: imported once, not at every message. */
export function hmacKey(key: Uint8Array): KeyObject | Uint8Array {
  // An empty key cannot be imported everywhere.
  return key.length ? crypto.createSecretKey(key) : key.slice();
}

/** HMAC-SHA256, 32 bytes. */
export function hmacSha256(key: KeyObject | Uint8Array, data: Uint8Array): Uint8Array {
  return crypto.createHmac("sha256", key).update(data).digest();
}

/**
 * BLAKE2b-256 of key ‖ data where the host has it with BLAKE2's own parameter for the length: Bun; OpenSSL knows the
 * 512-bit form only, which is another hash. For `benchmark cpu`: the core is faster (1.5 GB/s where Bun's has 1.0).
 */
export function blake2b256(): ((key: Uint8Array, data: Uint8Array) => Uint8Array) | undefined {
  const hash = (key: Uint8Array, data: Uint8Array) =>
    crypto.createHash("blake2b256").update(key).update(data).digest();
  try {
    // BLAKE2b-256 of nothing begins with 0e 57.
    const digest = hash(new Uint8Array(0), new Uint8Array(0));
    return digest.length === 32 && digest[0] === 0x0e && digest[1] === 0x57 ? hash : undefined;
  } catch {
    return undefined;
  }
}

/** AES-256 in counter mode, encryption and decryption alike; `iv`: 16 bytes, a big-endian counter. */
export function aes256ctr(key: Uint8Array | KeyObject, iv: Uint8Array, data: Uint8Array): Uint8Array {
  const cipher = crypto.createCipheriv("aes-256-ctr", key, iv);
  const result = cipher.update(data);
  // Gives nothing, but frees what the runtime has for the cipher: Deno never does otherwise, Node at some collection.
  cipher.final();
  return result;
}

/** What stays in the processor's second cache, and what allocators have at hand. */
const PIECE_BYTES = 64 << 10;

/** Runs data through a cipher piece by piece, without a buffer of the data's size, and ends the cipher.
 *  @param take told of each piece and where it begins; the piece is given back then */
export function inPieces(
  cipher: crypto.Cipheriv,
  data: Uint8Array,
  take: (piece: Uint8Array, at: number) => void,
): void {
  for (let at = 0; at < data.length; at += PIECE_BYTES) {
    const piece = cipher.update(data.subarray(at, at + PIECE_BYTES));
    take(piece, at);
    releaseBuffer(piece);
  }
  cipher.final(); // as aes256ctr
}

/** As aes256ctr, by inPieces(). */
export function aes256ctrInPieces(
  key: Uint8Array | KeyObject,
  iv: Uint8Array,
  data: Uint8Array,
  take: (piece: Uint8Array, at: number) => void,
): void {
  inPieces(crypto.createCipheriv("aes-256-ctr", key, iv), data, take);
}

/** zlib streams (RFC 1950), present everywhere. */
export const zlibCodec = {
  compress: (data: Uint8Array, level: number): Uint8Array => zlib.deflateSync(data, { level }),
  /** Throws when the data is damaged or decodes to more than `maxSize` bytes. */
  decompress: (data: Uint8Array, maxSize: number): Uint8Array =>
    zlib.inflateSync(data, { maxOutputLength: Math.max(1, maxSize) }),
};

interface ZstdHost {
  zstdCompressSync(data: Uint8Array, options: { params: Record<number, number> }): Uint8Array;
  zstdDecompressSync(data: Uint8Array, options: { maxOutputLength: number }): Uint8Array;
  constants: Record<string, number>;
}

/** zstd frames; undefined on Node < 22.15. */
export function zstdCodec() {
  const { zstdCompressSync, zstdDecompressSync, constants } = zlib as unknown as Partial<ZstdHost>;
  const level = constants?.["ZSTD_c_compressionLevel"];
  if (!zstdCompressSync || !zstdDecompressSync || level === undefined) return undefined;
  return {
    compress: (data: Uint8Array, value: number): Uint8Array =>
      zstdCompressSync(data, { params: { [level]: value } }),
    /** Throws when the data is damaged or decodes to more than `maxSize` bytes. */
    decompress: (data: Uint8Array, maxSize: number): Uint8Array =>
      zstdDecompressSync(data, { maxOutputLength: Math.max(1, maxSize) }),
  };
}

/** SHA-512, used by the probe only: where it is slower than SHA-256, the processor has SHA instructions. */
export function sha512(data: Uint8Array): Uint8Array {
  return crypto.createHash("sha512").update(data).digest();
}
