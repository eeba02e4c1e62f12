import { randomBytes } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { ChunkIndex, MAX_VALUE, OwnReferences } from "../../../src/cache/chunks.ts";
import { FileHasher, parseIntegrityData, verifyIntegrity } from "../../../src/cache/integrity.ts";
import { FileIntegrityError, IntegrityError } from "../../../src/errors.ts";
import { concatBytes } from "../../../src/format/bytes.ts";
import { PosixStorage } from "../../../src/storage/posix.ts";
import { temporaryDir } from "../crypto/support.ts";

test("references come and go; the count sticks at its maximum", () => {
  const index = new ChunkIndex();
  const id = randomBytes(32);
  expect(index.seen(id)).toBe(0);
  expect(() => index.incref(id)).toThrow(IntegrityError);
  index.add(id, 0, 1, 100, 50);
  index.incref(id);
  expect(index.get(id)).toEqual({ refcount: 2, size: 100, csize: 50 });
  expect(index.decref(id).refcount).toBe(1);
  expect(index.decref(id).refcount).toBe(0);
  expect(() => index.decref(id)).toThrow(IntegrityError);
  index.remove(id);
  expect(index.size).toBe(0);
  index.add(id, 0, MAX_VALUE - 1, 1, 1);
  index.add(id, 0, 5, 1, 1);
  index.incref(id);
  expect(index.decref(id).refcount).toBe(MAX_VALUE);
});

test("sums are exact beyond 2^53", () => {
  const index = new ChunkIndex();
  index.add(randomBytes(32), 0, MAX_VALUE, 8 << 20, 4 << 20);
  index.add(randomBytes(32), 0, 3, 1001, 7);
  const s = index.summarize();
  expect(s.totalSize).toBe(BigInt(MAX_VALUE) * BigInt(8 << 20) + 3003n);
  expect(s.totalCsize).toBe(BigInt(MAX_VALUE) * BigInt(4 << 20) + 21n);
  expect(s).toMatchObject({
    uniqueSize: (8 << 20) + 1001,
    uniqueCsize: (4 << 20) + 7,
    totalUniqueChunks: 2,
    totalChunks: MAX_VALUE + 3,
  });
});

test("an archive's share of the whole", () => {
  const master = new ChunkIndex();
  const [own, shared] = [randomBytes(32), randomBytes(32)];
  master.add(own, 0, 2, 10, 5);
  master.add(shared, 0, 2, 100, 50);
  const archive = new OwnReferences(master);
  const tell = (...ids: Uint8Array[]) =>
    archive.references(
      new Uint32Array(concatBytes(new Uint8Array(4), ...ids.flatMap((id) => [id, new Uint8Array(8)])).buffer),
      1,
      ids.length,
    );
  tell(own, shared, own);
  expect(archive.summarize()).toMatchObject({
    totalSize: 120,
    uniqueSize: 10,
    totalUniqueChunks: 1,
    totalChunks: 3,
  });
  expect(() => tell(own, randomBytes(32))).toThrow(IntegrityError);
});

test("saved and loaded, whole and compact; every damaged byte is noticed", () => {
  const storage = new PosixStorage(temporaryDir());
  for (const entries of [0, 1, 5, 3000]) {
    const index = new ChunkIndex();
    const ids = Array.from({ length: entries }, () => randomBytes(32));
    ids.forEach((id, i) => {
      index.add(id, 0, i + 1, i, i * 2);
    });
    const whole = index.save(storage, "chunks");
    const compact = index.saveCompact(storage, "compact");
    for (const [name, integrity, isCompact] of [
      ["chunks", whole, false],
      ["compact", compact, true],
    ] as const) {
      const again = ChunkIndex.load(storage, name, integrity, { compact: isCompact });
      const merged = new ChunkIndex();
      merged.merge(again);
      expect(merged.size).toBe(entries);
      ids.forEach((id, i) => {
        expect(merged.get(id)).toEqual({ refcount: i + 1, size: i, csize: i * 2 });
      });
    }
    const file = join(storage.root, "compact");
    const bytes = readFileSync(file);
    expect(bytes.length).toBe(18 + 44 * Math.max(1, entries));
    for (let at = 0; at < Math.min(bytes.length, 100); at += 3) {
      const bad = Buffer.from(bytes);
      bad[at]! ^= 4;
      writeFileSync(file, bad);
      expect(() => ChunkIndex.load(storage, "compact", compact, { compact: true })).toThrow(
        FileIntegrityError,
      );
    }
    writeFileSync(file, bytes.subarray(0, bytes.length - 1));
    expect(() => ChunkIndex.load(storage, "compact", undefined, { compact: true })).toThrow(
      FileIntegrityError,
    );
  }
});

test("integrity data", () => {
  const hasher = new FileHasher("name");
  hasher.update(Buffer.from("data"));
  hasher.part("final");
  const json = hasher.data();
  verifyIntegrity("/d/name", "name", Buffer.from("data"), json, false);
  for (const [name, bytes] of [
    ["name", "date"],
    ["name", "dat"],
    ["eman", "data"],
  ] as const) {
    expect(() => verifyIntegrity("/d/x", name, Buffer.from(bytes), json, false)).toThrow(FileIntegrityError);
  }
  for (const bad of ["", "[]", "null", "{}", '{"algorithm": 1}', '{"algorithm": "XXH64", "digests": {}}']) {
    expect(() => parseIntegrityData("/d/name", bad)).toThrow(FileIntegrityError);
  }
  expect(parseIntegrityData("/d/name", '{"algorithm": "NEW", "digests": {"final": ""}}')).toBeUndefined();
  expect(
    parseIntegrityData("/d/name", '{"algorithm": "toString", "digests": {"final": ""}}'),
  ).toBeUndefined();
});
