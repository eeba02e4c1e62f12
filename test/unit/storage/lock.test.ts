// Locks: shared and exclusive ones, stale and foreign holders, damaged rosters, time limits, migration; and with real borg.
import { spawnSync } from "node:child_process";
import {
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
import { LockFailed, LockTimeout, NotLocked, NotMyLock } from "../../../src/errors.ts";
import { hostId } from "../../../src/runtime/hostid.ts";
import { Lock, type LockId } from "../../../src/storage/lock.ts";
import { PosixStorage } from "../../../src/storage/posix.ts";

let dir: string;
let storage: PosixStorage;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "lock-"));
  storage = new PosixStorage(dir);
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

const deadPid = () => spawnSync("/bin/true").pid;
const other = (): LockId => [hostId(), process.ppid, 0];
const lock = (exclusive: boolean, id?: LockId, timeout = 0.05, log: string[] = []) =>
  new Lock(storage, "lock", { exclusive, timeout, ...(id ? { id } : {}), log: (_, m) => void log.push(m) });
const roster = () => JSON.parse(readFileSync(join(dir, "lock.roster"), "utf8"));

describe("between processes", () => {
  test("an exclusive lock keeps everyone out, and is gone without a trace", async () => {
    const mine = await lock(true).acquire();
    expect(readdirSync(join(dir, "lock.exclusive"))).toEqual([`${hostId()}.${process.pid}-0`]);
    expect(roster()).toEqual({ exclusive: [[hostId(), process.pid, 0]] });
    for (const exclusive of [true, false]) {
      const error = await lock(exclusive, other())
        .acquire()
        .catch((e) => e);
      expect(error).toBeInstanceOf(LockTimeout);
      expect(error.message).toContain(`process ${process.pid} on ${hostId()}`);
      expect(error.message).toMatch(/since \d{4}-\d\d-\d\d/);
    }
    mine.release();
    expect(readdirSync(dir)).toEqual([]);
  });

  test("readers share; a writer waits for them", async () => {
    const a = await lock(false).acquire();
    const b = await lock(false, other()).acquire();
    expect(existsSync(join(dir, "lock.exclusive"))).toBe(false);
    expect(roster().shared).toHaveLength(2);
    const writer = lock(true, [hostId(), 1, 0], 5);
    const waiting = writer.acquire();
    setTimeout(() => a.release(), 30);
    setTimeout(() => b.release(), 60);
    await waiting;
    expect(writer.holdsExclusive).toBe(true);
    writer.release();
    expect(readdirSync(dir)).toEqual([]);
  });

  test("a reader alone can become the writer; not with another reader beside", async () => {
    const a = await lock(false).acquire();
    const b = await lock(false, other()).acquire();
    await expect(a.upgrade()).rejects.toBeInstanceOf(LockTimeout);
    expect(roster().shared).toHaveLength(2);
    b.release();
    await a.upgrade();
    expect(a.holdsExclusive).toBe(true);
    expect(roster()).toEqual({ shared: [], exclusive: [[hostId(), process.pid, 0]] });
    a.release();
    expect(readdirSync(dir)).toEqual([]);
  });

  test("a timeout names the readers", async () => {
    await lock(false, other()).acquire();
    await expect(lock(true).acquire()).rejects.toThrow(`in use by process ${process.ppid}`);
  });
});

describe("stale and foreign", () => {
  const put = (name: string) => {
    mkdirSync(join(dir, "lock.exclusive"));
    writeFileSync(join(dir, "lock.exclusive", name), "");
  };

  test("of a process of this host that is gone: removed", async () => {
    put(`${hostId()}.${deadPid()}-0`);
    writeFileSync(
      join(dir, "lock.roster"),
      JSON.stringify({ shared: [[hostId(), deadPid(), 0]], exclusive: [] }),
    );
    const log: string[] = [];
    const mine = await lock(true, undefined, 5, log).acquire();
    expect(log.filter((m) => /stale/.test(m))).toHaveLength(2);
    mine.release();
  });

  test.each(["elsewhere@1234.4711-0", "not a lock file", `x.y-z`])("%s: left alone", async (name) => {
    put(name);
    await expect(lock(true).acquire()).rejects.toBeInstanceOf(LockTimeout);
    expect(readdirSync(join(dir, "lock.exclusive"))).toEqual([name]);
    expect(readdirSync(dir)).toEqual(["lock.exclusive"]);
  });

  test("of a thread that is not 0, or a reader elsewhere: left alone", async () => {
    put(`${hostId()}.${deadPid()}-1`);
    await expect(lock(false).acquire()).rejects.toBeInstanceOf(LockTimeout);
    rmSync(join(dir, "lock.exclusive"), { recursive: true });
    writeFileSync(join(dir, "lock.roster"), JSON.stringify({ shared: [["elsewhere@1", 5, 0]] }));
    await expect(lock(true).acquire()).rejects.toThrow("process 5 on elsewhere@1");
  });

  test("half-written: an empty directory is taken over, a damaged roster counts as empty", async () => {
    mkdirSync(join(dir, "lock.exclusive"));
    for (const text of ["", "{", "[]", "null", '{"shared": 3}', '{"shared": [[1, 2], "x"]}']) {
      writeFileSync(join(dir, "lock.roster"), text);
      const mine = await lock(true).acquire();
      mine.release();
    }
    expect(readdirSync(dir)).toEqual([]);
  });

  test("break removes all of them", async () => {
    put("elsewhere@1234.4711-0");
    writeFileSync(join(dir, "lock.roster"), JSON.stringify({ shared: [["elsewhere@1", 5, 0]] }));
    lock(true).break();
    lock(true).break();
    (await lock(true).acquire()).release();
  });
});

test("what was broken by another is not released", async () => {
  const mine = await lock(true).acquire();
  lock(true).break();
  expect(() => mine.release()).toThrow(NotLocked);
  const again = await lock(true).acquire();
  lock(true).break();
  const theirs = await lock(true, other()).acquire();
  expect(again.holdsExclusive).toBe(false);
  expect(() => again.release()).toThrow(NotMyLock);
  theirs.release();
});

test("a lock can move to another process", async () => {
  for (const exclusive of [true, false]) {
    const mine = await lock(exclusive).acquire();
    mine.migrate(other());
    expect(roster()[exclusive ? "exclusive" : "shared"]).toEqual([[hostId(), process.ppid, 0]]);
    mine.release();
    expect(readdirSync(dir)).toEqual([]);
  }
});

test("a directory that is not there or cannot be written", async () => {
  const nowhere = new Lock(new PosixStorage(join(dir, "nowhere")), "lock", { timeout: 0 });
  await expect(nowhere.acquire()).rejects.toBeInstanceOf(LockFailed);
});

describe("with borg", () => {
  const python = (code: string) =>
    spawnSync(
      "/usr/bin/python3",
      ["-c", `from borg.locking import *\nimport sys\n${code}`, join(dir, "lock")],
      {
        encoding: "utf8",
        timeout: 20_000,
      },
    );

  test("borg respects ours, says the same host id, and finds it gone", { timeout: 60_000 }, async () => {
    const id = python("from borg.platform import get_process_id; print(get_process_id()[0])").stdout.trim();
    expect(hostId()).toBe(id);
    for (const [held, wanted, expected] of [
      [true, "False", /LockTimeout/],
      [true, "True", /LockTimeout/],
      [false, "True", /LockTimeout/],
      [false, "False", /got it/],
    ] as const) {
      const mine = await lock(held).acquire();
      const run = python(`with Lock(sys.argv[1], exclusive=${wanted}, timeout=0.1): print('got it')`);
      expect(run.stdout + run.stderr).toMatch(expected);
      mine.release();
    }
    expect(readdirSync(dir)).toEqual([]);
  });

  test("we respect borg's, and see when its process is gone", { timeout: 60_000 }, async () => {
    const run = python("Lock(sys.argv[1], exclusive=True, timeout=1).acquire()\nimport os; os._exit(0)");
    expect(run.status).toBe(0);
    expect(readdirSync(dir).sort()).toEqual(["lock.exclusive", "lock.roster"]);
    const log: string[] = [];
    (await lock(true, undefined, 5, log).acquire()).release();
    expect(log.some((m) => /stale/.test(m))).toBe(true);
    expect(readdirSync(dir)).toEqual([]);
  });
});
