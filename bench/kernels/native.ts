// Native peers of the kernels, run as child processes in the same benchmark run. A peer that is not installed is
// left out of the table.

import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";

function run(command: string, args: string[], env: Record<string, string> = {}): string | undefined {
  const done = spawnSync(command, args, {
    env: { ...process.env, ...env },
    maxBuffer: 1 << 24,
    timeout: 120_000,
  });
  return done.status === 0 ? `${done.stdout}\n${done.stderr}` : undefined;
}

function number(text: string | undefined, pattern: RegExp, unit: number): number | undefined {
  const found = text ? [...text.matchAll(pattern)].map((m) => Number(m[1])) : [];
  return found.length ? Math.max(...found) * unit : undefined;
}

/** The C loop of bench/native, compiled now for this processor. */
export function cBuzhash(source: string, dir: string, best: string): number | undefined {
  const binary = join(dir, best);
  for (const compiler of ["gcc", "cc", "clang"]) {
    if (run(compiler, ["-O3", "-march=native", "-o", binary, source]))
      return number(run(binary, []), /^([\d.]+)$/gm, 1e9);
  }
  return undefined;
}

/** One algorithm of `openssl speed`, the best of three; without the processor's SHA instructions if asked. */
export function openssl(algorithm: string, size: number, withoutSha = false): number | undefined {
  const args = ["speed", "-evp", algorithm, "-bytes", String(size), "-seconds", "1"];
  // Bit 29 of the second capability word: the SHA extensions.
  const env: Record<string, string> = withoutSha ? { OPENSSL_ia32cap: ":~0x20000000" } : {};
  const texts = [1, 2, 3].map(() => run("openssl", args, env));
  return number(texts.join("\n"), /\s([\d.]+)k\s*$/gm, 1000);
}

/** liblz4's own benchmark at level 1 over a file in blocks: compress and decompress. */
export function lz4(file: string, block: number): { compress?: number; decompress?: number } {
  const text = run("lz4", ["-b1", "-i4", `-B${block}`, file]);
  return {
    compress: number(text, /\), *([\d.]+) MB\/s/g, 1e6),
    decompress: number(text, /MB\/s *, *([\d.]+) MB\/s/g, 1e6),
  };
}

export function xxhsum(): number | undefined {
  return number(run("xxhsum", ["-b3", "-i5"]), /XXH64 .*\(([\d.]+) MB\/s\)/g, 1e6);
}

const prologue = `
import os, time
def best(work, n, rounds=8):
    least = 1e9
    for _ in range(rounds):
        t = time.perf_counter(); work(); least = min(least, time.perf_counter() - t)
    print(n / least)
`;

function python(program: string): number | undefined {
  const name = existsSync("/usr/bin/python3") ? "/usr/bin/python3" : "python3";
  return number(run(name, ["-c", prologue + program]), /^([\d.e+]+)$/gm, 1);
}

/** Borg's chunker over the bytes of `file`, held in memory, with its default parameters. */
export function borgChunker(file: string, seed: number): number | undefined {
  return python(`
import io
from borg.chunker import Chunker
data = open(${JSON.stringify(file)}, "rb").read()
def work():
    for c in Chunker(${seed}, 19, 23, 21, 4095).chunkify(io.BytesIO(data)): pass
best(work, len(data))`);
}

/** Borg's keyed BLAKE2b over messages of one size. */
export function borgBlake2b(size: number): number | undefined {
  return python(`
from borg.crypto.low_level import blake2b_256
key, data, n = os.urandom(128), os.urandom(${size}), max(1, (1 << 20) // ${size})
def work():
    for _ in range(n): blake2b_256(key, data)
best(work, n * ${size}, 600)`);
}
