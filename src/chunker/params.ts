// `--chunker-params` as Borg 1.x reads it, and the two sets of parameters it uses by itself: for file contents
// and for the stream of items.

import { ArgumentError } from "../errors.ts";

export interface BuzhashParams {
  algo: "buzhash";
  /** Smallest chunk: 2^minExp bytes. */
  minExp: number;
  /** Largest chunk: 2^maxExp bytes. */
  maxExp: number;
  /** A cut needs this many zero bits at the low end of the hash. */
  maskBits: number;
  /** Bytes under the rolling hash. */
  windowSize: number;
}

export interface FixedParams {
  algo: "fixed";
  blockSize: number;
  /** Length of a first chunk of its own, or 0. */
  headerSize: number;
}

export type ChunkerParams = BuzhashParams | FixedParams;

const MAX_DATA_SIZE = 20971479;

export const defaultChunkerParams: BuzhashParams = {
  algo: "buzhash",
  minExp: 19,
  maxExp: 23,
  maskBits: 21,
  windowSize: 4095,
};
export const itemsChunkerParams: BuzhashParams = {
  algo: "buzhash",
  minExp: 15,
  maxExp: 19,
  maskBits: 17,
  windowSize: 4095,
};

/** Parses `default`, `fixed,BLOCK[,HEADER]` or `[buzhash,]MIN_EXP,MAX_EXP,MASK_BITS,WINDOW`. */
export function parseChunkerParams(text: string): ChunkerParams {
  const parts = text.trim().split(",");
  const algo = parts[0]!.toLowerCase();
  if (algo === "default" && parts.length === 1) return defaultChunkerParams;
  if (algo === "fixed" && (parts.length === 2 || parts.length === 3)) {
    const [blockSize, headerSize] = [
      integer(parts[1]!, text),
      parts.length === 3 ? integer(parts[2]!, text) : 0,
    ];
    if (blockSize < 64)
      throw new ArgumentError("chunker parameters: the block size must be at least 64 bytes");
    if (blockSize > MAX_DATA_SIZE || headerSize > MAX_DATA_SIZE) {
      throw new ArgumentError(
        `chunker parameters: block and header must not be larger than ${MAX_DATA_SIZE} bytes`,
      );
    }
    if (headerSize < 0) throw new ArgumentError("chunker parameters: the header size must not be negative");
    return { algo: "fixed", blockSize, headerSize };
  }
  if (parts.length === 4 || (algo === "buzhash" && parts.length === 5)) {
    const numbers = parts.slice(-4).map((part) => integer(part, text));
    const [minExp, maxExp, maskBits, windowSize] = numbers as [number, number, number, number];
    if (minExp > maskBits || maskBits > maxExp) {
      throw new ArgumentError(
        "chunker parameters: needed are CHUNK_MIN_EXP ≤ HASH_MASK_BITS ≤ CHUNK_MAX_EXP",
      );
    }
    if (minExp < 6)
      throw new ArgumentError("chunker parameters: CHUNK_MIN_EXP must be at least 6 (64-byte chunks)");
    if (maxExp > 23)
      throw new ArgumentError("chunker parameters: CHUNK_MAX_EXP must be at most 23 (8 MiB chunks)");
    if (windowSize % 2 === 0) throw new ArgumentError("chunker parameters: the window size must be odd");
    const params: BuzhashParams = { algo: "buzhash", minExp, maxExp, maskBits, windowSize };
    checkBuzhash(params);
    return params;
  }
  throw new ArgumentError(`chunker parameters not understood: ${text}`);
}

/** Throws when no chunk could be cut with these: the largest must hold the smallest, the window and one byte. */
export function checkBuzhash({ minExp, maxExp, windowSize }: BuzhashParams): void {
  if (windowSize < 1 || windowSize + 2 ** minExp + 1 > 2 ** maxExp) {
    throw new ArgumentError(
      "chunker parameters: CHUNK_MAX_EXP is too small for CHUNK_MIN_EXP and the window",
    );
  }
}

function integer(part: string, text: string): number {
  if (!/^\s*[+-]?\d+\s*$/.test(part)) throw new ArgumentError(`chunker parameters not understood: ${text}`);
  return Number(part);
}
