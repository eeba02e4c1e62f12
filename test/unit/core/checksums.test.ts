// CRC-32 and XXH64 of the core: CRC against fflate's reference loop written out here and, where the host has it,
// zlib.crc32; XXH64 against hash-wasm; one-shot and streaming, all alignments.
import zlib from "node:zlib";
import { createXXHash64 } from "hash-wasm";
import { describe, expect, it } from "vitest";
import { combineCrc32 } from "../../../src/core/crc-combine.ts";
import { Core, coreModule, Xxh64 } from "../../../src/core/index.ts";
import { bytes, edgeSizes, generator } from "./data.ts";

const core = new Core(coreModule());

function crcBitwise(data: Uint8Array, seed = 0): number {
  let c = ~seed;
  for (const b of data) {
    c ^= b;
    for (let k = 0; k < 8; k++) c = c & 1 ? (c >>> 1) ^ 0xedb88320 : c >>> 1;
  }
  return ~c >>> 0;
}

describe("CRC-32", () => {
  it("of two pieces comes from theirs", () => {
    for (const [a, b] of [
      [0, 0],
      [0, 9],
      [9, 0],
      [1, 1],
      [78, 131_072],
      [5000, 1_000_003],
      [3, 2 ** 24 + 77],
    ] as const) {
      const first = bytes(a, "random", 5);
      const second = bytes(b, "random", 6);
      const whole = core.crc32Bytes(second, core.crc32Bytes(first));
      expect(combineCrc32(core.crc32Bytes(first), core.crc32Bytes(second), b), `${a} and ${b}`).toBe(whole);
    }
  });

  it("equals the definition at all edge sizes and alignments", () => {
    const region = core.alloc(5000);
    for (const size of edgeSizes.filter((n) => n < 4200)) {
      const data = bytes(size, "random", size + 1);
      const at = region + (size % 17);
      core.u8.set(data, at);
      expect(core.crc32(at, size)).toBe(crcBitwise(data));
    }
    expect(core.crc32Bytes(new TextEncoder().encode("123456789"))).toBe(0xcbf43926);
  });

  it("continues from a seed", () => {
    const data = bytes(1000, "random", 3);
    for (let cut = 0; cut <= 1000; cut += 7) {
      expect(core.crc32Bytes(data.subarray(cut), core.crc32Bytes(data.subarray(0, cut)))).toBe(
        crcBitwise(data),
      );
    }
  });

  it.runIf(typeof zlib.crc32 === "function")("equals the host's on 8 MiB", () => {
    const data = bytes(8 << 20, "mixed", 4);
    expect(core.crc32Bytes(data)).toBe(zlib.crc32(data));
  });
});

describe("XXH64", () => {
  it("equals hash-wasm at all edge sizes, with seeds", async () => {
    for (const seed of [0n, 1n, 0xfedcba9876543210n]) {
      const oracle = await createXXHash64(Number(seed & 0xffffffffn), Number(seed >> 32n));
      for (const size of edgeSizes) {
        const data = bytes(size, "random", size + 2);
        const expected = BigInt("0x" + oracle.init().update(data).digest("hex"));
        const at = core.stage(data);
        expect(core.xxh64(at, size, seed)).toBe(expected);
      }
    }
  });

  it("gives the same in pieces of any size, several streams at once", async () => {
    const next = generator(6);
    const oracle = await createXXHash64(0, 0);
    const data = bytes(300_000, "mixed", 8);
    const other = new Xxh64(core).update(data.subarray(0, 77));
    const stream = new Xxh64(core);
    for (let at = 0; at < data.length; ) {
      const n = next() % (next() % 8 ? 100 : 20_000);
      stream.update(data.subarray(at, at + n));
      at += n;
    }
    expect(stream.digestHex()).toBe(oracle.init().update(data).digest("hex"));
    expect(other.update(data.subarray(77)).digestHex()).toBe(stream.digestHex());
    expect(new Xxh64(core).digestHex()).toBe("ef46db3751d8e999");
  });
});
