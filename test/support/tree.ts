// A small tree of ordinary files for backups: sizes from 0 to several chunks, compressible and random, links,
// odd names. Deterministic for a seed.
import {
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";

/** Waits until the kernel's clock of files goes on: files with the newest ctime of a tree are not in the files cache. */
export function nextTick(): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 30);
}

/** Bytes from a seed (xorshift): random to a compressor. */
export function randomBytes(length: number, seed: number): Buffer {
  const out = Buffer.allocUnsafe(length);
  let x = (seed * 2654435761 + 12345) >>> 0 || 1;
  for (let i = 0; i < length; i++) {
    x ^= x << 13;
    x >>>= 0;
    x ^= x >>> 17;
    x ^= x << 5;
    x >>>= 0;
    out[i] = x & 255;
  }
  return out;
}

export function makeTree(dir: string, seed: number): void {
  mkdirSync(join(dir, "sub", "deep"), { recursive: true });
  mkdirSync(join(dir, "empty"));
  writeFileSync(join(dir, "nothing"), "");
  writeFileSync(join(dir, "one"), Buffer.of(seed & 255));
  writeFileSync(join(dir, "text"), `line ${seed}\n`.repeat(5000));
  writeFileSync(join(dir, "random"), randomBytes(700_000, seed));
  writeFileSync(join(dir, "zeros"), Buffer.alloc(1_500_000));
  const mixed = Buffer.concat([Buffer.alloc(600_000, `abc${seed}`), randomBytes(900_000, seed + 1)]);
  writeFileSync(join(dir, "sub", "mixed"), mixed);
  writeFileSync(join(dir, "sub", "copy"), mixed);
  writeFileSync(join(dir, "sub", "deep", "ünïcode näme"), "ä\n");
  writeFileSync(join(dir, "sub", "deep", "new\nline"), "x");
  for (let i = 0; i < 40; i++)
    writeFileSync(join(dir, "sub", "deep", `small-${i}`), `${seed}-${i}-`.repeat(i));
  linkSync(join(dir, "text"), join(dir, "sub", "hardlink"));
  symlinkSync("../text", join(dir, "sub", "symlink"));
  symlinkSync("nowhere", join(dir, "dangling"));
  nextTick(); // so that this file alone has the newest ctime of the tree
  utimesSync(join(dir, "one"), 1e9, 1e9 + 0.5);
}

/** A tree as text: one line a file with type, mode, size, mtime, target and contents' digest, for comparing. */
export function describeTree(dir: string): string {
  const lines: string[] = [];
  const visit = (path: string): void => {
    for (const name of readdirSync(join(dir, path)).sort()) {
      const p = path ? `${path}/${name}` : name;
      const s = lstatSync(join(dir, p), { bigint: true });
      let what = "";
      if (s.isSymbolicLink()) what = `-> ${readlinkSync(join(dir, p))}`;
      else if (s.isFile()) what = `${s.size} links ${s.nlink} ${digest(readFileSync(join(dir, p)))}`;
      lines.push(`${JSON.stringify(p)} ${s.mode.toString(8)} ${s.uid}:${s.gid} ${s.mtimeNs} ${what}`);
      if (s.isDirectory()) visit(p);
    }
  };
  visit("");
  return lines.join("\n");
}

function digest(data: Buffer): string {
  let h1 = 0x811c9dc5;
  let h2 = 0x1b873593;
  for (let i = 0; i < data.length; i++) {
    h1 = Math.imul(h1 ^ data[i]!, 0x01000193);
    h2 = Math.imul(h2 ^ data[i]!, 0x85ebca6b) + i;
  }
  return `${(h1 >>> 0).toString(16)}${(h2 >>> 0).toString(16)}`;
}
