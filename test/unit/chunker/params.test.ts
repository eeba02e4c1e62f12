// --chunker-params: what Borg accepts and refuses, and the fixed chunker.
import { describe, expect, it } from "vitest";
import { defaultChunkerParams, FixedChunker, parseChunkerParams } from "../../../src/chunker/index.ts";

describe("chunker parameters", () => {
  it("reads every form", () => {
    expect(parseChunkerParams("default")).toEqual(defaultChunkerParams);
    expect(parseChunkerParams("19,23,21,4095")).toEqual(defaultChunkerParams);
    expect(parseChunkerParams(" buzhash,10,23,16,4095 ")).toEqual({
      algo: "buzhash",
      minExp: 10,
      maxExp: 23,
      maskBits: 16,
      windowSize: 4095,
    });
    expect(parseChunkerParams("fixed,4096")).toEqual({ algo: "fixed", blockSize: 4096, headerSize: 0 });
    expect(parseChunkerParams("FIXED,4096,512")).toEqual({ algo: "fixed", blockSize: 4096, headerSize: 512 });
  });

  for (const bad of [
    "",
    "crap,1,2,3,4",
    "buzhash,5,7,6,4095",
    "5,7,6,4095",
    "19,24,21,4095",
    "23,19,21,4095",
    "19,23,24,4095",
    "19,23,21,4096",
    "fixed,63",
    "fixed,20971480",
    "fixed,100,20971480",
    "fixed,-1",
    "fixed",
    "default,1",
    "1,2,3",
    "19,23,x,4095",
    "6,8,7,4095",
  ]) {
    it(`refuses "${bad}"`, () => expect(() => parseChunkerParams(bad)).toThrow(/chunker parameters/));
  }
});

describe("fixed chunker", () => {
  it("cuts a header, blocks and a rest, in any pieces", () => {
    const chunker = new FixedChunker({ blockSize: 100, headerSize: 30 });
    expect([...chunker.cuts(0, 29, false)]).toEqual([]);
    expect([...chunker.cuts(0, 229, false)]).toEqual([30, 100]);
    expect([...chunker.cuts(0, 99, true)]).toEqual([99]);
    chunker.reset();
    expect([...chunker.cuts(0, 30, true)]).toEqual([30]);
    expect([...new FixedChunker({ blockSize: 100 }).cuts(0, 200, true)]).toEqual([100, 100]);
    expect([...new FixedChunker({ blockSize: 100 }).cuts(0, 0, true)]).toEqual([]);
  });
});
