// CRC-32 as zlib has it, natively on every runtime where much is to be summed up. node:zlib brings the streams with it: 3 ms
// of start-up on Node, more than many commands have to sum up in all: what is less is left to the core where it is there.
// Bun has it beside node:zlib too, where it does not bring them (8 ms); the speed of both is that of memory.
import zlib from "node:zlib";
import { runtime } from "./platform.ts";

type Crc32 = (data: Uint8Array, seed?: number) => number;

const bun = (globalThis as { Bun?: { hash: { crc32: Crc32 } } }).Bun;

/** Bytes that the table is good enough for: 20 ns each before it is compiled. */
const FEW = 16 << 10;
/** Bytes that the core sums up sooner than node:zlib is loaded: its code is V8's first, of a fifth of the speed. */
const SOME = 256 << 10;
let summed = 0;
let lent: Crc32 | undefined;

/** The core, which this layer does not know, lends its own. */
export function lendCrc32(way: Crc32): void {
  lent ??= way;
}

/** Whether the runtime has one of its own. Tells it without loading node:zlib. */
export function hasNativeCrc32(): boolean {
  if (runtime.name !== "node") return true;
  const [major = 0, minor = 0] = runtime.version.split(".").map(Number);
  return major > 22 || (major === 22 && minor >= 2) || (major === 20 && minor >= 15);
}

/** The runtime's own, for any number of bytes; undefined on a Node that has none. */
export const nativeCrc32: Crc32 | undefined = bun
  ? (data, seed = 0) => bun.hash.crc32(data, seed)
  : hasNativeCrc32()
    ? viaZlib
    : undefined;

// node:zlib is loaded by the first call.
function viaZlib(data: Uint8Array, seed = 0): number {
  const way = (zlib.crc32 as Crc32 | undefined) ?? lent ?? byTable;
  return way(data, seed);
}

/** Continues from `seed`; gives an unsigned number. */
export const crc32: Crc32 =
  bun && nativeCrc32
    ? nativeCrc32
    : (data, seed = 0) => {
        if (summed <= SOME) {
          summed += data.length;
          if (lent && summed <= SOME) return lent(data, seed);
          if (summed <= FEW) return byTable(data, seed);
        }
        return (nativeCrc32 ?? lent ?? byTable)(data, seed);
      };

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
