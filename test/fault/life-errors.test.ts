// Every write, fsync, rename and unlink of a backup and of a deletion, in repository, cache and security directory, fails
// once with EIO, ENOSPC, EROFS or EACCES: the failure is told, no committed archive is lost, and the next run works.
// A seeded sample by default; ALCOVE_LONG=1 takes every operation.
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { AlcoveError } from "../../src/errors.ts";
import { randomBytes } from "../support/tree.ts";
import { RecordingStorage } from "./recording-storage.ts";
import { seeded } from "./seeded.ts";
import { World } from "./world.ts";

const LONG = process.env["ALCOVE_LONG"] === "1";
const SEED = Number(process.env["ALCOVE_FUZZ_SEED"] ?? 20260101);
const CODES = ["EIO", "ENOSPC", "EROFS", "EACCES"];

let dir: string;
beforeAll(() => {
  dir = mkdtempSync(join(existsSync("/dev/shm") ? "/dev/shm" : tmpdir(), "alcove-errors-"));
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

it("any operation may fail", { timeout: LONG ? 3_600_000 : 120_000 }, async () => {
  const random = seeded(SEED);
  const src = join(dir, "src");
  mkdirSync(src);
  for (let i = 0; i < 6; i++) writeFileSync(join(src, `${i}`), randomBytes(4000 * i, i));
  const base = join(dir, "base");
  mkdirSync(base);
  const plain = new World(base, "secret");
  await plain.open(async () => {}, true);
  await plain.init("none");
  await plain.create("first", [src]);
  const first = (await plain.archives()).get("first");
  let operations = 0;
  const counting = new RecordingStorage(base);
  await new World(base, "secret", counting).create("doomed", [src]);
  operations = counting.length;
  await plain.delete("doomed");
  expect(operations).toBeGreaterThan(40);
  let failures = 0;
  const step = LONG ? 1 : 4;
  for (let at = random.below(step); at < operations; at += step) {
    const code = random.pick(CODES);
    const storage = new RecordingStorage(base);
    let n = 0;
    storage.fault = () => {
      if (n++ === at) throw Object.assign(new Error(`${code}: simulated, write`), { code, syscall: "write" });
    };
    const world = new World(base, "secret", storage);
    writeFileSync(join(src, "changing"), randomBytes(3000, at));
    const where = `operation ${at} fails with ${code}`;
    try {
      await world.create(`new-${at}`, [src]);
    } catch (e) {
      failures++;
      // A failure of the system, or what we made of it; nothing else.
      const known = e instanceof AlcoveError || CODES.includes((e as NodeJS.ErrnoException).code ?? "");
      expect(known, `${where}: ${(e as Error).stack}`).toBe(true);
    }
    storage.fault = undefined;
    // The process would end here, and its locks with it.
    for (const lock of ["lock.exclusive", "lock.roster"])
      rmSync(join(base, "repo", lock), { recursive: true, force: true });
    const found = await plain.archives();
    expect(found.get("first"), where).toBe(first);
    if (found.has(`new-${at}`)) await plain.delete(`new-${at}`);
    await plain.create("next", [src]);
    expect(await plain.cacheErrors(), where).toEqual([]);
    await plain.delete("next");
    if (at % 20 === 0) await plain.compact();
  }
  expect(failures).toBeGreaterThan(operations / step / 2);
  await plain.open(async ({ repository }) => expect(await repository.check()).toBe(true));
});
