import { randomBytes } from "node:crypto";
import fc from "fast-check";
import { expect, test } from "vitest";
import { ChunkIndex } from "../../../src/cache/chunks.ts";
import { ItemScanner } from "../../../src/cache/itemscan.ts";
import { IntegrityError } from "../../../src/errors.ts";
import { concatBytes } from "../../../src/format/bytes.ts";
import { Float, pack } from "../../../src/format/msgpack.ts";

const ids = Array.from({ length: 6 }, () => randomBytes(32));

/** An item stream in pieces of a size; the scanner and the references it found. */
function scan(stream: Uint8Array, piece: number): { scanner: ItemScanner; refs: (number | undefined)[] } {
  const index = new ChunkIndex();
  const scanner = new ItemScanner(index);
  for (let at = 0; at < stream.length; at += piece) scanner.feed(stream.subarray(at, at + piece));
  scanner.finish();
  return { scanner, refs: ids.map((id) => index.get(id)?.refcount) };
}

const entry = fc.record({ id: fc.nat(5), size: fc.nat(2 ** 31), csize: fc.nat(70000) });
const junk = fc.oneof(
  fc.string({ maxLength: 80 }),
  fc.integer(),
  fc.constant(null),
  fc.boolean(),
  fc.double().map((n) => new Float(n)),
  fc.array(fc.array(fc.integer(), { maxLength: 3 }), { maxLength: 20 }),
  fc.dictionary(fc.string(), fc.string({ maxLength: 300 }), { maxKeys: 20 }),
  fc.uint8Array({ maxLength: 400 }),
  fc.bigInt({ min: 2n ** 60n, max: 2n ** 64n - 1n }),
);
const item = fc.record({
  extra: fc.dictionary(fc.constantFrom("path", "mode", "xattrs", "parts", "chunk", "chunkz", "mtime"), junk),
  chunks: fc.option(fc.array(entry, { maxLength: 40 }), { nil: undefined }),
  healthy: fc.boolean(),
  part: fc.boolean(),
});

test("the same references and sums as by decoding, however the stream is cut", () => {
  fc.assert(
    fc.property(fc.array(item, { maxLength: 12 }), fc.integer({ min: 1, max: 500 }), (items, piece) => {
      const refs = new Map<number, number>();
      const totals = { files: 0, size: 0, csize: 0 };
      const parts = { files: 0, size: 0, csize: 0 };
      const stream = concatBytes(
        ...items.map((it) => {
          const map = new Map<string, unknown>(Object.entries(it.extra));
          if (it.healthy) map.set("chunks_healthy", [[randomBytes(32), 5, 5]]);
          if (it.part) map.set("part", 1);
          if (it.chunks) {
            map.set(
              "chunks",
              it.chunks.map((c) => [ids[c.id], c.size, c.csize]),
            );
            for (const sums of it.part ? [totals, parts] : [totals]) {
              sums.files++;
              for (const c of it.chunks) {
                sums.size += c.size;
                sums.csize += c.csize;
              }
            }
            for (const c of it.chunks) refs.set(c.id, (refs.get(c.id) ?? 0) + 1);
          }
          return pack(map, { sortKeys: it.part });
        }),
      );
      const { scanner, refs: found } = scan(stream, piece);
      expect(found).toEqual(ids.map((_, i) => refs.get(i)));
      expect(scanner.totals).toEqual(totals);
      expect(scanner.parts).toEqual(parts);
    }),
    { numRuns: 300 },
  );
});

test("two scans in turns, of items with more references than are told at a time", () => {
  const rounds = 11_000;
  const chunks = Array.from({ length: rounds }, (_, i) => [ids[i % 6], i, 2 * i]);
  const stream = pack({ path: "x".repeat(900), chunks, xattrs: "y".repeat(300_000), part: 1 });
  const indexes = [new ChunkIndex(), new ChunkIndex()];
  const scanners = indexes.map((index) => new ItemScanner(index));
  scanners[1]!.feed(pack({ chunks: [[ids[5], 7, 8]] }));
  for (let at = 0; at < stream.length; at += 200_000)
    for (const scanner of scanners) scanner.feed(stream.subarray(at, at + 200_000));
  const size = (rounds * (rounds - 1)) / 2;
  for (const [n, scanner] of scanners.entries()) {
    scanner.finish();
    expect(scanner.totals).toEqual({ files: 1 + n, size: size + 7 * n, csize: 2 * size + 8 * n });
    expect(scanner.parts).toEqual({ files: 1, size, csize: 2 * size });
    const refs = ids.map((id) => indexes[n]!.get(id)!.refcount);
    expect(refs).toEqual(ids.map((_, i) => Math.ceil((rounds - i) / 6) + (i === 5 ? n : 0)));
  }
});

test("what is no item stream is refused, at whatever place it ends", () => {
  const good = pack({
    path: "x",
    chunks: [
      [ids[0], 1, 2],
      [ids[1], 300, 4],
    ],
    mode: 1,
  });
  for (let n = 1; n < good.length; n++) {
    const scanner = new ItemScanner(new ChunkIndex());
    expect(() => {
      scanner.feed(good.subarray(0, n));
      scanner.finish();
    }).toThrow(IntegrityError);
  }
  const bad = [
    pack([1]),
    pack({ chunks: 5 }),
    pack({ chunks: [5] }),
    pack({ chunks: [[ids[0], 1]] }),
    pack({ chunks: [[randomBytes(31), 1, 1]] }),
    pack({ chunks: [[ids[0], -1, 1]] }),
    pack({ chunks: [[ids[0], 2 ** 33, 1]] }),
    pack(new Map([[1, 1]])),
    Uint8Array.of(0x81, 0xa1, 0x78, 0xc1),
  ];
  for (const stream of bad) {
    const scanner = new ItemScanner(new ChunkIndex());
    expect(() => scanner.feed(stream)).toThrow(IntegrityError);
  }
});

test("noise never hangs and is never anything but an IntegrityError", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), fc.integer({ min: 1, max: 50 }), (noise, piece) => {
      try {
        scan(concatBytes(Uint8Array.of(0x82), noise), piece);
      } catch (error) {
        expect(error).toBeInstanceOf(IntegrityError);
      }
    }),
    { numRuns: 2000 },
  );
});
