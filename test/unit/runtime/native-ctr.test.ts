// OpenSSL called by its C functions gives what node:crypto gives, and writes nowhere else.
import { createCipheriv, randomBytes } from "node:crypto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { libc, nativeCtr } from "../../../src/runtime/index.ts";

it("is there on Node with koffi", () => {
  expect(nativeCtr() !== undefined).toBe(libc()?.ffi.name === "koffi");
});

describe.runIf(nativeCtr())("AES-256-CTR from memory to memory", () => {
  const cipher = nativeCtr()!;

  it("continues over pieces of any length", () => {
    const data = randomBytes(5000);
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 32, maxLength: 32 }),
        fc.uint8Array({ minLength: 16, maxLength: 16 }),
        fc.array(fc.nat(900), { maxLength: 10 }),
        fc.nat(40),
        (key, iv, pieces, at) => {
          const out = new Uint8Array(new SharedArrayBuffer(6000), 8);
          cipher.begin(key, iv);
          let n = 0;
          for (const length of pieces) {
            const piece = Math.min(length, data.length - n);
            cipher.encrypt(data, n, out, at + n, piece);
            n += piece;
          }
          const expected = createCipheriv("aes-256-ctr", key, iv).update(data.subarray(0, n));
          const got = Buffer.from(out.slice());
          expect(got.subarray(at, at + n).equals(expected)).toBe(true);
          expect(got.subarray(0, at).every((byte) => byte === 0)).toBe(true);
          expect(got.subarray(at + n).every((byte) => byte === 0)).toBe(true);
        },
      ),
    );
  });

  it("finds memories that have moved", () => {
    const memory = new WebAssembly.Memory({ initial: 1, maximum: 200 });
    const [key, iv, out] = [new Uint8Array(32), new Uint8Array(16), new Uint8Array(100)];
    const expected = createCipheriv("aes-256-ctr", key, iv).update(new Uint8Array(100).fill(7));
    for (const pages of [0, 1, 100]) {
      memory.grow(pages);
      const bytes = new Uint8Array(memory.buffer).fill(7, 0, 100);
      cipher.begin(key, iv);
      cipher.encrypt(bytes, 0, out, 0, 100);
      expect(expected.equals(out)).toBe(true);
    }
  });

  it("refuses what is not within the memories", () => {
    const [small, large] = [new Uint8Array(10), new Uint8Array(100)];
    cipher.begin(new Uint8Array(32), new Uint8Array(16));
    const outside: [Uint8Array, number, Uint8Array, number, number][] = [
      [small, 0, large, 0, 11],
      [large, 0, small, 0, 11],
      [large, -1, small, 0, 5],
      [large, 0, small, -1, 5],
      [large, 99, small, 0, 5],
      [large, 0, small, 6, 5],
      [large, 0, small, 0, -1],
      [large, 0.5, small, 0, 5],
      [large, Number.NaN, small, 0, 5],
      [large, 0, small, 0, Number.NaN],
    ];
    for (const [from, fromAt, to, toAt, n] of outside)
      expect(() => cipher.encrypt(from, fromAt, to, toAt, n)).toThrow(RangeError);
    expect(() => cipher.begin(new Uint8Array(31), new Uint8Array(16))).toThrow(RangeError);
    expect(() => cipher.begin(new Uint8Array(32), new Uint8Array(12))).toThrow(RangeError);
    expect([...small, ...large].every((byte) => byte === 0)).toBe(true);
  });
});
