import { describe, expect, it } from "vitest";
import { RecentIds } from "../../../src/archive/pipeline/recent.ts";

const words = (...first: number[]): Uint32Array => Uint32Array.from({ length: 8 }, (_, i) => first[i] ?? 0);

describe("ids a worker has sealed lately", () => {
  it("are told from others, whichever word differs", () => {
    const recent = new RecentIds(16);
    expect(recent.add(words(1), 0)).toBe(true);
    expect(recent.add(words(1), 0)).toBe(false);
    for (let i = 0; i < 8; i++) {
      const other = words(1);
      other[i]! ^= 0x80000000;
      expect(recent.add(other, 0)).toBe(true);
      expect(recent.add(other, 0)).toBe(false);
    }
  });

  it("are read at an offset", () => {
    const recent = new RecentIds(4);
    const two = new Uint32Array(16);
    two[8] = 5;
    expect(recent.add(two, 0)).toBe(true);
    expect(recent.add(two, 8)).toBe(true);
    expect(recent.add(words(5), 0)).toBe(false);
  });

  it("are forgotten once there are too many, and the newest is not", () => {
    const recent = new RecentIds(100);
    // All in one chain: the lowest bits, which choose the slot, are alike.
    for (let i = 0; i < 101; i++) expect(recent.add(words(0, i), 0)).toBe(true);
    expect(recent.add(words(0, 100), 0)).toBe(false);
    expect(recent.add(words(0, 3), 0)).toBe(true);
  });
});
