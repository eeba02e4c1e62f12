// Trees for bench/pipeline.ts, the same bytes on every machine: (a) many small files like sources and documents,
// (b) few large ones, compressible, incompressible and with regions of zeros, (c) four nearly equal root filesystems of
// Debian for arm64, (d) empty and tiny files for the scan alone. A change of 1 % rewrites every hundredth file.
import { execFileSync } from "node:child_process";
import { createCipheriv } from "node:crypto";
import {
  appendFileSync,
  closeSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  rmSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { debian } from "../test/support/debian.ts";

export interface Corpus {
  name: string;
  title: string;
  files: number;
  bytes: number;
  /** Writes the tree into an empty directory. */
  make(dir: string): void;
  /** Changes about 1 %; `round` makes each change another. */
  change(dir: string, round: number): void;
}

/** Numbers in [0, 1) from a seed. */
function numbers(seed: number): () => number {
  let x = (seed * 2654435761 + 40503) >>> 0 || 1;
  return () => {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    x >>>= 0;
    return x / 2 ** 32;
  };
}

/** Bytes no compressor makes smaller: a key stream. */
function noise(length: number, seed: number): Buffer {
  const key = Buffer.alloc(32);
  key.writeUInt32LE(seed >>> 0);
  return createCipheriv("aes-256-ctr", key, Buffer.alloc(16)).update(Buffer.alloc(length));
}

const POOL = 4 << 20;
let pool: Buffer | undefined;

/** Words of a small vocabulary in lines: LZ4 makes it about half as large, as it does with source code. */
function textPool(): Buffer {
  if (pool) return pool;
  const next = numbers(7);
  const words = Array.from({ length: 6000 }, () => {
    const n = 2 + Math.floor(next() * next() * 14);
    return Array.from(
      { length: n },
      () => "etaoinsrhldcumfpgwybvkxjqz_(.;"[Math.floor(next() ** 1.6 * 30)],
    ).join("");
  });
  const parts: string[] = [];
  let size = 0;
  while (size < POOL) {
    const word = words[Math.floor(next() ** 2 * words.length)]!;
    const end = next() < 0.12 ? `\n${"  ".repeat(Math.floor(next() * 4))}` : " ";
    parts.push(word, end);
    size += word.length + end.length;
  }
  pool = Buffer.from(parts.join("")).subarray(0, POOL);
  return pool;
}

/** Contents of a file: pieces of the pool behind a line of its own; every tenth is incompressible. */
function contents(size: number, seed: number): Buffer {
  if (seed % 10 === 9) return noise(size, seed);
  const text = textPool();
  const next = numbers(seed + 1);
  const out = Buffer.alloc(size);
  let at = out.write(`file ${seed}\n`);
  while (at < size) {
    const from = Math.floor(next() * (POOL - 4096));
    at += text.copy(out, at, from, from + 512 + Math.floor(next() * 3584));
  }
  return out;
}

const path = (dir: string, i: number, perDirectory: number): string => {
  const leaf = Math.floor(i / perDirectory);
  return join(dir, `group-${leaf % 40}`, `module-${leaf}`, `part-${i}.txt`);
};

function smallFiles(files: number, meanBytes: number): Corpus {
  const size = (i: number): number => {
    // Many of a few hundred bytes, few of several hundred thousand: like a source tree.
    const r = numbers(i + 3)();
    return Math.floor(meanBytes * 0.02 + meanBytes * 0.9 * r ** 6 * 7.5 + meanBytes * 0.1 * r);
  };
  let bytes = 0;
  for (let i = 0; i < files; i++) bytes += size(i);
  return {
    name: "small",
    title: `${files} small files`,
    files,
    bytes,
    make: (dir) => {
      for (let i = 0; i < files; i++) {
        const p = path(dir, i, 30);
        if (i % 30 === 0) mkdirSync(join(p, ".."), { recursive: true });
        writeFileSync(p, contents(size(i), i));
      }
    },
    change: (dir, round) => {
      for (let i = 0; i < files; i += 100)
        writeFileSync(path(dir, i, 30), contents(size(i) + 1, i + round * 1e6 + 1e6));
    },
  };
}

function largeFiles(megabytes: number): Corpus {
  const MB = 1 << 20;
  const write = (file: string, piece: (i: number) => Buffer | undefined): void => {
    const fd = openSync(file, "w");
    let at = 0;
    for (let i = 0; i < megabytes; i++) {
      const data = piece(i);
      if (data) writeSync(fd, data, 0, data.length, at);
      at += MB;
    }
    ftruncateSync(fd, at);
    closeSync(fd);
  };
  return {
    name: "large",
    title: `4 large files of ${megabytes} MiB`,
    files: 4,
    bytes: 4 * megabytes * MB,
    make: (dir) => {
      mkdirSync(dir, { recursive: true });
      write(join(dir, "text"), (i) => contents(MB, i * 10 + 1));
      write(join(dir, "noise"), (i) => noise(MB, 1000 + i));
      // An image of a disk: used regions, and eight MiB of zeros after every eight.
      write(join(dir, "image"), (i) => (i & 8 ? undefined : contents(MB, i + 5000)));
      write(join(dir, "mixed"), (i) => (i % 2 ? noise(MB, 9000 + i) : contents(MB, i * 10 + 20001)));
    },
    change: (dir, round) => {
      const fd = openSync(join(dir, "text"), "r+");
      const step = 25;
      for (let i = 0; i < megabytes; i += step)
        writeSync(fd, contents(MB, round * 1000 + 70001 + i), 0, MB, i * MB);
      closeSync(fd);
    },
  };
}

/** Regular files of a tree in the order of their names, relative. */
function regularFiles(dir: string): string[] {
  // Not readdir, whose recursive form follows symlinks: a root that is not configured has one to /proc.
  const found = execFileSync("find", [".", "-type", "f", "-print0"], { cwd: dir, maxBuffer: 1 << 26 });
  return found.toString().split("\0").slice(0, -1).sort();
}

const COPIES = ["first", "second", "third", "fourth"];

/** As machines of one kind are: the same packages, and a few files of each one's own. */
function rootFilesystems(): Corpus | undefined {
  const root = debian("arm64");
  if (!root) return undefined;
  const files = regularFiles(root);
  const own = (copy: number): string[] => files.filter((_, i) => i % 50 === copy);
  const bytes = Number(execFileSync("du", ["-sb", root], { encoding: "utf8" }).split("\t")[0]);
  return {
    name: "roots",
    title: "4 root filesystems of Debian 12 for arm64",
    files: COPIES.length * files.length,
    bytes: COPIES.length * bytes,
    make: (dir) => {
      mkdirSync(dir, { recursive: true });
      for (const [i, name] of COPIES.entries()) {
        execFileSync("cp", ["-a", root, join(dir, name)]);
        // Devices cannot be compared by reading them.
        rmSync(join(dir, name, "dev"), { recursive: true, force: true });
        for (const file of own(i)) appendFileSync(join(dir, name, file), `machine ${i}\n`);
      }
    },
    change: (dir, round) => {
      for (const [i, name] of COPIES.entries())
        for (const file of files.filter((_, k) => k % 100 === 10 + i))
          appendFileSync(join(dir, name, file), `round ${round}\n`);
    },
  };
}

function tinyFiles(files: number): Corpus {
  return {
    name: "tiny",
    title: `${files} empty and tiny files`,
    files,
    bytes: Math.floor(files / 2) * 12,
    make: (dir) => {
      for (let i = 0; i < files; i++) {
        const p = path(dir, i, 100);
        if (i % 100 === 0) mkdirSync(join(p, ".."), { recursive: true });
        writeFileSync(p, i % 2 ? `tiny ${String(i).padStart(6)}\n`.slice(0, 12) : "");
      }
    },
    change: (dir, round) => {
      for (let i = 1; i < files; i += 100) writeFileSync(path(dir, i, 100), `${round} ${i}\n`);
    },
  };
}

const sizes = {
  full: { small: [92_000, 12_700], large: 400, tiny: 200_000 },
  quick: { small: [12_000, 12_700], large: 32, tiny: 12_000 },
} as const;

/** The corpora of these names, of small, large, roots and tiny; roots only where a Debian can be had.
 *  @param quick sizes for a run of about two minutes */
export function corpora(names: readonly string[], quick: boolean): Corpus[] {
  const { small, large, tiny } = sizes[quick ? "quick" : "full"];
  const known: Record<string, () => Corpus | undefined> = {
    small: () => smallFiles(small[0], small[1]),
    large: () => largeFiles(large),
    roots: rootFilesystems,
    tiny: () => tinyFiles(tiny),
  };
  return names.flatMap((name) => {
    const make = known[name];
    if (!make) throw new Error(`no corpus is named ${name}`);
    return make() ?? [];
  });
}
