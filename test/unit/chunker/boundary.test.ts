// A boundary is a cut from wherever the chunks before it began, and both sides of it may be cut by themselves.
import { describe, expect, it } from "vitest";
import {
  BoundarySearch,
  Buzhash,
  type BuzhashOptions,
  defaultChunkerParams,
  hasBoundaries,
  itemsChunkerParams,
} from "../../../src/chunker/index.ts";
import { Core, coreModule } from "../../../src/core/index.ts";
import { bytes, generator, type Kind } from "../core/data.ts";

const core = new Core(coreModule());
const region = core.alloc(5 << 20);

/** Where chunks end that begin at `start` and go to `end`. */
function cutsFrom(chunker: Buzhash, start: number, end: number): number[] {
  let at = start;
  return [...chunker.cuts(region + start, end - start, true)].map((n) => (at += n));
}

/** All boundaries found from a position on, by buffers that grow. */
function boundaryFrom(chunker: Buzhash, start: number, end: number, step: number): number | undefined {
  const search = new BoundarySearch();
  for (let have = 0; have < end - start; ) {
    have = Math.min(have + step, end - start);
    const found = chunker.boundary(region + start, have, search);
    if (found !== undefined) return start + found;
  }
  return undefined;
}

describe("boundaries", () => {
  const all: BuzhashOptions[] = [
    { seed: 0, minExp: 6, maxExp: 12, maskBits: 8, windowSize: 31 },
    { seed: -5, minExp: 7, maxExp: 11, maskBits: 10, windowSize: 63 },
    { seed: 7, minExp: 8, maxExp: 14, maskBits: 11, windowSize: 1023 },
    { seed: 9, minExp: 12, maxExp: 16, maskBits: 14, windowSize: 4095 },
    // Chunks may be shorter than the window.
    { seed: 3, minExp: 6, maxExp: 13, maskBits: 10, windowSize: 1023 },
  ];
  const kinds: Kind[] = ["random", "text"];
  for (const options of all) {
    it.each(kinds)(`are cuts of every chain: ${JSON.stringify(options)}, %s`, (kind) => {
      expect(hasBoundaries({ algo: "buzhash", ...options })).toBe(true);
      const chunker = new Buzhash(core, options);
      const next = generator(options.seed + kind.length);
      const random = (): number => next() / 2 ** 32;
      const length = 64 * 2 ** options.maxExp;
      const data = bytes(length, kind, options.seed + 11);
      // Stretches in which nothing or everything is a cut.
      data.fill(0, length >> 2, (length >> 2) + 3 * 2 ** options.maxExp);
      core.u8.set(data, region);
      const whole = cutsFrom(chunker, 0, length);
      let found = 0;
      for (let i = 0; i < 60; i++) {
        const from = Math.floor(random() * length);
        const p = boundaryFrom(chunker, from, length, 1 + Math.floor(random() * length * 0.1));
        if (p === undefined) continue;
        found++;
        expect(p).toBeGreaterThanOrEqual(from);
        expect(whole).toContain(p);
        for (let k = 0; k < 4; k++) {
          const start = Math.max(0, p - Math.floor(2 ** options.maxExp * (0.1 + random() * 3)));
          // From close by a chunk may be too short to end there.
          if (p - start >= 2 ** options.minExp + 2 ** (options.maxExp - 1))
            expect(cutsFrom(chunker, start, length)).toContain(p);
        }
        expect([...cutsFrom(chunker, 0, p), ...cutsFrom(chunker, p, length)]).toEqual(whole);
      }
      if (kind === "random") expect(found).toBeGreaterThan(40);
    });
  }

  it("are given up where every position could be a cut, and not found where none is", () => {
    const options = { seed: 0, minExp: 6, maxExp: 12, maskBits: 8, windowSize: 31 };
    const chunker = new Buzhash(core, options);
    for (const value of [0, 1, 77, 255]) {
      core.u8.fill(value, region, region + 300_000);
      const search = new BoundarySearch();
      expect(chunker.boundary(region, 300_000, search)).toBe(undefined);
      expect(search.isHopeless || search.at === 300_000 - 31).toBe(true);
    }
    // A seed with which one byte's hash is zero is found by trying.
    const hopeless = Array.from({ length: 3000 }, (_, seed) => seed).some((seed) => {
      const search = new BoundarySearch();
      const found = new Buzhash(core, { ...options, seed }).boundary(region, 300_000, search);
      return found === undefined && search.isHopeless;
    });
    expect(hopeless).toBe(true);
  });

  it("exist with the usual parameters, and not with chunks of nearly one size", () => {
    expect(hasBoundaries(defaultChunkerParams)).toBe(true);
    expect(hasBoundaries(itemsChunkerParams)).toBe(true);
    expect(hasBoundaries({ algo: "buzhash", minExp: 19, maxExp: 20, maskBits: 19, windowSize: 4095 })).toBe(
      false,
    );
    expect(hasBoundaries({ algo: "fixed", blockSize: 4096, headerSize: 0 })).toBe(false);
  });
});
