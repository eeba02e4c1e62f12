import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, expect, test } from "vitest";
import {
  CHANGED,
  type FileStamp,
  FilesCache,
  ID_STRIDE,
  UNCHANGED,
  UNKNOWN,
} from "../../../src/cache/files.ts";
import { filesCacheName, filesCacheTtl, parseFilesCacheMode } from "../../../src/cache/files-mode.ts";
import { Core, coreModule } from "../../../src/core/index.ts";
import { AlcoveError, IntegrityError } from "../../../src/errors.ts";
import { toHex } from "../../../src/format/bytes.ts";
import { pack, Unpacker } from "../../../src/format/msgpack.ts";
import { PosixStorage } from "../../../src/storage/posix.ts";

const dir = mkdtempSync(join(tmpdir(), "alcove-files-"));
afterAll(() => rmSync(dir, { recursive: true }));
const storage = new PosixStorage(dir);
const CIS = parseFilesCacheMode("ctime,size,inode");

const stamp = (over: Partial<FileStamp> = {}): FileStamp => ({
  size: 1000,
  ino: 77,
  mtimeSec: 1_700_000_000,
  mtimeNsec: 123_456_789,
  ctimeSec: 1_700_000_001,
  ctimeNsec: 987_654_321,
  ...over,
});
const newer = stamp({ ctimeSec: 1_800_000_000, mtimeSec: 1_800_000_000 });
const ns = (st: FileStamp) => BigInt(st.ctimeSec) * 1_000_000_000n + BigInt(st.ctimeNsec);

type Decoded = Map<
  string,
  { age: number; inode: number | bigint; size: number; time: bigint; ids: string[] }
>;

function decode(bytes: Uint8Array): Decoded {
  const unpacker = new Unpacker();
  unpacker.feed(bytes);
  const map: Decoded = new Map();
  for (const value of unpacker) {
    const [hash, [age, inode, size, time, ids]] = value as [
      Uint8Array,
      [number, number, number, number | bigint, Uint8Array[]],
    ];
    map.set(toHex(hash), { age, inode, size, time: BigInt(time), ids: ids.map(toHex) });
  }
  expect(unpacker.buffered).toBe(0);
  return map;
}

function saved(cache: FilesCache, ttl = 20): Uint8Array {
  cache.save(storage, "files", ttl);
  return storage.read("files");
}

function idsOf(cache: FilesCache): string[] {
  return Array.from({ length: cache.chunkCount }, (_, i) => {
    const at = cache.chunkOffset + i * ID_STRIDE;
    return toHex(cache.buffer.subarray(at, at + 32));
  });
}

test("modes, names and the time to live", () => {
  expect(CIS).toEqual({ time: "ctime", size: true, inode: true, rechunk: false, disabled: false });
  expect(parseFilesCacheMode("rechunk,mtime")).toMatchObject({ time: "mtime", rechunk: true });
  for (const bad of [
    "",
    "ctime",
    "ctime,mtime,size",
    "inode,size",
    "rechunk",
    "disabled,size",
    "toString,size",
  ]) {
    expect(() => parseFilesCacheMode(bad)).toThrow(AlcoveError);
  }
  expect(filesCacheName({})).toBe("files");
  expect(filesCacheName({ BORG_FILES_CACHE_SUFFIX: "x" })).toBe("files.x");
  expect(filesCacheTtl({})).toBe(20);
  expect(filesCacheTtl({ BORG_FILES_CACHE_TTL: "3" })).toBe(3);
  expect(() => filesCacheTtl({ BORG_FILES_CACHE_TTL: "x" })).toThrow(AlcoveError);
});

test("what is memorized is found in the same run and in the next", () => {
  const cache = FilesCache.empty(CIS);
  const files = Array.from({ length: 3000 }, (_, i) => ({
    hash: randomBytes(32),
    count: i % 20,
    ids: randomBytes(32 * (i % 20)),
  }));
  for (const f of files) cache.memorize(f.hash, 0, stamp(), f.ids, f.count);
  cache.memorize(randomBytes(32), 0, newer, new Uint8Array(0), 0);
  for (const c of [cache, FilesCache.parse(CIS, saved(cache))]) {
    for (const f of files) {
      expect(c.lookup(f.hash, 0, stamp())).toBe(UNCHANGED);
      expect(idsOf(c).join("")).toBe(f.ids.toString("hex"));
    }
    expect(c.lookup(randomBytes(32), 0, stamp())).toBe(UNKNOWN);
  }
});

test("what counts as changed, in every mode", () => {
  const hash = randomBytes(32);
  const changes = {
    size: stamp({ size: 1001 }),
    inode: stamp({ ino: 78 }),
    ctime: stamp({ ctimeNsec: 987_654_322 }),
    mtime: stamp({ mtimeNsec: 1 }),
  };
  const noticed: Record<string, (keyof typeof changes)[]> = {
    "ctime,size,inode": ["size", "inode", "ctime"],
    "mtime,size,inode": ["size", "inode", "mtime"],
    "ctime,size": ["size", "ctime"],
    "mtime,size": ["size", "mtime"],
    size: ["size"],
  };
  for (const [mode, names] of Object.entries(noticed)) {
    for (const [name, st] of Object.entries(changes)) {
      const cache = FilesCache.empty(parseFilesCacheMode(mode));
      cache.memorize(hash, 0, stamp(), new Uint8Array(32), 1);
      expect([mode, name, cache.lookup(hash, 0, st)]).toEqual([
        mode,
        name,
        names.includes(name as never) ? CHANGED : UNCHANGED,
      ]);
    }
  }
  const rechunk = FilesCache.empty(parseFilesCacheMode("ctime,rechunk"));
  rechunk.memorize(hash, 0, stamp(), new Uint8Array(32), 1);
  expect(rechunk.lookup(hash, 0, stamp())).toBe(UNKNOWN);
});

test("ages: seen again is 0, unseen grows, and at the time to live an entry goes", () => {
  const [seen, unseen] = [randomBytes(32), randomBytes(32)];
  const first = FilesCache.empty(CIS);
  for (const h of [seen, unseen]) first.memorize(h, 0, stamp(), randomBytes(32), 1);
  first.memorize(randomBytes(32), 0, newer, new Uint8Array(0), 0);
  let bytes = saved(first);
  for (let run = 1; run <= 3; run++) {
    const cache = FilesCache.parse(CIS, bytes);
    expect(cache.lookup(seen, 0, stamp())).toBe(UNCHANGED);
    bytes = saved(cache, 3);
    const entries = decode(bytes);
    expect(entries.get(toHex(seen))?.age).toBe(0);
    expect(entries.get(toHex(unseen))?.age).toBe(run < 3 ? run : undefined);
  }
});

test("stretches that stay as they are and entries that age or go make the file that a Map would", () => {
  // About a megabyte: long stretches are written as they lie, short ones together.
  const files = Array.from({ length: 9000 }, (_, i) => ({ hash: randomBytes(32), ids: randomBytes(64), i }));
  let cache = FilesCache.empty(CIS);
  for (const { hash, ids, i } of files) cache.memorize(hash, 0, stamp({ size: i }), ids, 2);
  cache.memorize(randomBytes(32), 0, newer, new Uint8Array(0), 0);
  const ages = new Map(files.map(({ hash }) => [toHex(hash), 0]));
  const expected = new Map(files.map(({ hash, ids, i }) => [toHex(hash), { ids, i }]));
  let bytes = saved(cache);
  // All; a stretch in the middle; all but each third of a part; none; all that are left.
  for (const seen of [
    () => true,
    (i: number) => i > 2000 && i < 7000,
    (i: number) => i > 4500 || i % 3 > 0,
    () => false,
    () => true,
  ]) {
    cache = FilesCache.parse(CIS, bytes);
    for (const { hash, i } of files) {
      const key = toHex(hash);
      const age = ages.get(key);
      if (age === undefined) continue;
      if (seen(i)) expect(cache.lookup(hash, 0, stamp({ size: i }))).toBe(UNCHANGED);
      if (seen(i)) ages.set(key, 0);
      else if (age + 1 < 3) ages.set(key, age + 1);
      else ages.delete(key);
    }
    bytes = saved(cache, 3);
    const found = decode(bytes);
    expect([...found.keys()].sort()).toEqual([...ages.keys()].sort());
    for (const [key, { age, size, ids }] of found) {
      const file = expected.get(key)!;
      expect(age).toBe(ages.get(key));
      expect(size).toBe(file.i);
      expect(ids.join("")).toBe(file.ids.toString("hex"));
    }
  }
  expect(ages.size).toBeLessThan(files.length);
});

test("files as new as the newest that was read are left out; all are kept if none was read", () => {
  const cache = FilesCache.empty(CIS);
  const [old, same] = [randomBytes(32), randomBytes(32)];
  cache.memorize(old, 0, stamp(), randomBytes(32), 1);
  cache.memorize(same, 0, newer, randomBytes(32), 1);
  const bytes = saved(cache);
  expect([...decode(bytes).keys()]).toEqual([toHex(old)]);
  const next = FilesCache.parse(CIS, bytes);
  next.lookup(old, 0, stamp());
  expect(decode(saved(next)).size).toBe(1);
});

test("a new inode is kept where inodes are not compared", () => {
  const hash = randomBytes(32);
  const ids = randomBytes(96);
  const cache = FilesCache.empty(parseFilesCacheMode("ctime,size"));
  cache.memorize(hash, 0, stamp(), ids, 3);
  const inode = 2n ** 63n + 5n;
  expect(cache.lookup(hash, 0, stamp({ ino: inode }))).toBe(UNCHANGED);
  expect(idsOf(cache).join("")).toBe(ids.toString("hex"));
  cache.memorize(randomBytes(32), 0, newer, new Uint8Array(0), 0);
  const bytes = saved(cache);
  expect(decode(bytes).get(toHex(hash))?.inode).toBe(inode);
  expect(FilesCache.parse(CIS, bytes).lookup(hash, 0, stamp({ ino: inode }))).toBe(UNCHANGED);
});

test("entries larger than a block, among many small ones, in the core's memory and elsewhere", () => {
  const counts = [1, 40_000, 0, 29_950, 29_955, 29_960, 3, 70_000, 2];
  for (let i = 0; i < 12_000; i++) counts.push(1);
  const hashes = counts.map(() => randomBytes(32));
  const ids = randomBytes(32 * 70_000);
  const mode = parseFilesCacheMode("ctime,size");
  let cache = FilesCache.empty(mode);
  for (const [i, count] of counts.entries()) cache.memorize(hashes[i]!, 0, stamp({ size: i }), ids, count);
  for (const inode of [1234, 77]) {
    cache.memorize(randomBytes(32), 0, newer, new Uint8Array(0), 0);
    const integrity = cache.save(storage, "files", 20);
    const core = inode === 77 ? new Core(coreModule()) : undefined;
    cache = FilesCache.load(storage, "files", mode, integrity, () => {}, core);
    // What the core needs for others moves its memory.
    core?.alloc(1 << 20);
    for (const [i, count] of counts.entries()) {
      expect(cache.lookup(hashes[i]!, 0, stamp({ size: i, ino: inode }))).toBe(UNCHANGED);
      expect(cache.chunkCount).toBe(count);
      for (const n of count === 0 ? [] : [0, count - 1])
        expect(
          Buffer.compare(
            cache.buffer.subarray(cache.chunkOffset + n * ID_STRIDE, cache.chunkOffset + n * ID_STRIDE + 32),
            ids.subarray(n * 32, n * 32 + 32),
          ),
        ).toBe(0);
    }
    expect(cache.size).toBe(counts.length);
  }
});

test("bytes are those of Borg's packer", () => {
  const numbers = [0, 1, 127, 128, 255, 256, 65535, 65536, 2 ** 32 - 1, 2 ** 32, 2 ** 53 - 1];
  for (const n of numbers) {
    const hash = randomBytes(32);
    const ids = Array.from({ length: n % 20 }, () => randomBytes(32));
    const st = stamp({ size: n, ino: n });
    const cache = FilesCache.empty(CIS);
    cache.memorize(hash, 0, st, Buffer.concat(ids), ids.length);
    cache.memorize(randomBytes(32), 0, newer, new Uint8Array(0), 0);
    expect(Buffer.from(saved(cache)).equals(Buffer.from(pack([hash, [0, n, n, ns(st), ids]])))).toBe(true);
  }
});

test("times before 1970 never count as unchanged", () => {
  const hash = randomBytes(32);
  const cache = FilesCache.empty(CIS);
  cache.memorize(hash, 0, stamp({ ctimeSec: -5 }), randomBytes(32), 1);
  expect(cache.lookup(hash, 0, stamp({ ctimeSec: -5 }))).toBe(CHANGED);
});

test("damage: an error while parsing, an empty cache and a warning while loading", () => {
  const cache = FilesCache.empty(CIS);
  for (let i = 0; i < 5; i++) cache.memorize(randomBytes(32), 0, stamp(), randomBytes(64), 2);
  cache.memorize(randomBytes(32), 0, newer, new Uint8Array(0), 0);
  const integrity = cache.save(storage, "files", 20);
  const bytes = storage.read("files");
  const entry = bytes.length / 5;
  for (let n = 1; n < bytes.length; n++) {
    if (n % entry !== 0) expect(() => FilesCache.parse(CIS, bytes.subarray(0, n))).toThrow(IntegrityError);
  }
  const warnings: string[] = [];
  const log = (_: string, message: string) => void warnings.push(message);
  expect(FilesCache.load(storage, "files", CIS, integrity, log).size).toBe(5);
  const bad = bytes.slice();
  bad[60]! ^= 1;
  writeFileSync(join(dir, "files"), bad);
  expect(FilesCache.load(storage, "files", CIS, integrity, log).size).toBe(0);
  expect(FilesCache.load(storage, "nowhere", CIS, undefined, log).size).toBe(0);
  expect(warnings.length).toBe(2);
});

test("random bytes are never accepted as what they are not", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), fc.nat(400), (noise, at) => {
      const cache = FilesCache.empty(CIS);
      for (let i = 0; i < 3; i++) cache.memorize(randomBytes(32), 0, stamp(), randomBytes(64), 2);
      cache.memorize(randomBytes(32), 0, newer, new Uint8Array(0), 0);
      const bytes = saved(cache).slice();
      bytes.set(noise.subarray(0, Math.max(0, bytes.length - at)), Math.min(at, bytes.length));
      try {
        FilesCache.parse(CIS, bytes);
      } catch (error) {
        expect(error).toBeInstanceOf(IntegrityError);
      }
    }),
    { numRuns: 150 },
  );
});

test("backups in another order, with files that come, go and change: as by a Map", () => {
  // Enough for searches, the table made after them, and what is found without either.
  const hashes = Array.from({ length: 120 }, () => randomBytes(32));
  const round = fc.record({
    seed: fc.nat(),
    shuffled: fc.integer({ min: 0, max: 3 }),
    gone: fc.constantFrom(0, 0.03, 0.5),
    changed: fc.constantFrom(0, 0.05, 0.7),
    unread: fc.constantFrom(0, 0.2),
  });
  fc.assert(
    fc.property(fc.array(round, { minLength: 2, maxLength: 5 }), (rounds) => {
      let cache = FilesCache.empty(CIS);
      const versions = hashes.map(() => 0);
      const model = new Map<number, number>();
      for (const { seed, shuffled, gone, changed, unread } of rounds) {
        let state = seed;
        const random = () => {
          state = (Math.imul(state, 1103515245) + 12345) >>> 0;
          return (state >>> 8) / 2 ** 24;
        };
        const order = hashes.map((_, i) => i);
        for (let n = 0; n < shuffled * 15; n++) {
          const [i, j] = [Math.floor(random() * 120), Math.floor(random() * 120)];
          [order[i], order[j]] = [order[j]!, order[i]!];
        }
        const toRead: number[] = [];
        for (const file of order) {
          if (random() < gone) continue;
          if (random() < changed) versions[file]!++;
          const known = model.get(file);
          const answer = cache.lookup(hashes[file]!, 0, stamp({ size: versions[file]! }));
          expect(answer).toBe(known === undefined ? UNKNOWN : known === versions[file] ? UNCHANGED : CHANGED);
          if (answer === UNCHANGED) expect(idsOf(cache)).toEqual([toHex(hashes[file]!)]);
          else toRead.push(file);
          // Files are memorized when they were read: later, and some of them never.
          if (random() < 0.3) while (toRead.length > 0) keep(toRead.shift()!, random() < unread);
        }
        while (toRead.length > 0) keep(toRead.shift()!, random() < unread);
        expect(cache.size).toBe(model.size);
        cache.memorize(randomBytes(32), 0, newer, new Uint8Array(0), 0);
        cache = FilesCache.parse(CIS, saved(cache));
      }
      function keep(file: number, isLost: boolean): void {
        if (isLost) return;
        cache.memorize(hashes[file]!, 0, stamp({ size: versions[file]! }), hashes[file]!, 1);
        model.set(file, versions[file]!);
      }
    }),
    { numRuns: 60 },
  );
});

test("against a model: a Map that lives through several backups", () => {
  const hashes = Array.from({ length: 12 }, () => randomBytes(32));
  const step = fc.record({ file: fc.nat(11), version: fc.nat(3), restart: fc.integer({ min: 0, max: 9 }) });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      let cache = FilesCache.empty(CIS);
      let model = new Map<number, { version: number; age: number }>();
      const age = (old: typeof model) => {
        const next: typeof model = new Map();
        for (const [file, e] of old) if (e.age < 3) next.set(file, { version: e.version, age: e.age + 1 });
        return next;
      };
      for (const { file, version, restart } of steps) {
        if (restart === 0) {
          cache.memorize(randomBytes(32), 0, newer, new Uint8Array(0), 0);
          cache = FilesCache.parse(CIS, saved(cache, 3));
          for (const [f, e] of model) if (e.age >= 3) model.delete(f);
          model = age(model);
        }
        const st = stamp({ size: 100 + version });
        const known = model.get(file);
        const expected = known === undefined ? UNKNOWN : known.version === version ? UNCHANGED : CHANGED;
        expect(cache.lookup(hashes[file]!, 0, st)).toBe(expected);
        if (expected !== UNCHANGED) cache.memorize(hashes[file]!, 0, st, randomBytes(32), 1);
        model.set(file, { version, age: 0 });
      }
    }),
    { numRuns: 60 },
  );
});

const BELIEVED = { make: true, trust: true };

test("what entries say of files without attributes", () => {
  const cache = FilesCache.empty(CIS, BELIEVED);
  const hashes = Array.from({ length: 4 }, () => randomBytes(32));
  const ids = new Uint8Array(32);
  for (const [i, hash] of hashes.entries()) cache.memorize(hash, 0, stamp(), ids, 1, i < 3);
  cache.memorize(randomBytes(32), 0, newer, ids, 1);
  const bytes = saved(cache);
  // The same numbers to whoever reads them.
  for (const { time } of decode(bytes).values()) expect(time).toBe(ns(stamp()));
  const says = (c: FilesCache): boolean[] =>
    hashes.map((hash) => {
      expect(c.lookup(hash, 0, stamp())).toBe(UNCHANGED);
      return c.isBare;
    });
  const again = FilesCache.parse(CIS, bytes.slice(), BELIEVED);
  expect(again.isMostlyBare).toBe(true);
  expect(says(again)).toEqual([true, true, true, false]);
  // Another time is another file, and so is another inode.
  expect(again.lookup(hashes[0]!, 0, stamp({ ctimeNsec: 1 }))).toBe(CHANGED);
  expect(again.isBare).toBe(false);
  expect(again.lookup(hashes[0]!, 0, stamp({ ino: 78 }))).toBe(CHANGED);
  expect(again.isBare).toBe(false);
  for (const [hash, bare] of [
    [hashes[3]!, true],
    [hashes[0]!, false],
  ] as const) {
    again.lookup(hash, 0, stamp());
    again.setBare(bare);
  }
  expect(says(again)).toEqual([false, true, true, true]);
  expect(says(FilesCache.parse(CIS, saved(again), BELIEVED))).toEqual([false, true, true, true]);
  // They go where they are not believed, and say nothing where they are not used.
  const doubted = FilesCache.parse(CIS, bytes.slice(), { make: true, trust: false });
  expect(doubted.isMostlyBare).toBe(false);
  expect(says(doubted)).toEqual([false, false, false, false]);
  expect(says(FilesCache.parse(CIS, saved(doubted), BELIEVED))).toEqual([false, false, false, false]);
  for (const mode of ["mtime,size,inode", "ctime,size"]) {
    const other = FilesCache.parse(parseFilesCacheMode(mode), bytes.slice(), BELIEVED);
    expect(other.marksBare).toBe(false);
    expect(other.isMostlyBare).toBe(false);
    // Both times are the same: in the other mode the file is unchanged, too.
    const same = stamp({ ctimeSec: 1_700_000_000, ctimeNsec: 123_456_789 });
    other.memorize(hashes[0]!, 0, same, ids, 1, true);
    other.memorize(randomBytes(32), 0, newer, ids, 1, true);
    const back = FilesCache.parse(CIS, saved(other), BELIEVED);
    expect(back.lookup(hashes[0]!, 0, same)).toBe(UNCHANGED);
    expect(back.isBare).toBe(false);
  }
});

test("a time before 1970, one of more than 63 bits and a negative one say nothing", () => {
  const cache = FilesCache.empty(CIS, BELIEVED);
  const ids = new Uint8Array(32);
  const early = stamp({ ctimeSec: -5 });
  const late = stamp({ ctimeSec: 9_300_000_000, ctimeNsec: 0 });
  for (const [i, st] of [early, late, newer].entries())
    cache.memorize(new Uint8Array(32).fill(i), 0, st, ids, 1, true);
  cache.memorize(randomBytes(32), 0, stamp({ ctimeSec: 18_000_000_000 }), ids, 1);
  const bytes = saved(cache);
  expect(decode(bytes).size).toBe(3);
  expect(FilesCache.parse(CIS, bytes, BELIEVED).size).toBe(3);
  // Of the three, the one with a time of today's kind says so.
  expect([...bytes].filter((b, i) => b === 0xd3 && bytes[i + 1]! === 0x18).length).toBe(1);
  const at = bytes.indexOf(0xd3);
  const negative = bytes.slice();
  negative[at + 1] = 0x80;
  expect(() => FilesCache.parse(CIS, negative, BELIEVED)).toThrow(IntegrityError);
});
