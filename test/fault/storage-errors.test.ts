// Every single change of a file fails once, with a full disk or an I/O error: the error reaches the caller, the transaction
// is doomed, nothing committed is lost, and after reopening the repository works.
import { createHash } from "node:crypto";
import { expect, test } from "vitest";
import { AlcoveError } from "../../src/errors.ts";
import { LocalRepository } from "../../src/repository/local.ts";
import { BASE, emptyDisk } from "./life.ts";
import { MemoryStorage } from "./memory-storage.ts";
import { RecordingStorage } from "./recording-storage.ts";

const key = (n: number) => new Uint8Array(createHash("sha256").update(String(n)).digest());
const value = (n: number) => new Uint8Array(300).fill(n);

const REPO = `${BASE}/repo`;
const open = (storage: MemoryStorage, create = false) =>
  LocalRepository.open(REPO, { create, exclusive: true, storage });

/** A disk with a repository of 20 objects. */
async function prepare() {
  const disk = emptyDisk();
  const storage = new MemoryStorage(disk, REPO);
  const r = await open(storage, true);
  r.config.ini.set("repository", "max_segment_size", 2000);
  r.saveConfig();
  await r.close();
  const w = await open(storage);
  for (let n = 0; n < 20; n++) await w.put(key(n), value(n));
  await w.commit();
  await w.close();
  return disk;
}

/** A transaction with deletes, puts and a compaction. */
async function change(r: LocalRepository) {
  for (let n = 0; n < 10; n++) await r.delete(key(n));
  for (let n = 20; n < 30; n++) await r.put(key(n), value(n));
  await r.commit({ compact: true, threshold: 0 });
}

test.each(["ENOSPC", "EIO"])("%s at every operation", { timeout: 180_000 }, async (code) => {
  let failures = 0;
  for (let at = 0; ; at++) {
    const storage = new RecordingStorage(await prepare(), REPO);
    const r = await open(storage);
    let count = 0;
    storage.fault = (operation) => {
      if (count++ === at)
        throw Object.assign(new Error(`${code}: ${operation.kind}`), { code, syscall: operation.kind });
    };
    const error = await change(r).then(
      () => undefined,
      (e) => e,
    );
    const reached = count > at;
    if (error) expect(error).toBeInstanceOf(AlcoveError);
    storage.fault = undefined;
    await r.close();
    const again = await open(storage);
    const ids = new Set((await again.list()).map((id) => Buffer.from(id).toString("hex")));
    const has = (n: number) => ids.has(Buffer.from(key(n)).toString("hex"));
    expect(ids.size, `${code} at operation ${at}`).toBe(20);
    const committed = has(25);
    for (let n = 0; n < 30; n++) {
      expect(has(n), `object ${n}, ${code} at operation ${at}`).toBe(
        n < 10 ? !committed : n < 20 || committed,
      );
      if (has(n)) expect(await again.get(key(n))).toEqual(value(n));
    }
    if (!error) expect(committed).toBe(true);
    if (!committed) await change(again);
    else {
      await again.put(key(99), value(9));
      await again.commit({ compact: true, threshold: 0 });
    }
    expect(await again.check(), `${code} at operation ${at}`).toBe(true);
    await again.close();
    expect(storage.list("").filter((n) => n.startsWith("lock"))).toEqual([]);
    if (!reached) break;
    // The commit of a transaction that could not be finished must not look as if it had succeeded.
    if (error) failures++;
  }
  expect(failures).toBeGreaterThan(30);
});

test("after a failed write nothing more is accepted until the rollback", async () => {
  const storage = new RecordingStorage(await prepare(), REPO);
  const r = await open(storage);
  storage.fault = (o) => {
    if (o.kind === "write") throw Object.assign(new Error("full"), { code: "ENOSPC" });
  };
  const big = new Uint8Array(600_000);
  await expect(r.put(key(50), big)).rejects.toThrow("No space left");
  storage.fault = undefined;
  await expect(r.put(key(51), value(1))).rejects.toThrow("No space left");
  await expect(r.delete(key(1))).rejects.toThrow("No space left");
  await expect(r.commit()).rejects.toThrow("No space left");
  await r.put(key(51), value(1));
  await r.commit();
  expect(await r.count()).toBe(21);
  expect(await r.check()).toBe(true);
  await r.close();
});
