// The hash index against a Map, under random inserts, overwrites and removals (tombstones, growth, shrinking), and its
// files against borg's own hashindex module in both directions.
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { HashIndex, HashIndexError, MAX_VALUE } from "../../../src/core/hashindex.ts";
import { concatBytes } from "../../../src/format/bytes.ts";

const keyOf = (n: number) => new Uint8Array(createHash("sha256").update(String(n)).digest());
/** Keys that crowd into few buckets, so that probing sequences overlap and wrap around. */
const crowded = (n: number) => {
  const key = keyOf(n);
  key.set([(1030 + (n % 3)) & 0xff, (1030 + (n % 3)) >> 8, 0, 0]);
  return key;
};
const hex = (b: Uint8Array) => Buffer.from(b).toString("hex");
const bytesOf = (index: HashIndex) => Buffer.concat([...index.serialize()]);

function contents(index: HashIndex): Map<string, number[]> {
  const all = new Map<string, number[]>();
  for (let slot = index.next(-1); slot >= 0; slot = index.next(slot)) {
    all.set(
      hex(index.key(slot)),
      Array.from({ length: index.valueWords }, (_, i) => index.word(slot, i)),
    );
  }
  return all;
}

let dir: string;
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), "hashindex-"));
});
afterAll(() => rmSync(dir, { recursive: true }));

describe("against a Map", () => {
  for (const [name, make] of [
    ["spread keys", keyOf],
    ["crowded keys", crowded],
  ] as const) {
    test(name, { timeout: 60_000 }, () => {
      const operation = fc.record({
        kind: fc.nat(9),
        from: fc.nat(2500),
        count: fc.nat(400),
        word: fc.nat(MAX_VALUE),
      });
      const keys = Array.from({ length: 3000 }, (_, i) => make(i));
      const allKeys = new Uint32Array(concatBytes(...keys).buffer);
      fc.assert(
        fc.property(fc.array(operation, { maxLength: 40 }), (operations) => {
          const index = HashIndex.create(2);
          const model = new Map<string, number[]>();
          for (const { kind, from, count, word } of operations) {
            for (let n = from; n < from + count; n++) {
              const key = keys[n]!;
              const slot = index.find(key);
              expect(slot >= 0).toBe(model.has(hex(key)));
              if (kind < 6) {
                const at = index.insert(key, 0, word, n);
                expect(index.word(at, 1)).toBe(n);
                model.set(hex(key), [word, n]);
              } else if (slot >= 0) {
                index.remove(slot);
                model.delete(hex(key));
              }
            }
          }
          expect(index.size).toBe(model.size);
          expect(contents(index)).toEqual(model);
          const again = HashIndex.parse(bytesOf(index), 2);
          expect(contents(again)).toEqual(model);
          for (let n = 0; n < 3000; n += 7) expect(again.has(keys[n]!)).toBe(model.has(hex(keys[n]!)));
          const slots = new Int32Array(1000);
          index.findMany(allKeys, 8, 24, 1000, slots);
          expect([...slots]).toEqual(Array.from(slots, (_, i) => index.find(keys[3 * i + 1]!)));
        }),
        { numRuns: 25 },
      );
    });
  }

  test("growing and shrinking through all small sizes", { timeout: 60_000 }, () => {
    const index = HashIndex.create(1);
    const count = 60_000;
    const key = new Uint8Array(40);
    const view = new DataView(key.buffer);
    const set = (n: number) => {
      view.setUint32(3, Math.imul(n, 2654435761), true);
      view.setUint32(7, n, true);
    };
    for (let n = 0; n < count; n++) {
      set(n);
      index.insert(key, 3, n);
    }
    expect(index.size).toBe(count);
    for (let n = 0; n < count; n++) {
      set(n);
      expect(index.word(index.find(key, 3), 0)).toBe(n);
    }
    for (let n = 0; n < count - 10; n++) {
      set(n);
      index.remove(index.find(key, 3));
    }
    expect(index.size).toBe(10);
    expect(index.byteLength).toBeLessThan(2000 * 36 + 100);
    set(count - 1);
    expect(index.word(index.find(key, 3), 0)).toBe(count - 1);
  });

  test("an entry costs at most 64 bytes once the table is large", { timeout: 60_000 }, () => {
    const index = HashIndex.create(2);
    const key = new Uint8Array(32);
    const view = new DataView(key.buffer);
    for (let n = 0; n < 700_000; n++) {
      view.setUint32(0, Math.imul(n, 2654435761), true);
      view.setUint32(4, n, true);
      index.insert(key, 0, n, 0);
      if (n > 250_000 && n % 10_000 === 0) expect(index.byteLength / index.size).toBeLessThanOrEqual(64.5);
    }
  });
});

test("another view sees what is inserted, and is told when the table moves", () => {
  expect(() => HashIndex.create(2).share()).toThrow(HashIndexError);
  const index = HashIndex.create(2, 0, true);
  const reader = HashIndex.attach(index.share());
  index.insert(keyOf(1), 0, 5, 6);
  const slot = reader.find(keyOf(1));
  expect([reader.word(slot, 0), reader.word(slot, 1)]).toEqual([5, 6]);
  expect(reader.outdated).toBe(false);
  for (let n = 0; n < 2000; n++) index.insert(keyOf(n), 0, n);
  expect(reader.outdated).toBe(true);
  expect(HashIndex.attach(index.share()).has(keyOf(1999))).toBe(true);
  expect(() => reader.insert(keyOf(5), 0, 1)).toThrow(HashIndexError);
});

test("reserved first words are refused", () => {
  const index = HashIndex.create(1);
  for (const bad of [0xffffffff, 0xfffffffe, MAX_VALUE + 1, -1, Number.NaN]) {
    expect(() => index.insert(keyOf(1), 0, bad)).toThrow(HashIndexError);
  }
  index.insert(keyOf(1), 0, MAX_VALUE);
  expect(index.word(index.find(keyOf(1)), 0)).toBe(MAX_VALUE);
});

describe("hostile files", () => {
  const good = () => {
    const index = HashIndex.create(2);
    for (let n = 0; n < 100; n++) index.insert(keyOf(n), 0, n, n);
    return bytesOf(index);
  };
  const cases: [string, (b: Buffer) => Buffer | number][] = [
    ["empty", () => Buffer.alloc(0)],
    ["header only", (b) => b.subarray(0, 18)],
    ["cut", (b) => b.subarray(0, b.length - 40)],
    ["a byte too long", (b) => Buffer.concat([b, Buffer.alloc(1)])],
    ["magic", (b) => b.writeUInt8(0, 3)],
    ["entries too high", (b) => b.writeInt32LE(101, 8)],
    ["entries negative", (b) => b.writeInt32LE(-1, 8)],
    ["buckets", (b) => b.writeInt32LE(0x7fffffff, 12)],
    ["key size", (b) => b.writeInt8(16, 16)],
    ["value size", (b) => b.writeInt8(12, 17)],
  ];
  test.each(cases)("%s", (_, damage) => {
    const file = good();
    const damaged = damage(file);
    expect(() => HashIndex.parse(typeof damaged === "number" ? file : damaged, 2)).toThrow(HashIndexError);
  });

  test("a full table and one full of tombstones end every search", () => {
    for (const mark of [7, 0xfffffffe]) {
      const file = Buffer.alloc(18 + 40 * 1031);
      file.write("BORG_IDX");
      file.writeInt32LE(mark === 7 ? 1031 : 0, 8);
      file.writeInt32LE(1031, 12);
      file.writeInt8(32, 16);
      file.writeInt8(8, 17);
      for (let i = 0; i < 1031; i++) {
        file.writeUInt32LE(i, 18 + 40 * i);
        file.writeUInt32LE(mark, 18 + 40 * i + 32);
      }
      const index = HashIndex.parse(file, 2);
      expect(index.find(keyOf(3))).toBe(-1);
      for (let n = 0; n < 2000; n++) index.insert(keyOf(n), 0, n, 1);
      expect(index.size).toBe(2000 + (mark === 7 ? 1031 : 0));
      for (let n = 0; n < 2000; n++) expect(index.word(index.find(keyOf(n)), 0)).toBe(n);
    }
  });

  test("random bytes never crash", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(18 + 40 * 1031 - 1), fc.nat(255)), { maxLength: 60 }), (flips) => {
        const file = good();
        for (const [at, value] of flips) file[at] = value;
        try {
          const index = HashIndex.parse(file, 2);
          for (let n = 0; n < 150; n++) index.insert(keyOf(n), 0, n, n);
          expect(contents(index).size).toBeGreaterThanOrEqual(150);
        } catch (e) {
          expect(e).toBeInstanceOf(HashIndexError);
        }
      }),
      { numRuns: 60 },
    );
  });
});

describe("borg's own module", () => {
  const python = (code: string, ...args: string[]) =>
    execFileSync("/usr/bin/python3", ["-c", code, ...args], { encoding: "utf8" });

  test.each([10, 1500, 30_000, 300_000])(
    "reads and changes our file with %i entries",
    { timeout: 60_000 },
    (count) => {
      const index = HashIndex.create(2);
      for (let n = 0; n < count; n++) index.insert(keyOf(n), 0, n, n * 3);
      for (let n = 0; n < count; n += 3) index.remove(index.find(keyOf(n)));
      const file = join(dir, `ours-${count}`);
      writeFileSync(file, bytesOf(index));
      python(
        `
import sys, hashlib
from borg.hashindex import NSIndex
i = NSIndex.read(sys.argv[1]); count = int(sys.argv[2])
k = lambda n: hashlib.sha256(str(n).encode()).digest()
assert len(i) == count - (count + 2) // 3, len(i)
for n in range(count):
    assert i.get(k(n)) == (None if n % 3 == 0 else (n, n * 3)), n
for n in range(0, count, 3): i[k(n)] = n, 1
for n in range(1, count, 3): del i[k(n)]
i.write(sys.argv[1] + '.borg')`,
        file,
        String(count),
      );
      const back = HashIndex.parse(readFileSync(`${file}.borg`), 2);
      for (let n = 0; n < count; n++) {
        const slot = back.find(keyOf(n));
        if (n % 3 === 1) expect(slot).toBe(-1);
        else expect([back.word(slot, 0), back.word(slot, 1)]).toEqual([n, n % 3 ? n * 3 : 1]);
      }
    },
  );

  test("the same inserts give the same bytes", () => {
    const file = join(dir, "same");
    python(
      `
import sys, hashlib
from borg.hashindex import NSIndex
i = NSIndex()
for n in range(9000): i[hashlib.sha256(str(n).encode()).digest()] = n, n + 1
i.write(sys.argv[1])`,
      file,
    );
    const index = HashIndex.create(2);
    for (let n = 0; n < 9000; n++) index.insert(keyOf(n), 0, n, n + 1);
    expect(hex(bytesOf(index))).toBe(hex(readFileSync(file)));
  });

  test("a compacted chunks index of borg can be iterated", () => {
    const file = join(dir, "compact");
    python(
      `
import sys, hashlib
from borg.hashindex import ChunkIndex
i = ChunkIndex()
for n in range(500): i[hashlib.sha256(str(n).encode()).digest()] = n, n + 1, n + 2
i.compact(); i.write(sys.argv[1])`,
      file,
    );
    const index = HashIndex.parse(readFileSync(file), 3, { compact: true });
    expect(contents(index).get(hex(keyOf(77)))).toEqual([77, 78, 79]);
    expect(index.size).toBe(500);
  });
});
