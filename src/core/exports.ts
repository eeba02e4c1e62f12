// The raw exports of the WebAssembly core (assembly/index.ts) as TypeScript sees them. All addresses and sizes
// are bytes in the core's one linear memory.

export interface CoreExports {
  readonly memory: WebAssembly.Memory;
  heapBase(): number;
  isZero(p: number, n: number): number;
  buzhashInit(state: number, seed: number, window: number): void;
  buzhashHash(state: number, p: number, window: number): number;
  buzhashScan(state: number, p: number, n: number, window: number, mask: number): number;
  buzhashScan4(table: number, p: number, lane: number, mask: number, list: number, room: number): number;
  sha256(p: number, n: number, out: number): void;
  sha256Many(table: number, n: number, out: number): void;
  sha256Lanes(n: number, carry: boolean): void;
  hmacSha256SetKey(slot: number, key: number, n: number): void;
  hmacSha256Many(slot: number, table: number, n: number, out: number): void;
  hmacSha256Outer(slot: number, table: number, n: number, out: number): void;
  blake2bSetKey(slot: number, key: number, n: number): void;
  blake2b(slot: number, p: number, n: number, out: number): void;
  blake2bMany(slot: number, table: number, n: number, out: number): void;
  blake2bLanes(n: number, constants: boolean): void;
  lz4Compress(src: number, n: number, dst: number, cap: number): number;
  lz4Decompress(src: number, n: number, dst: number, cap: number): number;
  crc32(p: number, n: number, seed: number): number;
  plainPaths(context: number): number;
  knownFiles(context: number, from: number): number;
  knownItems(context: number, from: number, to: number): number;
  scanItems(state: number, p: number, end: number, out: number, room: number): number;
  sumChunks(p: number, n: number, counts: number, sums: number): void;
  xxh64(p: number, n: number, seed: bigint): bigint;
  xxh64Init(state: number, seed: bigint): void;
  xxh64Update(state: number, p: number, n: number): void;
  xxh64Digest(state: number): bigint;
}
