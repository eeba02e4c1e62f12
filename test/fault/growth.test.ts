// Growth with the number of files and of chunks: bytes held or written per entry are counted, not timed, and the exponent
// fitted over factors of ten may be 1.1 at most.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { ItemDecoder } from "../../src/archive/item-decoder.ts";
import { ItemEncoder } from "../../src/archive/item-encoder.ts";
import { ChunkIndex } from "../../src/cache/chunks.ts";
import { FilesCache } from "../../src/cache/files.ts";
import { parseFilesCacheMode } from "../../src/cache/files-mode.ts";
import { Core, coreModule, loadCore } from "../../src/core/index.ts";
import { FaultyStorage } from "./faulty-storage.ts";
import { BASE, emptyDisk } from "./life.ts";
import { MemoryStorage } from "./memory-storage.ts";
import { World } from "./world.ts";

const SIZES = [1000, 10_000, 100_000];
const CHUNKS = [100, 1000, 10_000];

/** Slope of log(amount) over log(n) from the first to the last measurement. */
function exponent(points: readonly (readonly [n: number, amount: number])[]): number {
  const [n0, a0] = points[0]!;
  const [n1, a1] = points.at(-1)!;
  return Math.log(a1 / a0) / Math.log(n1 / n0);
}

function id(n: number): Uint8Array {
  const out = new Uint8Array(32);
  const view = new DataView(out.buffer);
  // Spread as hashes are: the table's first guess is the first four bytes.
  for (let i = 0; i < 8; i++) view.setUint32(i * 4, Math.imul(n + 1, 2654435761 + i * 40503) >>> 0);
  return out;
}

function encoded(items: number, chunks: number): ItemEncoder {
  const encoder = new ItemEncoder();
  const list = Array.from({ length: chunks }, (_, i) => ({ id: id(i), size: 2 ** 21, csize: 2 ** 20 }));
  for (let i = 0; i < items; i++)
    encoder.encode({
      path: `some/dir/file-${i}`,
      mode: 0o100644,
      mtime: 1_700_000_000_000_000_000n,
      chunks: list,
    });
  return encoder;
}

/** Work of decoding, in pieces as the stream's chunks come: every byte must be looked at about once. */
function decodeCounted(bytes: Uint8Array, piece: number): { items: number; fed: number } {
  const decoder = new ItemDecoder();
  let items = 0;
  let fed = 0;
  for (let at = 0; at < bytes.length; at += piece) {
    // What was not used yet is carried over, and looked at again.
    fed += decoder.pending + Math.min(piece, bytes.length - at);
    decoder.feed(bytes.slice(at, at + piece));
    for (let item = decoder.next(); item; item = decoder.next()) items++;
  }
  return { items, fed };
}

it("item streams grow with files and with chunks a file", () => {
  const byFiles = SIZES.map((n) => [n, encoded(n, 1).length] as const);
  expect(exponent(byFiles)).toBeLessThan(1.1);
  const byChunks = CHUNKS.map((n) => [n, encoded(3, n).length] as const);
  expect(exponent(byChunks)).toBeLessThan(1.1);
  const decoded = SIZES.map((n) => {
    const { items, fed } = decodeCounted(encoded(n, 1).bytes().slice(), 16_384);
    expect(items).toBe(n);
    return [n, fed] as const;
  });
  expect(exponent(decoded)).toBeLessThan(1.1);
});

it("the files cache grows with files and with chunks a file", () => {
  const mode = parseFilesCacheMode("ctime,size,inode");
  const stamp = (n: number) => ({ size: 10, ino: n, mtimeSec: 1, mtimeNsec: 2, ctimeSec: n, ctimeNsec: 4 });
  const size = (files: number, chunks: number): number => {
    const cache = FilesCache.empty(mode);
    const ids = new Uint8Array(32 * chunks).fill(7);
    for (let n = 0; n < files; n++) cache.memorize(id(n), 0, stamp(n), ids, chunks);
    let bytes = 0;
    const counting = {
      root: "/nowhere",
      writeAtomic: (_: string, data: Uint8Array | Iterable<Uint8Array>) => {
        for (const part of data instanceof Uint8Array ? [data] : data) bytes += part.length;
      },
    };
    cache.save(counting as never, "files", 20);
    return bytes;
  };
  expect(exponent(SIZES.map((n) => [n, size(n, 1)] as const))).toBeLessThan(1.1);
  expect(exponent(CHUNKS.map((n) => [n, size(3, n)] as const))).toBeLessThan(1.1);
});

it("the chunk index takes a bounded number of bytes an entry at any size", () => {
  for (const n of SIZES) {
    const chunks = new ChunkIndex();
    for (let i = 0; i < n; i++) chunks.add(id(i), 0, 1, 100, 50);
    expect(chunks.size).toBe(n);
    // 44 bytes an entry over the load factor, right after it grew.
    expect(chunks.index.byteLength / n).toBeLessThan(n < 10_000 ? 400 : 200);
    for (let i = 0; i < n; i += 97) expect(chunks.seen(id(i))).toBe(1);
  }
  const held = SIZES.map((n) => [n, ChunkIndex.withCapacity(n).index.byteLength] as const);
  expect(exponent(held)).toBeLessThan(1.1);
});

it("the core's memory has an end that is told", () => {
  const core = new Core(coreModule());
  expect(() => {
    for (let i = 0; i < 3; i++) core.alloc(2 ** 30);
  }).toThrow(/limit/);
  expect(loadCore().sha256(new Uint8Array(3)).length).toBe(32);
});

it("whole commands: calls to the storage and bytes written grow with the files, of a first and an unchanged backup", async () => {
  const dir = mkdtempSync(join(tmpdir(), "alcove-growth-"));
  try {
    const counts = [];
    for (const n of [300, 3000]) {
      const source = join(dir, String(n));
      mkdirSync(source);
      for (let i = 0; i < n; i++) writeFileSync(join(source, `file-${i}`), i % 3 === 0 ? `${i}` : "");
      const disk = emptyDisk();
      let calls = 0;
      const storage = new FaultyStorage(new MemoryStorage(disk, BASE), () => {
        calls++;
      });
      const world = new World(BASE, "secret", storage);
      await world.make(1_000_000, 1000);
      await world.init("none");
      const point = { n, calls: [] as number[], used: [] as number[] };
      for (const step of [
        () => world.create("first", [source]),
        () => world.create("second", [source]),
        () => world.inspect(),
        () => world.repair(),
        () => world.delete("first"),
        () => world.compact(),
      ]) {
        calls = 0;
        await step();
        point.calls.push(calls);
        point.used.push(disk.used());
      }
      counts.push(point);
    }
    const [small, large] = counts as [(typeof counts)[0], (typeof counts)[0]];
    for (const what of ["calls", "used"] as const)
      for (const [i, amount] of small[what].entries())
        expect(
          exponent([
            [small.n, amount],
            [large.n, large[what][i]!],
          ]),
          `${what} of step ${i}`,
        ).toBeLessThan(1.1);
  } finally {
    rmSync(dir, { recursive: true });
  }
});
