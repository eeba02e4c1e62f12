// Memory that chunks share one after the other: what is still read is never written over, and it does not grow.
import { expect, test } from "vitest";
import { ChunkCache } from "../../../src/mount/chunk-cache.ts";
import { ChunkMemory } from "../../../src/mount/chunk-memory.ts";
import type { MountSource } from "../../../src/mount/source.ts";

/** Chunk n: its number in four bytes, again and again. */
function contentsOf(n: number, size: number): Uint8Array {
  return new Uint8Array(new Uint32Array(size / 4).fill(n).buffer);
}

function idOf(n: number): Uint8Array {
  return new Uint8Array(new Uint32Array(8).fill(n).buffer);
}

/** Chunks by number, in memory that the cache gives. */
function sourceOf(sizes: (n: number) => number): MountSource {
  const getChunksNow: MountSource["getChunksNow"] = (ids, take) =>
    ids.map((id) => {
      const n = new DataView(id.buffer, id.byteOffset).getUint32(0, true);
      const size = sizes(n);
      if (size < 0) return undefined;
      if (!take || n % 7 === 3) return contentsOf(n, size);
      // Two bytes in front, as a compression header.
      const memory = take(size + 2).subarray(2);
      memory.set(contentsOf(n, size));
      return memory;
    });
  return {
    archives: () => [],
    itemChunks: async () => [],
    getChunksNow,
    getChunks: async (ids) => getChunksNow(ids),
  };
}

test("a chunk stays as it is until settle() after drop(); then its memory is used again", () => {
  const memory = new ChunkMemory();
  const a = memory.take(1 << 20);
  a.fill(1);
  expect(memory.keep(a)).toBe(true);
  expect(memory.drop(a)).toBe(true);
  const b = memory.take(1 << 20);
  b.fill(2);
  expect(a[0]).toBe(1);
  expect(b.buffer).not.toBe(a.buffer);
  memory.keep(b);
  memory.settle();
  const c = memory.take(900_000);
  expect(c.buffer).toBe(a.buffer);
  expect(b[0]).toBe(2);
  expect(memory.keep(new Uint8Array(8))).toBe(false);
});

test("small chunks share a block, which is free when the last of them is gone", () => {
  const memory = new ChunkMemory();
  const chunks = Array.from({ length: 100 }, (_, i) => memory.take(1000).fill(i));
  for (const chunk of chunks) memory.keep(chunk);
  expect(new Set(chunks.map((c) => c.buffer)).size).toBe(1);
  const taken = memory.bytes;
  for (const chunk of chunks.slice(1)) memory.drop(chunk);
  memory.settle();
  expect(memory.bytes).toBe(taken);
  expect(memory.freeBytes).toBe(0);
  memory.drop(chunks[0]!);
  memory.settle();
  expect(memory.bytes).toBe(0);
  expect(memory.freeBytes).toBe(taken);
  memory.trim();
  expect(memory.freeBytes).toBe(0);
});

test("what is taken and not kept is free after settle()", () => {
  const memory = new ChunkMemory();
  for (let i = 0; i < 100; i++) {
    memory.take(200_000);
    memory.settle();
  }
  expect(memory.bytes + memory.freeBytes).toBeLessThan(4 << 20);
});

for (const [what, sizes] of [
  ["small", (n: number) => (n % 11 === 5 ? -1 : 4 * ((n * 37) % 5000))],
  ["large", (n: number) => 4 * (100_000 + ((n * 7919) % 200_000))],
] as const) {
  test(`a cache that uses memory again gives ${what} chunks as they are, within its limit`, () => {
    const limit = 4 << 20;
    const cache = new ChunkCache(sourceOf(sizes), limit, true);
    let seed = 1;
    const random = (below: number): number => {
      seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
      return Math.floor((seed / 2 ** 32) * below);
    };
    for (let round = 0; round < 300; round++) {
      cache.settle();
      const held: [number, Uint8Array][] = [];
      // One request: several chunks, some read to their end, all of them looked at when the last is there.
      for (let i = random(6); i >= 0; i--) {
        const n = random(60);
        const data = cache.get(idOf(n));
        if (data instanceof Promise) throw new Error("a source that needs no waiting");
        if (sizes(n) < 0) expect(data).toBeUndefined();
        else held.push([n, data!]);
        if (random(2)) cache.finished(idOf(n));
      }
      for (const [n, data] of held) {
        expect(data.length).toBe(sizes(n));
        if (data.length) expect(Buffer.compare(data, contentsOf(n, data.length))).toBe(0);
      }
      if (random(2)) {
        cache.settle();
        // The same chunk twice, as of two files that are alike.
        const some = [random(60), random(60)];
        cache.prefetch([...some, ...some].map(idOf));
      }
      expect(cache.statistics.bytes).toBeLessThanOrEqual(limit + (2 << 20));
    }
  });
}
