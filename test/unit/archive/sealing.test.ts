// The batched sealing of the create pipeline gives the very bytes the plain Sealer gives.
import { crc32 } from "node:zlib";
import { describe, expect, it } from "vitest";
import { ChunkSealing, PUT_HEADER } from "../../../src/archive/pipeline/sealing.ts";
import { createCompressor, parseCompression } from "../../../src/compress/index.ts";
import { choose, wasmOnly } from "../../../src/core/choose.ts";
import { Core, coreModule } from "../../../src/core/index.ts";
import { blocksOf, type KeyMaterial, Sealer } from "../../../src/crypto/material.ts";
import { nativeCtr } from "../../../src/runtime/index.ts";
import { randomBytes } from "../../support/tree.ts";

const material = (mode: KeyMaterial["mode"]): KeyMaterial => {
  const long = mode.endsWith("blake2") ? 128 : 32;
  return {
    mode,
    encKey: randomBytes(32, 1),
    encHmacKey: randomBytes(long, 2),
    idKey: randomBytes(long, 3),
    chunkSeed: 4,
  };
};

const LARGE = [131_072, 140_000, 1_000_001];

describe.each(["none", "authenticated", "repokey", "repokey-blake2"] as const)("%s", (mode) => {
  it.each(["lz4", "none", "zlib,1", "auto,zlib,1"])("%s", (spec) => {
    const ways = [
      [choose(), nativeCtr() ?? null],
      [choose(), null],
      // On machines without SHA instructions the core hashes all by itself.
      [{ ...choose(), hmacHostFrom: 128, crc32: "host" }, nativeCtr() ?? null],
      [wasmOnly, nativeCtr() ?? null],
    ] as const;
    for (const [choice, cipher] of ways) {
      const core = new Core(coreModule());
      const compression = parseCompression(spec);
      const sealing = new ChunkSealing(core, material(mode), compression, choice, 1 << 20, cipher);
      const sealer = new Sealer(material(mode));
      const codec = createCompressor(compression, core);
      const at = core.alloc(1 << 20);
      const idAt = core.alloc(32);
      let nonce = 2 ** 33 - 7;
      for (let round = 0; round < 3 + LARGE.length; round++) {
        const expected: Uint8Array[] = [];
        let counter = nonce;
        // Alone, large ones go another way.
        const sizes = round < 3 ? [1, 15, 16, 17, 70_000, 4096, 1000] : [LARGE[round - 3]!];
        for (const [i, n] of sizes.entries()) {
          const data = i % 2 || round > 2 ? randomBytes(n, i + round) : Buffer.alloc(n, "text ");
          const id = randomBytes(32, 50 + i);
          core.u8.set(data, at);
          core.u8.set(id, idAt);
          expect(sealing.fits(n)).toBe(true);
          sealing.stage(at, n, idAt);
          const blob = codec.compress(new Uint8Array(data));
          const entry = new Uint8Array(PUT_HEADER + blob.length + sealer.overhead);
          const view = new DataView(entry.buffer);
          view.setUint32(4, entry.length, true);
          entry.set(id, 9);
          sealer.sealInto(blob, entry, PUT_HEADER, counter);
          if (sealer.info.encrypted) counter += blocksOf(blob.length);
          view.setUint32(0, crc32(entry.subarray(4)), true);
          expected.push(entry);
        }
        expect(sealing.blocks).toBe(counter - nonce);
        expect(sealing.entryBytes).toBe(expected.reduce((n, e) => n + e.length, 0));
        const length = sealing.entryBytes + 7;
        // As workers do; nothing is written beyond.
        const out = new Uint8Array(new SharedArrayBuffer(length + 64), 0, round % 2 ? length : length + 64);
        expect(sealing.seal(nonce, out, 7)).toBe(length);
        expect(Buffer.concat(expected).equals(out.slice(7, length))).toBe(true);
        expect(out.slice(0, 7).every((byte) => byte === 0)).toBe(true);
        expect(out.slice(length).every((byte) => byte === 0)).toBe(true);
        expect(sealing.count).toBe(0);
        nonce = counter;
      }
    }
  });
});
