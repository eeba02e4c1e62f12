// Data for the benchmarks, and where they come from: random bytes from a small generator; text and a program that
// every machine with the dependencies has.

import { readdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";

export interface Setting {
  /** Seconds per measured row and implementation. */
  seconds: number;
  /** A directory for temporary files. */
  dir: string;
  /** Where the C sources are. */
  native: string;
}

export function random(size: number, seed = 1): Uint8Array {
  const out = new Uint32Array(Math.ceil(size / 4));
  let x = seed;
  for (let i = 0; i < out.length; i++) {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    out[i] = x;
  }
  return new Uint8Array(out.buffer, 0, size);
}

const SIZE = 8 << 20;

/** TypeScript sources and declarations, repeated to 8 MiB. */
export function text(): Uint8Array {
  const dir = dirname(createRequire(import.meta.url).resolve("assemblyscript/package.json"));
  const files = readdirSync(dir, { recursive: true, encoding: "utf8" }).filter((name) =>
    /\.(ts|md)$/.test(name),
  );
  return fill(Buffer.concat(files.sort().map((name) => readFileSync(join(dir, name)))));
}

/** The first 8 MiB of the running program behind its headers. */
export function binary(): Uint8Array {
  return fill(readFileSync(process.execPath).subarray(4 << 20, 12 << 20));
}

function fill(data: Uint8Array): Uint8Array {
  const out = new Uint8Array(SIZE);
  for (let at = 0; at < SIZE; at += data.length)
    out.set(data.subarray(0, Math.min(data.length, SIZE - at)), at);
  return out;
}

/** Lengths of small files, 13 KB on average like a home directory's, skewed like one. */
export function smallSizes(total: number): number[] {
  const sizes: number[] = [];
  let x = 7;
  for (let sum = 0; sum < total; sum += sizes.at(-1)!) {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    const u = (x >>> 0) / 2 ** 32;
    sizes.push(Math.min(Math.ceil(400 * Math.exp(u * 6.3)), total - sum));
  }
  return sizes;
}
