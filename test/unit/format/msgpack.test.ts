// MessagePack: Python's msgpack (as Borg uses it) is the oracle for the bytes; fast-check for round trips and hostile input.
import { execFileSync } from "node:child_process";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { IntegrityError } from "../../../src/errors.ts";
import { fromHex, toHex } from "../../../src/format/bytes.ts";
import { Float, Packer, pack, Unpacker, unpack } from "../../../src/format/msgpack.ts";

const text = (s: string) => new TextEncoder().encode(s);

describe("pack", () => {
  it("gives the bytes of Borg's msgpack for every type and length class", () => {
    const script = `
import sys
from borg.helpers.msgpack import packb
vals = [None, True, False, 0, 127, 128, 255, 256, 65535, 65536, 2**32-1, 2**32, 2**53, 2**63, 2**64-1,
  -1, -32, -33, -128, -129, -32768, -32769, -2**31, -2**31-1, -2**53-2, -2**63, 1.5, 1.0, '', 'a'*31, 'a'*32, 'b'*255, 'c'*256, 'd'*65535, 'e'*65536,
  b'', b'\\x00\\xff', bytes(300), bytes(70000), 'ä€😀', 'bad\\udcff', [], [1]*15, [2]*16, [3]*65536,
  {}, {'a': 1}, {i: None for i in range(16)}, {'k%05d' % i: i for i in range(70000)}, [[[{'x': [b'y']}]]]]
for v in vals: print(packb(v, unicode_errors='surrogateescape').hex() if v == 'bad\\udcff' and 0 else packb(v.encode('utf-8','surrogateescape') if isinstance(v,str) else v).hex())
`;
    const expected = execFileSync("/usr/bin/python3", ["-c", script], { maxBuffer: 1 << 26 })
      .toString()
      .trim()
      .split("\n");
    const numbered = new Map(Array.from({ length: 70000 }, (_, i) => [`k${String(i).padStart(5, "0")}`, i]));
    const values = [
      ...[
        null,
        true,
        false,
        0,
        127,
        128,
        255,
        256,
        65535,
        65536,
        2 ** 32 - 1,
        2 ** 32,
        2n ** 53n,
        2n ** 63n,
        2n ** 64n - 1n,
      ],
      ...[
        -1,
        -32,
        -33,
        -128,
        -129,
        -32768,
        -32769,
        -(2 ** 31),
        -(2 ** 31) - 1,
        -(2n ** 53n) - 2n,
        -(2n ** 63n),
      ],
      ...[new Float(1.5), new Float(1), "", "a".repeat(31), "a".repeat(32), "b".repeat(255), "c".repeat(256)],
      ...[
        "d".repeat(65535),
        "e".repeat(65536),
        new Uint8Array(0),
        new Uint8Array([0, 255]),
        new Uint8Array(300),
      ],
      ...[
        new Uint8Array(70000),
        "ä€😀",
        "bad\udcff",
        [],
        Array(15).fill(1),
        Array(16).fill(2),
        Array(65536).fill(3),
      ],
      ...[
        {},
        { a: 1 },
        new Map(Array.from({ length: 16 }, (_, i) => [i, null])),
        numbered,
        [[[{ x: [text("y")] }]]],
      ],
    ];
    expect(values.length).toBe(expected.length);
    values.forEach((value, i) => {
      if (toHex(pack(value)) !== expected[i])
        expect(`${i}: ${toHex(pack(value)).slice(0, 200)}`).toBe(expected[i]!.slice(0, 200));
    });
  });

  it("sorts keys on request and drops absent properties", () => {
    expect(
      toHex(pack({ b: 1, a: undefined, aa: { z: 1, "\u{10000}": 2, "\uffff": 3 } }, { sortKeys: true })),
    ).toBe(
      toHex(
        pack(
          new Map<string, unknown>([
            [
              "aa",
              new Map([
                ["z", 1],
                ["\uffff", 3],
                ["\u{10000}", 2],
              ]),
            ],
            ["b", 1],
          ]),
        ),
      ),
    );
  });

  it("refuses what has no exact representation", () => {
    for (const bad of [undefined, 1.5, Number.NaN, 2 ** 60, 2n ** 64n, Symbol("x"), new Date()]) {
      expect(() => pack(bad)).toThrow(TypeError);
    }
  });
});

const keys = fc.string({ unit: "binary", maxLength: 50 });
const tree = fc.letrec((tie) => ({
  value: fc.oneof(
    { depthSize: "small" },
    fc.constantFrom(null, true, false),
    fc.maxSafeInteger(),
    fc.bigInt({ min: 2n ** 53n, max: 2n ** 64n - 1n }),
    fc.uint8Array({ maxLength: 100 }),
    fc.array(tie("value"), { maxLength: 20 }),
    fc.array(fc.tuple(keys, tie("value")), { maxLength: 20 }).map((entries) => new Map(entries)),
  ),
})).value;

/** Copies views into plain values, so that toEqual compares contents. */
const plain = (v: unknown): unknown =>
  v instanceof Uint8Array
    ? `raw:${toHex(v)}`
    : Array.isArray(v)
      ? v.map(plain)
      : v instanceof Map
        ? [...v].map(([k, x]) => [k, plain(x)])
        : v;

describe("unpack", () => {
  it("gives back what was packed", () => {
    fc.assert(
      fc.property(tree, (value) => {
        expect(plain(unpack(pack(value)))).toEqual(plain(value));
      }),
      { numRuns: 300 },
    );
  });

  it("reads bin, str 8 and floats too", () => {
    expect(unpack(fromHex("c403010203"))).toEqual(new Uint8Array([1, 2, 3]));
    expect(unpack(fromHex("d90161"))).toEqual(text("a"));
    expect(unpack(fromHex("ca3fc00000"))).toBe(1.5);
    expect(unpack(fromHex("cb3ff8000000000000"))).toBe(1.5);
    expect(unpack(fromHex("c50001ff"))).toEqual(new Uint8Array([255]));
  });

  it("refuses hostile input with an IntegrityError and bounded work", () => {
    for (const hex of [
      "",
      "c1",
      "c7",
      "d4",
      "91",
      "81a161",
      "dd7fffffff",
      "df7fffffff",
      "dbffffffff",
      "0000",
      "81900a",
    ]) {
      expect(() => unpack(fromHex(hex)), hex).toThrow(IntegrityError);
    }
    expect(() => unpack(new Uint8Array(100000).fill(0x91))).toThrow(/nested too deeply/);
    const maps = new Uint8Array(8_000_005).fill(0x80);
    maps.set([0xdd, 0x00, 0x7a, 0x12, 0x00]);
    expect(() => unpack(maps, { maxMemory: 2 ** 25 })).toThrow(/too much memory/);
  });

  it("never fails in another way on random bytes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        try {
          unpack(bytes);
        } catch (error) {
          expect(error).toBeInstanceOf(IntegrityError);
        }
      }),
      { numRuns: 2000 },
    );
  });
});

describe("Unpacker", () => {
  it("gives the same values however the stream is cut", () => {
    fc.assert(
      fc.property(
        fc.array(tree, { maxLength: 8 }),
        fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 1 }),
        (values, cuts) => {
          const packer = new Packer();
          for (const value of values) packer.pack(value);
          const stream = packer.take();
          const unpacker = new Unpacker();
          const got: unknown[] = [];
          for (let at = 0, i = 0; at < stream.length; i++) {
            const n = cuts[i % cuts.length]!;
            unpacker.feed(stream.slice(at, at + n));
            at += n;
            for (const value of unpacker) got.push(plain(value));
          }
          expect(got).toEqual(values.map(plain));
          expect(unpacker.consumed).toBe(stream.length);
          expect(unpacker.buffered).toBe(0);
        },
      ),
      { numRuns: 300 },
    );
  });

  it("keeps values valid that were given out before more was fed", () => {
    const unpacker = new Unpacker();
    const one = pack(text("first"));
    unpacker.feed(new Uint8Array([...one, 0xa5, 0x61]));
    const first = unpacker.next() as Uint8Array;
    expect(unpacker.next()).toBe(Unpacker.INCOMPLETE);
    unpacker.feed(text("bcde"));
    expect(unpacker.next()).toEqual(text("abcde"));
    expect(first).toEqual(text("first"));
  });

  it("takes linear time for a value in many pieces", () => {
    // 4 MB in pieces of 64 bytes: decoding anew for each would be 65,000 times 4 MB.
    const stream = pack(Array.from({ length: 100_000 }, (_, i) => [new Uint8Array(32).fill(i), i, i]));
    const unpacker = new Unpacker();
    let value: unknown = Unpacker.INCOMPLETE;
    for (let at = 0; at < stream.length; at += 64) {
      unpacker.feed(stream.slice(at, at + 64));
      value = unpacker.next();
    }
    expect((value as unknown[]).length).toBe(100_000);
  });

  it("has a limit for what may wait", () => {
    const unpacker = new Unpacker({ maxBuffer: 10 });
    unpacker.feed(fromHex("db00000100"));
    expect(unpacker.next()).toBe(Unpacker.INCOMPLETE);
    expect(() => unpacker.feed(new Uint8Array(6))).toThrow(/too large/);
  });
});
