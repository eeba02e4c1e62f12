// Codecs by themselves: round trips, limits, and what they do with blobs that were damaged or made to hurt.
import { brotliDecompressSync, deflateSync } from "node:zlib";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { detectCodec } from "../../../src/compress/codec.ts";
import {
  createCompressor,
  decompress,
  parseCompression,
  prepareCodecs,
} from "../../../src/compress/index.ts";
import { MAX_DATA_SIZE, paddingSize } from "../../../src/compress/obfuscate.ts";
import { implementations } from "../../../src/compress/zstd.ts";
import { loadCore } from "../../../src/core/index.ts";
import { DecompressionError } from "../../../src/errors.ts";
import { fromHex } from "../../../src/format/bytes.ts";

const core = loadCore();
const specs = ["none", "lz4", "zstd,1", "zstd,3", "zlib,1", "lzma,0", "auto,zlib,6", "obfuscate,110,lz4"];
const compressorOf = (spec: string) => createCompressor(parseCompression(spec), core);

const chunks = fc.oneof(
  fc.uint8Array({ maxLength: 3000 }),
  fc
    .tuple(fc.uint8Array({ minLength: 1, maxLength: 40 }), fc.integer({ min: 1, max: 400 }))
    .map(([unit, n]) => new Uint8Array(unit.length * n).map((_, i) => unit[i % unit.length]!)),
);

describe("round trip", () => {
  for (const spec of specs) {
    it(spec, () => {
      const compressor = compressorOf(spec);
      fc.assert(
        fc.property(chunks, (data) => {
          const blob = compressor.compress(data);
          expect(Buffer.compare(compressor.decompress(blob), data)).toBe(0);
          if (!/^(obfuscate|auto)/.test(spec)) expect(compressor.decide(data)).toBe(detectCodec(blob));
        }),
        { numRuns: 60 },
      );
    });
  }

  it("compresses data in the core's own memory, also when that grows meanwhile", () => {
    const size = 3_000_000;
    const at = core.alloc(size);
    core.u8.fill(7, at, at + size);
    const fresh = createCompressor(parseCompression("lz4"), loadCore());
    expect(fresh.decompress(compressorOf("lz4").compress(core.u8.subarray(at, at + size))).length).toBe(size);
  });

  it("zstd gives the same through WebAssembly at the extreme levels, and at 8 MiB", async () => {
    await prepareCodecs({ name: "zstd", level: 22 });
    const data = new Uint8Array(1 << 23).map((_, i) => (i * i) >> 9);
    for (const level of [1, 19, 22]) {
      const frame = implementations.wasm.compress(level === 1 ? data : data.subarray(0, 1 << 18), level);
      const blob = new Uint8Array(frame.length + 2);
      blob.set([3, 0]);
      blob.set(frame, 2);
      const back = decompress(blob, 1 << 23, core);
      expect(Buffer.compare(back, data.subarray(0, back.length))).toBe(0);
    }
  });
});

describe("limits", () => {
  it("a chunk of just the allowed size passes, one byte more does not", () => {
    const data = new Uint8Array(100_000);
    for (const spec of specs) {
      const blob = compressorOf(spec).compress(data);
      expect(decompress(blob, data.length, core).length, spec).toBe(data.length);
      expect(() => decompress(blob, data.length - 1, core), spec).toThrow(DecompressionError);
    }
  });

  it("empty chunks", () => {
    for (const spec of specs) {
      expect(decompress(compressorOf(spec).compress(new Uint8Array(0)), 0, core).length, spec).toBe(0);
    }
  });

  it("a bomb is refused before it unfolds", () => {
    const bomb = deflateSync(new Uint8Array(64 << 20));
    expect(() => decompress(new Uint8Array(bomb), MAX_DATA_SIZE, core)).toThrow(/larger than/);
    const lz4 = new Uint8Array(200_000).fill(255);
    lz4.set([1, 0, 0x1f, 0x61, 1, 0]);
    expect(() => decompress(lz4, 1 << 20, core)).toThrow(DecompressionError);
  });
});

describe("hostile blobs", () => {
  it("names what it does not know", () => {
    for (const hex of ["", "00", "0500", "ffff", "0101", "7800"]) {
      expect(() => decompress(fromHex(hex), 100, core), hex).toThrow(DecompressionError);
    }
  });

  it("refuses truncated and flipped blobs, or gives some data, but never another error", () => {
    const text = new TextEncoder().encode("a text that repeats, a text that repeats itself ".repeat(60));
    for (const spec of specs) {
      const blob = compressorOf(spec).compress(text);
      fc.assert(
        fc.property(
          fc.integer({ min: 0, max: blob.length - 1 }),
          fc.integer({ min: 1, max: 255 }),
          fc.boolean(),
          (at, mask, cut) => {
            const bad = cut ? blob.slice(0, at) : blob.slice();
            if (!cut) bad[at]! ^= mask;
            try {
              expect(decompress(bad, 10_000, core).length).toBeLessThanOrEqual(10_000);
            } catch (error) {
              expect(error).toBeInstanceOf(DecompressionError);
            }
          },
        ),
        { numRuns: 150 },
      );
    }
  });

  it("does not follow endless obfuscation", () => {
    const nested = new Uint8Array(6 * 1000 + 2);
    const view = new DataView(nested.buffer);
    for (let i = 0; i < 1000; i++) {
      nested[6 * i] = 4;
      view.setUint32(6 * i + 2, nested.length - 6 * (i + 1));
    }
    expect(() => decompress(nested, 100, core)).toThrow(/nested/);
  });

  it("zstd of small data is the same by the runtime's and by WebAssembly, which takes over after some", () => {
    const compressor = compressorOf("zstd,3");
    for (let i = 0; i < 1200; i++) {
      const data = new Uint8Array(400 + (i % 90) * 100).map((_, k) => (k % (2 + (i % 50))) * 5 + (k >> 9));
      const blob = compressor.compress(data);
      expect(detectCodec(blob)).toBe("zstd");
      expect(Buffer.compare(decompress(blob, MAX_DATA_SIZE, core), data)).toBe(0);
      const bad = blob.slice(0, blob.length - 1 - (i % 3));
      expect(() => decompress(bad, MAX_DATA_SIZE, core)).toThrow(DecompressionError);
      expect(() => decompress(blob, data.length - 1, core)).toThrow(DecompressionError);
    }
  });

  it("refuses a zstd frame without content size, as Borg does", () => {
    // What Deno's zstd writes: window descriptor, no size.
    expect(() => decompress(fromHex("030028b52ffd0048290000" + "000000"), 100, core)).toThrow(/content size/);
  });
});

describe("paddingSize", () => {
  it("follows Borg's formulas", () => {
    expect(paddingSize(1, 1000, () => 0.5)).toBe(20);
    expect(paddingSize(1, 1000, () => 0)).toBe(100_000);
    expect(paddingSize(6, 1000, () => 0)).toBe(MAX_DATA_SIZE - 1024 - 1000);
    expect(paddingSize(110, 1000, () => 0.5)).toBe(512);
    expect(paddingSize(123, MAX_DATA_SIZE, () => 0.5)).toBe(0);
    // Padmé: 4 significant bits are kept for sizes from 256 to 65535.
    expect([0, 1, 2, 7, 9, 257, 1000, 65535].map((n) => n + paddingSize(250, n))).toEqual([
      0, 1, 2, 7, 10, 272, 1024, 65536,
    ]);
  });
});

it("the embedded WebAssembly unpacks", async () => {
  const { wasmBrotliBase64 } = await import("../../../src/compress/lzma-wasm.generated.ts");
  expect(brotliDecompressSync(Buffer.from(wasmBrotliBase64, "base64")).subarray(0, 4)).toEqual(
    Buffer.from("\0asm"),
  );
});
