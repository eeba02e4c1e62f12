// Cut points against real Borg's own chunker, called through the Python that has borg installed: 64 MiB of mixed
// data for several parameters and seeds; with ALCOVE_LONG=1 also 1 GiB.
import { execFileSync, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  appendFileSync,
  closeSync,
  mkdtempSync,
  openSync,
  readSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { createChunker, parseChunkerParams } from "../../src/chunker/index.ts";
import { Core, coreModule } from "../../src/core/index.ts";
import { bytes } from "../unit/core/data.ts";

const python = "/usr/bin/python3";
const hasBorg = spawnSync(python, ["-c", "import borg.chunker"]).status === 0;
const dir = mkdtempSync(join(tmpdir(), "alcove-chunker-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

// Prints the number of chunks, the hash of the list of their sizes, and the first ones.
const script = `
import sys, hashlib
from borg.chunker import get_chunker
name, seed, text = sys.argv[1], int(sys.argv[2]), sys.argv[3]
parts = text.split(",")
kw = dict(sparse=False) if parts[0] == "fixed" else dict(seed=seed)
chunker = get_chunker(parts[0], *map(int, parts[1:]), **kw)
with open(name, "rb") as f:
    sizes = [c.meta["size"] for c in chunker.chunkify(f, f.fileno())]
joined = ",".join(map(str, sizes))
print(len(sizes), hashlib.sha256(joined.encode()).hexdigest())
`;

function borgs(file: string, seed: number, params: string): string {
  return execFileSync(python, ["-c", script, file, String(seed), params])
    .toString()
    .trim();
}

const BUFFER = 16 << 20;
const core = new Core(coreModule());
const buffer = core.alloc(BUFFER);

function ours(file: string, seed: number, params: string): string {
  const chunker = createChunker(core, parseChunkerParams(params), seed);
  const fd = openSync(file, "r");
  const sizes: number[] = [];
  let held = 0;
  let from = 0;
  for (let eof = false; !eof; ) {
    const n = readSync(fd, core.u8, buffer + held, BUFFER - held, null);
    eof = n === 0;
    held += n;
    const lengths = chunker.cuts(buffer, held, eof, from);
    let done = 0;
    for (const length of lengths) {
      sizes.push(length);
      done += length;
    }
    core.u8.copyWithin(buffer, buffer + done, buffer + held);
    held -= done;
    from = lengths.length ? 0 : held;
  }
  closeSync(fd);
  expect(sizes.reduce((a, b) => a + b, 0)).toBe(statSync(file).size);
  return `${sizes.length} ${createHash("sha256").update(sizes.join(",")).digest("hex")}`;
}

const cases: [string, number][] = [
  ["buzhash,19,23,21,4095", 0],
  ["buzhash,19,23,21,4095", 1234567890],
  ["buzhash,19,23,21,4095", -2147483648],
  ["buzhash,15,19,17,4095", 42],
  ["buzhash,10,23,16,4095", -5],
  ["buzhash,12,20,14,4093", 77],
  ["buzhash,8,16,10,255", 3],
  ["buzhash,18,22,19,32767", 9],
  ["buzhash,16,23,23,4095", 11],
  ["fixed,65536", 0],
  ["fixed,100000,512", 0],
];

describe.runIf(hasBorg)("cut points equal real borg's", () => {
  it("on 64 MiB of mixed data, for every set of parameters", { timeout: 300_000 }, () => {
    const file = join(dir, "mixed");
    writeFileSync(file, bytes(64 << 20, "mixed", 2024));
    for (const [params, seed] of cases) {
      expect(ours(file, seed, params), `${params} seed ${seed}`).toBe(borgs(file, seed, params));
    }
  });

  it("on small files of edge sizes", { timeout: 120_000 }, () => {
    const params = "buzhash,10,13,11,4095";
    for (const size of [0, 1, 1023, 1024, 5118, 5119, 5120, 5121, 8191, 8192, 8193, 12_287, 12_288, 20_000]) {
      const file = join(dir, `edge${size}`);
      writeFileSync(file, bytes(size, "random", size + 1));
      expect(ours(file, 5, params), `${size} bytes`).toBe(borgs(file, 5, params));
    }
  });

  it.runIf(process.env["ALCOVE_LONG"])("on 1 GiB of mixed data", { timeout: 1_200_000 }, () => {
    const file = join(dir, "long");
    writeFileSync(file, "");
    for (let i = 0; i < 16; i++) appendFileSync(file, bytes(64 << 20, i % 3 ? "mixed" : "random", 3000 + i));
    for (const [params, seed] of cases.slice(0, 7)) {
      expect(ours(file, seed, params), `${params} seed ${seed}`).toBe(borgs(file, seed, params));
    }
  });
});
