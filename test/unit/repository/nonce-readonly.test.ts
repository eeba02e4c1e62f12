// A nonce reservation on a repository that cannot be written: an error for who holds the lock, a warning for who
// opened it without one.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, test, vi } from "vitest";
import { LocalRepository } from "../../../src/repository/local.ts";
import { PosixStorage } from "../../../src/storage/posix.ts";

const dir = mkdtempSync(join(tmpdir(), "nonce-"));
afterEach(() => {
  vi.restoreAllMocks();
  rmSync(dir, { recursive: true, force: true });
});

test("without a lock it is a warning, with one an error, and other failures are errors always", async () => {
  const path = join(dir, "repo");
  await (await LocalRepository.open(path, { create: true, exclusive: true })).close();
  const said: string[] = [];
  const unlocked = await LocalRepository.open(path, { lock: false, log: (level) => said.push(level) });
  const fails = (code: string) =>
    vi.spyOn(PosixStorage.prototype, "writeAtomic").mockImplementation(() => {
      throw Object.assign(new Error(code), { code, syscall: "open" });
    });
  for (const code of ["EPERM", "EACCES", "EROFS"]) {
    fails(code);
    await unlocked.commitNonceReservation(10, undefined);
  }
  expect(said).toEqual(["warning", "warning", "warning"]);
  fails("EIO");
  await expect(unlocked.commitNonceReservation(10, undefined)).rejects.toThrow("EIO");
  vi.restoreAllMocks();
  await unlocked.close();
  const locked = await LocalRepository.open(path, { exclusive: true });
  fails("EROFS");
  await expect(locked.commitNonceReservation(10, undefined)).rejects.toThrow();
  vi.restoreAllMocks();
  await locked.commitNonceReservation(10, undefined);
  expect(await locked.getFreeNonce()).toBe(10);
  await locked.close();
});
