// The quick way of encoding a plain file gives the bytes of the general one.
import fc from "fast-check";
import { expect, it } from "vitest";
import type { Item } from "../../../src/archive/item.ts";
import { ItemEncoder } from "../../../src/archive/item-encoder.ts";
import type { PlainFile } from "../../../src/archive/plain-item.ts";
import { fsDecode } from "../../../src/format/bytes.ts";

const u32 = fc.oneof(fc.nat(300), fc.nat(70_000), fc.integer({ min: 0, max: 0xffffffff }));
const bytes = (minLength: number, maxLength: number) => fc.uint8Array({ minLength, maxLength });
const name = fc.option(fc.string({ maxLength: 40 }), { nil: null });
const MANY = Array.from({ length: 70_000 }, (_, i): [Uint8Array<ArrayBuffer>, number, number] => [
  new Uint8Array(32).fill(i),
  i,
  1,
]);
const files = fc.record({
  path: fc.oneof(
    { weight: 20, arbitrary: bytes(1, 60) },
    { weight: 10, arbitrary: bytes(200, 300) },
    { weight: 1, arbitrary: bytes(66_000, 66_000) },
  ),
  mode: fc.nat(0o177777),
  uid: u32,
  gid: u32,
  user: name,
  group: name,
  times: fc.array(fc.tuple(fc.oneof(fc.constant(0), fc.nat(0x7fffffff)), u32), {
    minLength: 3,
    maxLength: 3,
  }),
  hasChangeTime: fc.boolean(),
  hasAccessTime: fc.boolean(),
  chunks: fc.oneof(
    { weight: 30, arbitrary: fc.array(fc.tuple(bytes(32, 32), u32, u32), { maxLength: 40 }) },
    { weight: 1, arbitrary: fc.constant(MANY) },
  ),
  size: fc.oneof(u32, fc.maxSafeInteger().map(Math.abs)),
  stride: fc.integer({ min: 32, max: 35 }),
  at: fc.nat(5),
});

it("gives the same bytes", () => {
  const fast = new ItemEncoder(16);
  const general = new ItemEncoder();
  fc.assert(
    fc.property(fc.array(files, { minLength: 1, maxLength: 3 }), (some) => {
      fast.consume(fast.length);
      general.consume(general.length);
      for (const f of some) {
        const ids = new Uint8Array(f.at + f.chunks.length * f.stride);
        const sizes = new Uint32Array(2 * f.chunks.length);
        for (const [i, [id, size, csize]] of f.chunks.entries()) {
          ids.set(id, f.at + i * f.stride);
          sizes.set([size, csize], 2 * i);
        }
        const paths = new Uint8Array(f.path.length + f.at);
        paths.set(f.path, f.at);
        const { mode, uid, gid, user, group, size, hasAccessTime, hasChangeTime } = f;
        const common = { mode, uid, gid, user, group, size };
        const file: PlainFile = {
          ...{ ...common, hasAccessTime, hasChangeTime, paths, pathAt: f.at, pathEnd: paths.length },
          ...{ ids, idsAt: f.at, idStride: f.stride, chunkCount: f.chunks.length, sizes },
          times: Uint32Array.from(f.times.flat()),
        };
        fast.plain(file);
        const [mtime, ctime, atime] = f.times.map(([hi, lo]) => (BigInt(hi) << 32n) | BigInt(lo));
        const item: Item = {
          ...{ ...common, path: fsDecode(f.path), mtime: mtime!, hardlink_master: false },
          chunks: f.chunks.map(([id, size, csize]) => ({ id, size, csize })),
        };
        if (hasChangeTime) item.ctime = ctime!;
        if (hasAccessTime) item.atime = atime!;
        general.encode(item);
      }
      expect(Buffer.compare(fast.bytes(), general.bytes())).toBe(0);
    }),
    { numRuns: 300 },
  );
}, 60_000);
