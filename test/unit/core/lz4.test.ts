// LZ4 blocks: output byte-identical to liblz4's (called through Python's ctypes), round trips, lz4-wasm as a second
// oracle, limited capacity, and a decoder that survives anything without touching a byte outside its output.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import { lz4Wasm } from "../../../bench/kernels/libraries.ts";
import { Core, coreModule, lz4Bound } from "../../../src/core/index.ts";
import { bytes, edgeSizes, generator, kinds } from "./data.ts";

const core = new Core(coreModule());
const GUARD = 64;
const src = core.alloc(9 << 20);
const dst = core.alloc(10 << 20);
const back = core.alloc(9 << 20);

function compress(data: Uint8Array, shift = 0, cap = lz4Bound(data.length)): Uint8Array {
  core.u8.set(data, src + shift);
  return core.copy(dst, core.lz4Compress(src + shift, data.length, dst, cap));
}

/** Decodes between guard regions that must stay as they were. */
function decompress(block: Uint8Array, cap: number): Uint8Array | undefined {
  core.u8.set(block, src);
  core.u8.fill(0xa5, back, back + cap + 2 * GUARD);
  const n = core.lz4Decompress(src, block.length, back + GUARD, cap);
  const guards = Buffer.concat([core.view(back, GUARD), core.view(back + GUARD + cap, GUARD)]);
  if (!guards.every((b) => b === 0xa5)) throw new Error("a guard was overwritten");
  expect(n).toBeLessThanOrEqual(cap);
  return n < 0 ? undefined : core.copy(back + GUARD, n);
}

// Reads (u32 length, bytes)* and prints the SHA-256 of each LZ4_compress_default output.
const oracle = `
import ctypes, hashlib, struct, sys
lz4 = ctypes.CDLL("liblz4.so.1")
raw = sys.stdin.buffer.read()
at = 0
while at < len(raw):
    (n,) = struct.unpack_from("<I", raw, at)
    data = raw[at + 4:at + 4 + n]
    at += 4 + n
    cap = lz4.LZ4_compressBound(n)
    out = ctypes.create_string_buffer(cap)
    m = lz4.LZ4_compress_default(data, out, n, cap)
    print(hashlib.sha256(out.raw[:m]).hexdigest())
`;

function liblz4(inputs: Uint8Array[]): string[] | undefined {
  const parts = inputs.flatMap((data) => {
    const head = Buffer.alloc(4);
    head.writeUInt32LE(data.length);
    return [head, data];
  });
  const run = spawnSync("/usr/bin/python3", ["-c", oracle], {
    input: Buffer.concat(parts),
    maxBuffer: 1 << 24,
  });
  return run.status === 0 ? run.stdout.toString().trim().split("\n") : undefined;
}

const samples = kinds.flatMap((kind) => [
  ...edgeSizes.map((n) => bytes(n, kind, n + 1)),
  ...[65546, 65547, 65548, 100_000, 300_001, 1 << 20].map((n) => bytes(n, kind, n)),
]);
samples.push(bytes(8 << 20, "mixed", 99), bytes(8 << 20, "text", 98), bytes(8 << 20, "random", 97));

const available = liblz4([new Uint8Array(1)]) !== undefined;

describe("lz4 blocks", () => {
  it.runIf(available)("are byte-identical to liblz4's fast level", { timeout: 120_000 }, () => {
    const expected = liblz4(samples)!;
    expect(expected.length).toBe(samples.length);
    samples.forEach((data, i) => {
      const block = compress(data, i % 17);
      expect(createHash("sha256").update(block).digest("hex"), `sample ${i} of ${data.length} bytes`).toBe(
        expected[i],
      );
    });
  });

  it("come back as they were, with exactly enough room", { timeout: 120_000 }, () => {
    for (const data of samples) {
      const out = decompress(compress(data), data.length)!;
      expect(out.length).toBe(data.length);
      expect(Buffer.compare(out, data)).toBe(0);
      if (data.length) expect(decompress(compress(data), data.length - 1)).toBeUndefined();
    }
  });

  it("are read by lz4-wasm, and its own are read here", { timeout: 60_000 }, async () => {
    const library = await lz4Wasm();
    expect(library).toBeDefined();
    for (const data of samples) {
      // Its blocks have their decoded size in front.
      const block = compress(data);
      const sized = new Uint8Array(4 + block.length);
      new DataView(sized.buffer).setUint32(0, data.length, true);
      sized.set(block, 4);
      expect(Buffer.compare(library!.decompress(sized), data)).toBe(0);
      expect(Buffer.compare(decompress(library!.compress(data).subarray(4), data.length)!, data)).toBe(0);
    }
  });

  it("are never longer than the capacity given", () => {
    const next = generator(4);
    for (let i = 0; i < 400; i++) {
      const data = bytes(next() % 5000, kinds[i % kinds.length]!, i + 1);
      const full = compress(data);
      const cap = next() % (full.length + 20);
      core.u8.set(data, src);
      core.u8.fill(0x5a, dst + cap, dst + cap + GUARD);
      const n = core.lz4Compress(src, data.length, dst, cap);
      expect(core.view(dst + cap, GUARD).every((b) => b === 0x5a)).toBe(true);
      if (n) expect(Buffer.compare(core.view(dst, n), full)).toBe(0);
      else expect(cap).toBeLessThan(full.length + 16);
    }
  });
});

describe("the decoder on hostile input", () => {
  it("survives random bytes", () => {
    const next = generator(11);
    for (let i = 0; i < 20_000; i++) decompress(bytes(next() % 80, "random", i + 1), next() % 300);
  });

  it("survives every truncation and many mutations of a good block", () => {
    const data = bytes(3000, "text", 5);
    const block = compress(data);
    for (let n = 0; n < block.length; n++) {
      const out = decompress(block.subarray(0, n), data.length);
      if (out) expect(Buffer.compare(out, data.subarray(0, out.length))).toBe(0);
    }
    const next = generator(12);
    for (let i = 0; i < 20_000; i++) {
      const bad = block.slice();
      for (let k = 1 + (next() % 3); k; k--) bad[next() % bad.length] = next();
      decompress(bad, data.length);
    }
  });

  it("refuses lengths that would wrap, offsets before the start, and nothing at all", () => {
    const long = new Uint8Array(1 << 20).fill(255);
    long[0] = 0xf0;
    expect(decompress(long, 1 << 20)).toBeUndefined();
    long[0] = 0x0f;
    expect(decompress(long, 1 << 20)).toBeUndefined();
    expect(decompress(Uint8Array.of(0x10, 65, 2, 0, 0), 100)).toBeUndefined();
    expect(decompress(Uint8Array.of(0x10, 65, 0, 0, 0), 100)).toBeUndefined();
    expect(decompress(new Uint8Array(0), 100)).toBeUndefined();
    expect(decompress(Uint8Array.of(0), 0)).toEqual(new Uint8Array(0));
  });

  it("repeats short offsets exactly", () => {
    for (let offset = 1; offset <= 40; offset++) {
      for (const length of [4, 5, 18, 19, 33, 64, 300]) {
        const literals = bytes(offset, "random", offset);
        const head = offset < 15 ? [offset << 4] : [0xf0, offset - 15];
        const extra = length - 4;
        const block = Uint8Array.from([
          (head[0] as number) | Math.min(15, extra),
          ...head.slice(1),
          ...literals,
          offset,
          0,
          ...(extra < 15 ? [] : [...Array(Math.floor((extra - 15) / 255)).fill(255), (extra - 15) % 255]),
          0x10,
          7,
        ]);
        const expected = Uint8Array.from({ length: offset + length }, (_, i) => literals[i % offset]!);
        const out = decompress(block, offset + length + 1)!;
        expect(Buffer.compare(out.subarray(0, -1), expected)).toBe(0);
        expect(out.at(-1)).toBe(7);
      }
    }
  });
});
