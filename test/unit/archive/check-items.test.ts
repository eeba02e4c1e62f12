// Item streams with holes and damage: every item that is whole on one side of it comes out, and nothing invented does.
import fc from "fast-check";
import { expect, it } from "vitest";
import { RobustItems } from "../../../src/archive/check-items.ts";
import { ITEM_KEYS } from "../../../src/archive/constants.ts";
import type { Item } from "../../../src/archive/item.ts";
import { ItemEncoder } from "../../../src/archive/item-encoder.ts";

const known: ReadonlySet<string> = new Set(ITEM_KEYS);

/** Items one behind the other, and where each begins. */
function stream(count: number): { bytes: Uint8Array; starts: number[]; items: Item[] } {
  const encoder = new ItemEncoder();
  const starts: number[] = [];
  const items: Item[] = [];
  for (let n = 0; n < count; n++) {
    starts.push(encoder.length);
    const id = new Uint8Array(32).fill(n);
    const item: Item = {
      path: `dir/file${n}`,
      mode: 0o100644,
      mtime: BigInt(n) * 1_000_000_007n,
      user: "u",
      uid: n,
    };
    if (n % 3 === 0) item.chunks = Array.from({ length: n % 7 }, () => ({ id, size: n, csize: n + 1 }));
    items.push(item);
    encoder.encode(item);
  }
  return { bytes: encoder.bytes().slice(), starts, items };
}

function cut(bytes: Uint8Array, at: readonly number[]): Uint8Array[] {
  const places = [0, ...[...at].sort((a, b) => a - b), bytes.length];
  return places.slice(1).map((end, i) => bytes.subarray(places[i]!, end));
}

const whole = stream(60);
const places = fc.array(fc.nat(whole.bytes.length), { maxLength: 12 });

it("gives all items, however the stream is cut", () => {
  fc.assert(
    fc.property(places, (at) => {
      const reports: string[] = [];
      const reader = new RobustItems(known, (what) => reports.push(what));
      const got = cut(whole.bytes, at).flatMap((piece) => [...reader.feed(piece)]);
      expect(got).toEqual(whole.items);
      expect([reports, reader.pending]).toEqual([[], 0]);
    }),
  );
});

it("loses only what a missing piece touches", () => {
  fc.assert(
    fc.property(places, fc.nat(12), (at, missing) => {
      const pieces = cut(whole.bytes, at);
      const victim = missing % pieces.length;
      const reader = new RobustItems(known, () => {});
      const got = pieces.flatMap((piece, i) => {
        if (i !== victim) return [...reader.feed(piece)];
        reader.gap();
        return [];
      });
      const from = pieces[victim]!.byteOffset - whole.bytes.byteOffset;
      const to = from + pieces[victim]!.length;
      const ends = [...whole.starts.slice(1), whole.bytes.length];
      const untouched = whole.items.filter((_, i) => ends[i]! <= from || whole.starts[i]! >= to);
      expect(got).toEqual(untouched);
    }),
  );
});

it("goes on behind bytes that are no item", () => {
  fc.assert(
    fc.property(
      fc.nat(whole.bytes.length - 1),
      fc.uint8Array({ minLength: 1, maxLength: 40 }),
      (at, garbage) => {
        const bytes = whole.bytes.slice();
        bytes.set(garbage.subarray(0, bytes.length - at), at);
        const reader = new RobustItems(known, () => {});
        const paths = new Set([...reader.feed(bytes)].map((item) => item.path));
        const end = at + garbage.length;
        const after = whole.items.filter((_, i) => whole.starts[i]! >= end);
        // A length that was overwritten may swallow what follows it, but never what came before.
        const before = whole.items.filter((_, i) => (whole.starts[i + 1] ?? bytes.length) <= at);
        for (const item of before) expect(paths).toContain(item.path);
        // Behind what was swallowed all come again.
        const found = after.map((item) => paths.has(item.path));
        expect(found).toEqual(found.map((_, i) => i >= found.indexOf(true) && found.includes(true)));
      },
    ),
  );
});

it("loses only the items that bytes which mean nothing lie in", () => {
  const bytes = whole.bytes.slice();
  bytes.fill(0xc1, whole.starts[30]! + 3, whole.starts[32]! + 3);
  const got = [...new RobustItems(known, () => {}).feed(bytes)];
  expect(got).toEqual(whole.items.filter((_, i) => i < 30 || i > 32));
});
