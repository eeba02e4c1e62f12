// CRC-32 as zlib has it, natively on every runtime where much is to be summed up. node:zlib brings the streams with it: 2 ms
// of start-up on Node, more than many commands have to sum up in all. Bun has it beside node:zlib too, where it does not
// bring them (8 ms); the speed of both is that of memory.
import zlib from "node:zlib";

type Crc32 = (data: Uint8Array, seed?: number) => number;

const bun = (globalThis as { Bun?: { hash: { crc32: Crc32 } } }).Bun;

/** Bytes that the table is good enough for: 20 ns each before it is compiled. */
const FEW = 16 << 10;
let summed = 0;

/** Continues from `seed`; gives an unsigned number. */
export const crc32: Crc32 = bun
  ? (data, seed = 0) => bun.hash.crc32(data, seed)
  : (data, seed) => {
      if (summed <= FEW) {
        summed += data.length;
        if (summed <= FEW) return byTable(data, seed);
      }
      return native()(data, seed);
    };

// node:zlib is loaded by the first call.
function native(): Crc32 {
  return (zlib.crc32 as Crc32 | undefined) ?? byTable;
}

let table: Uint32Array | undefined;

/** For a few bytes, and for Node before 20.15, which is the newest that npm has for 32-bit arm. */
function byTable(data: Uint8Array, seed = 0): number {
  table ??= Uint32Array.from({ length: 256 }, (_, n) => {
    for (let bit = 0; bit < 8; bit++) n = n & 1 ? (n >>> 1) ^ 0xedb88320 : n >>> 1;
    return n;
  });
  let crc = ~seed;
  for (const byte of data) crc = table[(crc ^ byte) & 255]! ^ (crc >>> 8);
  return ~crc >>> 0;
}
