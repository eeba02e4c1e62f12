// The exports of the WebAssembly core. Every function takes raw addresses in the one linear memory; nothing
// here allocates. What a call needs as scratch is a fixed static region of its own file; callers own the rest
// from heapBase() upwards.
export { buzhashInit, buzhashScan, buzhashScan4, buzhashHash } from "./buzhash";
export { sha256, sha256Many, sha256Lanes, hmacSha256SetKey, hmacSha256Many, hmacSha256Outer } from "./sha256";
export { blake2bSetKey, blake2b, blake2bMany, blake2bLanes } from "./blake2b";
export { lz4Compress, lz4Decompress } from "./lz4";
export { crc32 } from "./crc32";
export { scanItems } from "./items";
export { sumChunks } from "./sums";
export { plainPaths, knownFiles, knownItems } from "./plain";
export { xxh64, xxh64Init, xxh64Update, xxh64Digest } from "./xxh64";

/** First address that no static data uses. */
export function heapBase(): usize {
  return __heap_base;
}

/** True when all bytes of the range are zero. */
export function isZero(p: usize, n: usize): bool {
  const end = p + n;
  while (p + 64 <= end) {
    const v = v128.or(
      v128.or(v128.load(p), v128.load(p, 16)),
      v128.or(v128.load(p, 32), v128.load(p, 48)),
    );
    if (v128.any_true(v)) return false;
    p += 64;
  }
  for (; p < end; p++) if (load<u8>(p)) return false;
  return true;
}
