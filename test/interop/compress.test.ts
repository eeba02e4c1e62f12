// Every codec and level against the installed borg's compress module, in both directions.
import { execFileSync } from "node:child_process";
import { beforeAll, describe, expect, it } from "vitest";
import { createCompressor, detectCodec, parseCompression, prepareCodecs } from "../../src/compress/index.ts";
import { loadCore } from "../../src/core/index.ts";

const range = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => from + i);
const specs = [
  ...["none", "lz4", "zstd", "zlib", "lzma"],
  ...range(1, 22).map((l) => `zstd,${l}`),
  ...range(0, 9).map((l) => `zlib,${l}`),
  ...range(0, 9).map((l) => `lzma,${l}`),
  ...["auto,lz4", "auto,none", "auto,zstd,1", "auto,zlib,9", "auto,lzma,6", "auto,zstd"],
  ...[
    "obfuscate,1,none",
    "obfuscate,6,lz4",
    "obfuscate,110,zstd,3",
    "obfuscate,114,auto,zlib,1",
    "obfuscate,3,lzma",
  ],
];

/** Reproducible pseudo-random bytes. */
function noise(n: number, seed = 1): Uint8Array {
  const out = new Uint8Array(n);
  let x = seed;
  for (let i = 0; i < n; i++) {
    x = (Math.imul(x, 1664525) + 1013904223) >>> 0;
    out[i] = x >>> 24;
  }
  return out;
}
const words = new TextEncoder().encode(
  "the quick brown fox jumps over the lazy dog and Pack my box with five dozen jugs ",
);
const text = new Uint8Array(300_000).map((_, i) => words[(i * 7 + (i >> 5)) % words.length]!);
const half = noise(100_000);
half.fill(0, 0, 4_000);
const samples = [
  new Uint8Array(0),
  new Uint8Array([65]),
  text.slice(0, 100),
  text,
  noise(50_000),
  half,
  new Uint8Array(200_000),
];

const script = `
import sys, json, base64
from borg.compress import CompressionSpec, Compressor
req = json.load(sys.stdin)
samples = [base64.b64decode(s) for s in req['samples']]
theirs = {s: [base64.b64encode(CompressionSpec(s).compressor.compress(d)).decode() for d in samples] for s in req['specs']}
bad = [(s, i) for s, blobs in req['blobs'].items() for i, b in enumerate(blobs) if Compressor('none').decompress(base64.b64decode(b)) != samples[i]]
print(json.dumps({'theirs': theirs, 'bad': bad}))
`;

describe("compression", () => {
  const core = loadCore();
  const b64 = (d: Uint8Array) => Buffer.from(d).toString("base64");
  let theirs: Record<string, string[]> = {};
  let bad: unknown[] = [];
  const ours: Record<string, Uint8Array[]> = {};

  beforeAll(async () => {
    await prepareCodecs("all");
    for (const spec of specs) {
      const compressor = createCompressor(parseCompression(spec), core);
      ours[spec] = samples.map((sample) => compressor.compress(sample));
    }
    const input = JSON.stringify({
      samples: samples.map(b64),
      specs,
      blobs: Object.fromEntries(specs.map((s) => [s, ours[s]!.map(b64)])),
    });
    ({ theirs, bad } = JSON.parse(
      execFileSync("/usr/bin/python3", ["-c", script], { input, maxBuffer: 1 << 28 }).toString(),
    ));
  });

  it("is read by borg", () => {
    expect(bad).toEqual([]);
  });

  it("reads what borg wrote", () => {
    const { decompress } = createCompressor(parseCompression("none"), core);
    for (const spec of specs) {
      samples.forEach((sample, i) => {
        expect(
          Buffer.compare(decompress(Buffer.from(theirs[spec]![i]!, "base64")), sample),
          `${spec} ${i}`,
        ).toBe(0);
      });
    }
  });

  it("chooses the codec borg chooses, and is as small", () => {
    for (const spec of specs) {
      samples.forEach((sample, i) => {
        const mine = ours[spec]![i]!;
        const other = Buffer.from(theirs[spec]![i]!, "base64");
        expect(detectCodec(mine), `${spec} ${i}`).toBe(detectCodec(other));
        if (!spec.startsWith("obfuscate")) {
          expect(mine.length, `${spec} ${i}`).toBeLessThanOrEqual(other.length * 1.02 + 40);
          expect(createCompressor(parseCompression(spec), core).decide(sample)).toBeTypeOf("string");
        }
      });
    }
  });

  it("gives lz4 blocks identical to liblz4's", () => {
    samples.forEach((_, i) => {
      expect(Buffer.compare(ours["lz4"]![i]!, Buffer.from(theirs["lz4"]![i]!, "base64")), `${i}`).toBe(0);
    });
  });
});
