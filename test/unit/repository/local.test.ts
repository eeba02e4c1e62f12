// A local repository by itself: opening and its errors, objects, transactions, quota, append-only, free space, nonces,
// bulk writing and reading, partial checks.
import { createHash } from "node:crypto";
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { IntegrityError } from "../../../src/errors.ts";
import { sealEntry, TAG_PUT } from "../../../src/repository/entry.ts";
import { LocalRepository, type OpenOptions } from "../../../src/repository/local.ts";
import { PosixStorage } from "../../../src/storage/posix.ts";

let dir: string;
let path: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "local-"));
  path = join(dir, "repo");
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

const key = (n: number) => new Uint8Array(createHash("sha256").update(String(n)).digest());
const value = (n: number, size = 100) => new Uint8Array(size).fill(n % 251);
const MANIFEST = new Uint8Array(32);
const open = (options: OpenOptions = {}) =>
  LocalRepository.open(path, { exclusive: true, lockWait: 0, ...options });
const failure = async (work: Promise<unknown>) => {
  const error = await work.then(
    () => undefined,
    (e) => e,
  );
  return error?.msgid as string | undefined;
};
async function filled(count = 50): Promise<LocalRepository> {
  const r = await open({ create: true });
  for (let n = 0; n < count; n++) await r.put(key(n), value(n));
  await r.put(MANIFEST, value(0));
  await r.commit();
  return r;
}

describe("making and opening", () => {
  test("refusals have borg's message ids", async () => {
    expect(await failure(open())).toBe("Repository.DoesNotExist");
    mkdirSync(path);
    expect(await failure(open())).toBe("Repository.InvalidRepository");
    expect(readdirSync(path)).toEqual([]);
    await (await open({ create: true })).close();
    expect(await failure(open({ create: true }))).toBe("Repository.AlreadyExists");
    expect(await failure(LocalRepository.open(join(path, "data", "inner"), { create: true }))).toBe(
      "Repository.AlreadyExists",
    );
    expect(await failure(LocalRepository.open(join(path, "README")))).toBe("Repository.InvalidRepository");
    expect(await failure(LocalRepository.open(join(path, "README", "x")))).toBe("Repository.DoesNotExist");
    expect(await failure(LocalRepository.open(join(dir, "a/b"), { create: true }))).toBe(
      "Repository.ParentPathDoesNotExist",
    );
    await (await LocalRepository.open(join(dir, "a/b"), { create: true, makeParentDirs: true })).close();
    writeFileSync(join(dir, "file"), "");
    expect(await failure(LocalRepository.open(join(dir, "file"), { create: true }))).toBe(
      "Repository.PathAlreadyExists",
    );
    mkdirSync(join(dir, "full"));
    writeFileSync(join(dir, "full", "x"), "");
    expect(await failure(LocalRepository.open(join(dir, "full"), { create: true }))).toBe(
      "Repository.PathAlreadyExists",
    );
  });

  test.each([
    ["[other]\nx = 1\n", "InvalidRepositoryConfig"],
    ["not an ini", "InvalidRepositoryConfig"],
    ["[repository]\nversion = 2\n", "InvalidRepositoryConfig"],
    ["[repository]\nversion = one\n", "InvalidRepositoryConfig"],
    ["[repository]\nversion = 1\n", "InvalidRepositoryConfig"],
    [
      "[repository]\nversion = 1\nsegments_per_dir = 1000\nmax_segment_size = 4294967295\n",
      "InvalidRepositoryConfig",
    ],
    ["[repository]\nversion = 1\nsegments_per_dir = 0\nmax_segment_size = 5000\n", "InvalidRepositoryConfig"],
    [
      "[repository]\nversion = 1\nsegments_per_dir = 1000\nmax_segment_size = 5000\nid = 12\n",
      "InvalidRepositoryConfig",
    ],
  ])("config %j", async (config, msgid) => {
    await (await open({ create: true })).close();
    writeFileSync(join(path, "config"), config);
    expect(await failure(open())).toBe(`Repository.${msgid}`);
    expect(readdirSync(path).filter((n) => n.startsWith("lock"))).toEqual([]);
  });

  test("an Attic repository is refused", async () => {
    await (await filled()).close();
    const segment = join(path, "data/0/2");
    writeFileSync(segment, Buffer.concat([Buffer.from("ATTICSEG"), readFileSync(segment).subarray(8)]));
    expect(await failure(open())).toBe("Repository.AtticRepository");
  });

  test("a second writer is kept out; without a lock one may read", async () => {
    const r = await filled();
    expect(await failure(LocalRepository.open(path, { lockWait: 0, lock: false }))).toBeUndefined();
    await r.close();
    await r.close();
    expect(readdirSync(path).filter((n) => n.startsWith("lock"))).toEqual([]);
  });

  test("the key survives in several lines, and the old config is erased", async () => {
    const r = await open({ create: true });
    const key = new TextEncoder().encode("BORG_KEY abc\nline two\nline three");
    await r.saveKey(key);
    await r.close();
    const again = await open();
    expect(await again.loadKey()).toEqual(key);
    await again.close();
    expect(existsSync(join(path, "config.old"))).toBe(false);
    expect(readFileSync(join(path, "config"), "utf8")).toContain(
      "key = BORG_KEY abc\n\tline two\n\tline three\n",
    );
  });
});

describe("objects", () => {
  test("put, get, has, delete, list, scan", async () => {
    const r = await filled();
    expect(await r.count()).toBe(51);
    expect(await r.get(key(7))).toEqual(value(7));
    await r.delete(key(7));
    expect(await r.has(key(7))).toBe(false);
    expect(await failure(r.get(key(7)))).toBe("Repository.ObjectNotFound");
    expect(await failure(r.delete(key(7)))).toBe("Repository.ObjectNotFound");
    await r.put(key(8), value(9, 1_500_000));
    expect(Buffer.compare(await r.get(key(8)), value(9, 1_500_000))).toBe(0);
    await r.commit();
    const all = await r.list();
    expect(all).toHaveLength(50);
    const paged = [];
    for (let page = await r.list(7); page.length > 0; page = await r.list(7, page.at(-1)))
      paged.push(...page);
    expect(paged).toEqual(all);
    const scanned = (await r.scan()).ids;
    expect(new Set(scanned.map(String))).toEqual(new Set(all.map(String)));
    const pages = [];
    for (let page = await r.scan(7); page.ids.length > 0; page = await r.scan(7, page.marker))
      pages.push(...page.ids);
    expect(pages).toEqual(scanned);
    await r.close();
  });

  test("many at once, in the order asked for, missing ones thrown or skipped", async () => {
    const r = await filled(300);
    const order = Array.from({ length: 500 }, (_, i) => (i * 7919) % 300);
    let i = 0;
    for await (const data of r.getMany(order.map(key))) expect(data).toEqual(value(order[i++]!));
    expect(i).toBe(500);
    const some = [key(1), key(1000), key(2)];
    const got = [];
    for await (const data of r.getMany(some, { missing: "skip" })) got.push(data?.[0]);
    expect(got).toEqual([1, undefined, 2]);
    await expect(async () => {
      for await (const _ of r.getMany(some));
    }).rejects.toThrow("not found");
    await r.close();
  });

  test("prepared entries in bulk equal single puts, duplicates and superseded ones included", async () => {
    const r = await open({ create: true });
    r.config.ini.set("repository", "max_segment_size", 2000);
    r.saveConfig();
    await r.close();
    const w = await open();
    await w.put(key(3), value(100));
    await w.commit();
    await w.beginTransaction();
    const numbers = [0, 1, 2, 3, 4, 4, ...Array.from({ length: 60 }, (_, i) => i + 5)];
    const size = 41 + 90;
    const buffer = new Uint8Array(size * numbers.length);
    const places = numbers.flatMap((n, i) => {
      buffer.set(key(n), i * size + 9);
      buffer.set(value(n + (i === 5 ? 50 : 0), 90), i * size + 41);
      sealEntry(buffer, i * size, size, TAG_PUT);
      return [i * size, size];
    });
    w.appendObjects(buffer, Uint32Array.from(places));
    expect(await w.get(key(2))).toEqual(value(2, 90));
    await w.commit();
    expect(await w.check()).toBe(true);
    for (const n of numbers) expect(await w.get(key(n))).toEqual(value(n === 4 ? 54 : n, 90));
    await w.commit({ compact: true, threshold: 0 });
    expect(await w.check()).toBe(true);
    for (const n of numbers) expect(await w.get(key(n))).toEqual(value(n === 4 ? 54 : n, 90));
    expect(
      Math.max(...readdirSync(join(path, "data/0")).map((n) => readFileSync(join(path, "data/0", n)).length)),
    ).toBeLessThan(2200);
    await w.close();
  });

  test("damage is an error, never data", async () => {
    const r = await filled();
    const at = r.locate(key(5))!;
    expect(at.size).toBe(141);
    const file = readFileSync(r.segmentPath(at.segment));
    await r.close();
    for (const offset of [0, 4, 8, 9, 41, 140]) {
      const bad = Buffer.from(file);
      bad[at.offset + offset]! ^= 0x40;
      writeFileSync(join(path, `data/0/${at.segment}`), bad);
      const again = await open();
      await expect(again.get(key(5))).rejects.toBeInstanceOf(IntegrityError);
      await again.close();
    }
    rmSync(join(path, `data/0/${at.segment}`));
    const last = await open();
    await expect(last.get(key(5))).rejects.toThrow("is missing");
    await last.close();
  });

  test("an object has its limit", async () => {
    const r = await open({ create: true });
    await expect(r.put(key(1), new Uint8Array(20971480))).rejects.toBeInstanceOf(IntegrityError);
    await r.put(key(1), new Uint8Array(20971479));
    await r.commit();
    expect((await r.get(key(1))).length).toBe(20971479);
    await r.close();
  });
});

describe("transactions", () => {
  test("rollback forgets, and what was not committed is gone when it is opened again", async () => {
    const r = await filled();
    await r.put(key(900), value(1));
    await r.delete(key(1));
    await r.rollback();
    expect(await r.has(key(900))).toBe(false);
    expect(await r.get(key(1))).toEqual(value(1));
    await r.put(key(901), value(1));
    await r.close();
    const again = await open();
    expect(await again.count()).toBe(51);
    await again.put(key(902), value(2));
    await again.commit();
    expect(await again.check()).toBe(true);
    await again.close();
  });

  test("a shared lock does not write", async () => {
    await (await filled()).close();
    const r = await LocalRepository.open(path, { lockWait: 0 });
    await expect(r.put(key(1), value(1))).rejects.toThrow("exclusive lock");
    await expect(r.commitNonceReservation(5, undefined)).rejects.toThrow("exclusive lock");
    await r.close();
  });

  test("the quota dooms the transaction, what was committed stays", async () => {
    const r = await open({ create: true, storageQuota: 1000 });
    await r.put(key(1), value(1));
    await r.commit();
    expect(await failure(r.put(key(2), value(2, 1000)))).toBe("Repository.StorageQuotaExceeded");
    expect(await failure(r.put(key(3), value(3)))).toBe("Repository.StorageQuotaExceeded");
    expect(await failure(r.commit())).toBe("Repository.StorageQuotaExceeded");
    expect(await r.count()).toBe(1);
    await r.put(key(3), value(3));
    await r.commit();
    expect(await r.quotaUse()).toBe(282);
    await r.delete(key(3));
    await r.commit({ compact: true, threshold: 0 });
    expect(await r.quotaUse()).toBe(141);
    await r.close();
  });

  test("append-only: deleted objects stay on the disk, transactions are listed, no repair, no destroy", async () => {
    const r = await open({ create: true, appendOnly: true });
    await r.put(key(1), value(1));
    await r.commit();
    const before = readdirSync(join(path, "data/0")).length;
    await r.delete(key(1));
    await r.commit({ compact: true, threshold: 0 });
    expect(readdirSync(join(path, "data/0")).length).toBe(before + 2);
    expect(readFileSync(join(path, "transactions"), "utf8")).toMatch(
      /^(transaction \d+, UTC time \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\n){2}$/,
    );
    await expect(r.check({ repair: true })).rejects.toThrow("append-only");
    await expect(r.destroy()).rejects.toThrow("append-only");
    await r.close();
  });

  test("too little free space is noticed before the commit", async () => {
    class Small extends PosixStorage {
      override freeSpace() {
        return 50_000;
      }
    }
    await (await filled()).close();
    const r = await open({ storage: new Small(path) });
    await r.put(key(500), value(1));
    expect(await failure(r.commit())).toBe("Repository.InsufficientFreeSpaceError");
    expect(await r.has(key(500))).toBe(false);
    await r.close();
    const fresh = join(dir, "fresh");
    const s = await open({ create: true }).catch(() => undefined);
    expect(s).toBeUndefined();
    mkdirSync(fresh);
    const n = await LocalRepository.open(fresh, { create: true, exclusive: true, storage: new Small(fresh) });
    await n.put(key(1), value(1));
    expect(await failure(n.commit())).toBe("Repository.InsufficientFreeSpaceError");
    expect(existsSync(fresh)).toBe(false);
  });

  test("a damaged index or hints file is rebuilt with a warning", async () => {
    for (const file of ["index.2", "hints.2", "integrity.2"]) {
      rmSync(path, { recursive: true, force: true });
      await (await filled()).close();
      appendFileSync(join(path, file), "x");
      const warnings: string[] = [];
      const r = await open({ log: (level, m) => void (level === "warning" ? warnings.push(m) : 0) });
      expect(await r.count()).toBe(51);
      await r.put(key(500), value(1));
      await r.commit();
      expect(warnings.length).toBeGreaterThan(0);
      expect(await r.check()).toBe(true);
      await r.close();
    }
  });

  test("compaction plan and compaction agree", async () => {
    const r = await filled(200);
    for (let n = 0; n < 150; n++) await r.delete(key(n));
    await r.commit();
    const plan = await r.compactionPlan(0.1);
    expect(plan.bytes).toBeGreaterThan(150 * 141);
    const progress: number[] = [];
    const used = await r.quotaUse();
    await r.commit({ compact: true, progress: (p) => progress.push(p.current) });
    expect(used - (await r.quotaUse())).toBe(150 * 141);
    expect(progress.length).toBeGreaterThan(1);
    expect(await r.check()).toBe(true);
    expect(await r.count()).toBe(51);
    await r.close();
  });
});

describe("nonce", () => {
  test("grows, compares, and a damaged file stops everything", async () => {
    const r = await open({ create: true });
    expect(await r.getFreeNonce()).toBeUndefined();
    await r.commitNonceReservation(0x123456789a, undefined);
    expect(readFileSync(join(path, "nonce"), "latin1")).toBe("000000123456789a");
    await expect(r.commitNonceReservation(0x1, undefined)).rejects.toThrow("meanwhile");
    await expect(r.commitNonceReservation(0x1, 0x123456789a)).rejects.toThrow("behind");
    await r.commitNonceReservation(0x123456789b, 0x123456789a);
    expect(await r.getFreeNonce()).toBe(0x123456789b);
    for (const text of ["", "xyz", "0000", "ffffffffffffffff", "00000012345678\0\0"]) {
      writeFileSync(join(path, "nonce"), text);
      await expect(r.getFreeNonce()).rejects.toThrow("nonce file");
    }
    await r.close();
  });
});

test("a partial check stops and goes on where it was", async () => {
  const r = await open({ create: true });
  for (let n = 0; n < 6; n++) {
    await r.put(key(n), value(n));
    await r.commit();
  }
  expect(await r.check({ maxDuration: 1e-9 })).toBe(true);
  expect(readFileSync(join(path, "config"), "utf8")).toContain("last_segment_checked = 0\n");
  expect(await r.check({ maxDuration: 1e-9 })).toBe(true);
  expect(r.config.lastSegmentChecked).toBe(1);
  expect(await r.check({ maxDuration: 100 })).toBe(true);
  expect(readFileSync(join(path, "config"), "utf8")).not.toContain("last_segment_checked");
  await r.close();
});
