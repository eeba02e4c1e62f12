// The buzhash chunker against its definition, byte by byte, for odd windows, seeds, masks and refill patterns.
import { describe, expect, it } from "vitest";
import { Buzhash, type BuzhashOptions } from "../../../src/chunker/index.ts";
import { Core, coreModule } from "../../../src/core/index.ts";
import { bytes, generator, type Kind } from "../core/data.ts";

const core = new Core(coreModule());
const region = core.alloc(9 << 20);

/** The chunks' lengths when the stream arrives in pieces, through a buffer as the pipeline uses it. */
function chunked(data: Uint8Array, options: BuzhashOptions, piece: (left: number) => number): number[] {
  const chunker = new Buzhash(core, options);
  const out: number[] = [];
  let held = 0;
  let from = 0;
  for (let at = 0; ; ) {
    const n = Math.min(piece(data.length - at), data.length - at);
    core.u8.set(data.subarray(at, at + n), region + held);
    at += n;
    held += n;
    const eof = at === data.length;
    const lengths = chunker.cuts(region, held, eof, from);
    const done = lengths.reduce((sum, x) => sum + x, 0);
    out.push(...lengths);
    core.u8.copyWithin(region, region + done, region + held);
    held -= done;
    from = lengths.length ? 0 : held;
    if (eof) {
      expect(held).toBe(0);
      return out;
    }
  }
}

/** The rule as written in src/chunker/buzhash.ts, with every hash computed by the one-window kernel. */
function defined(data: Uint8Array, { seed, minExp, maxExp, maskBits, windowSize }: BuzhashOptions): number[] {
  const at = core.alloc(data.length + 16);
  const state = core.alloc(2048);
  core.raw.buzhashInit(state, seed, windowSize);
  core.u8.set(data, at);
  const out: number[] = [];
  for (let s = 0; s < data.length; s += out.at(-1)!) {
    const end = Math.min(data.length, s + 2 ** maxExp);
    let cut = data.length - s < 2 ** minExp + windowSize + 1 ? data.length : end;
    for (let p = s + 2 ** minExp; p + windowSize < end && cut === end; p++) {
      if ((core.raw.buzhashHash(state, at + p, windowSize) & (2 ** maskBits - 1)) === 0) cut = p;
    }
    out.push(cut - s);
  }
  return out;
}

describe("buzhash chunker", () => {
  const small: BuzhashOptions[] = [
    { seed: 0, minExp: 6, maxExp: 12, maskBits: 8, windowSize: 31 },
    { seed: 0x12345678, minExp: 7, maxExp: 13, maskBits: 9, windowSize: 63 },
    { seed: -1, minExp: 6, maxExp: 10, maskBits: 10, windowSize: 1 },
    { seed: 7, minExp: 8, maxExp: 14, maskBits: 11, windowSize: 1023 },
  ];
  for (const options of small) {
    it(`follows the rule with ${JSON.stringify(options)}`, () => {
      for (const kind of ["random", "text", "zeros", "runs"] as Kind[]) {
        for (const size of [0, 1, 63, 64, 65, 97, 98, 1100, 1280, 1281, 5000, 20_000]) {
          const data = bytes(size, kind, size + 1);
          expect(
            chunked(data, options, (left) => left),
            `${kind} ${size}`,
          ).toEqual(defined(data, options));
        }
      }
    });
  }

  const large: BuzhashOptions[] = [
    { seed: 0, minExp: 10, maxExp: 16, maskBits: 12, windowSize: 4095 },
    { seed: 0xdeadbeef, minExp: 15, maxExp: 19, maskBits: 17, windowSize: 4095 },
    { seed: 1, minExp: 14, maxExp: 18, maskBits: 14, windowSize: 4093 },
  ];
  for (const options of large) {
    it(`does not depend on how the data arrives: ${JSON.stringify(options)}`, () => {
      const next = generator(options.maskBits);
      for (const kind of ["random", "mixed", "text"] as Kind[]) {
        const data = bytes(3_000_000, kind, 21);
        const whole = chunked(data, options, (left) => left);
        expect(whole.reduce((sum, n) => sum + n, 0)).toBe(data.length);
        expect(chunked(data, options, () => 100_000)).toEqual(whole);
        expect(chunked(data, options, () => 1 + (next() % 300_000))).toEqual(whole);
      }
      const few = bytes(120_000, "random", 5);
      expect(chunked(few, options, () => 1 + (next() % 50))).toEqual(chunked(few, options, (left) => left));
    });
  }

  it("cuts constant data at the maximum, or at the minimum when the constant's hash is zero", () => {
    const data = new Uint8Array(1 << 20);
    const options = { seed: 3, minExp: 10, maxExp: 16, maskBits: 12, windowSize: 4095 };
    expect(chunked(data, options, (left) => left)).toEqual(Array(16).fill(65536));
    // 4095 equal bytes hash to the byte's table entry rotated by one, so this seed makes it zero everywhere.
    expect(chunked(data, { ...options, seed: 0xe7f831ec }, (left) => left).slice(0, -1)).toEqual(
      Array(1020).fill(1024),
    );
  });

  it("four streams find the cuts that one stream finds", () => {
    const state = core.alloc(2048);
    const list = core.alloc(64 + 16 * 512) + 64;
    const data = bytes(1 << 20, "mixed", 31);
    for (let round = 0; round < 60; round++) {
      const bits = 8 + (round % 12);
      const lane = 32 * (round * 7 + 1) + 2;
      const room = round % 3 ? 512 : 5;
      const at = region + round;
      core.u8.set(data.subarray(round * 1000, round * 1000 + 4 * lane + 4094), at);
      core.raw.buzhashInit(state, round * 77, 4095);
      const found = core.raw.buzhashScan4(state, at, lane, 2 ** bits - 1, list, room);
      const looked = core.u32[list / 4 - 1]!;
      expect(looked).toBeGreaterThan(0);
      expect(looked).toBeLessThanOrEqual(4 * lane);
      const expected: number[] = [];
      for (let p = 0; p < looked; ) {
        p += core.raw.buzhashScan(state, at + p, looked - p, 4095, 2 ** bits - 1) >>> 0;
        if (p < looked) expected.push(p++);
      }
      expect([...core.u32.subarray(list / 4, list / 4 + found)], `lane ${lane} bits ${bits}`).toEqual(
        expected,
      );
      if (room === 512 && bits > 10) expect(looked).toBe(4 * lane);
    }
  });

  it("refuses parameters that cannot cut", () => {
    expect(
      () => new Buzhash(core, { seed: 0, minExp: 10, maxExp: 10, maskBits: 10, windowSize: 4095 }),
    ).toThrow();
  });
});
