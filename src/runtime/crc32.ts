// CRC-32 as zlib has it, natively on every runtime. Bun has it beside node:zlib too, where it does not bring the
// streams with it (8 ms of start-up); the speed of both is that of memory.
import { crc32 as zlibCrc32 } from "node:zlib";

type Crc32 = (data: Uint8Array, seed?: number) => number;

const bun = (globalThis as { Bun?: { hash: { crc32: Crc32 } } }).Bun;

/** Continues from `seed`; gives an unsigned number. */
export const crc32: Crc32 = bun
  ? (data, seed = 0) => bun.hash.crc32(data, seed)
  : (data, seed) => zlibCrc32(data, seed);
