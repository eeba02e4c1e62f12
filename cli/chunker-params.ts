// Chunker parameters as archives record them.
import type { StoredChunkerParams } from "../src/archive/metadata.ts";
import type { ChunkerParams } from "../src/chunker/index.ts";

export function storedChunkerParams(p: ChunkerParams): StoredChunkerParams {
  return p.algo === "fixed"
    ? ["fixed", p.blockSize, p.headerSize]
    : ["buzhash", p.minExp, p.maxExp, p.maskBits, p.windowSize];
}
