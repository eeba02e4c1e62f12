// The life of a small repository, crashed at every single point under every model: it must open by itself with the state
// of a commit that is no older than the last one that was reported done, and reserved nonces must never go back.
import { createHash } from "node:crypto";
import { cpSync, existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { LocalRepository } from "../../src/repository/local.ts";
import { readNonce } from "../../src/repository/nonce.ts";
import { PosixStorage } from "../../src/storage/posix.ts";
import { borgCheck } from "../interop/repository-python.ts";
import { type CrashModel, RecordingStorage } from "./recording-storage.ts";

const key = (n: number) =>
  n === -1 ? new Uint8Array(32) : new Uint8Array(createHash("sha256").update(`id${n}`).digest());
const value = (n: number, size: number) => new Uint8Array(size).fill(n + 2);
const hex = (b: Uint8Array) => Buffer.from(b).toString("hex");

let dir: string;
beforeAll(() => {
  // Thousands of small repositories with their fsyncs: in memory where there is such a place (277 s on a disk).
  dir = mkdtempSync(join(existsSync("/dev/shm") ? "/dev/shm" : tmpdir(), "crash-"));
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

type State = Map<string, string>;

/** A scripted life; gives the record and, per commit, what the repository held then. */
async function life(name: string) {
  const path = join(dir, name);
  const first = await LocalRepository.open(path, { create: true, exclusive: true });
  first.config.ini.set("repository", "max_segment_size", 3000);
  first.config.ini.set("repository", "segments_per_dir", 5);
  first.saveConfig();
  await first.close();
  const storage = new RecordingStorage(path);
  const states: State[] = [new Map()];
  const now: State = new Map();
  const nonces: number[] = [0];
  const put = async (r: LocalRepository, n: number, size: number) => {
    await r.put(key(n), value(n, size));
    now.set(hex(key(n)), hex(value(n, size)));
  };
  const del = async (r: LocalRepository, n: number) => {
    await r.delete(key(n));
    now.delete(hex(key(n)));
  };
  const commit = async (r: LocalRepository, compact = false) => {
    states.push(new Map(now));
    storage.mark(`begin ${states.length - 1}`);
    await r.commit({ compact, threshold: 0 });
    storage.mark(`done ${states.length - 1}`);
  };
  const nonce = async (r: LocalRepository, n: number) => {
    await r.commitNonceReservation(n, await r.getFreeNonce());
    nonces.push(n);
    storage.mark(`nonce ${nonces.length - 1}`);
  };
  for (let session = 0; session < 3; session++) {
    const r = await LocalRepository.open(path, { exclusive: true, storage });
    try {
      await nonce(r, (session + 1) * 1000);
      for (let n = session * 6; n < session * 6 + 10; n++) await put(r, n, 100 + ((n * 331) % 900));
      await put(r, -1, 40 + session);
      await commit(r);
      for (let n = session * 6; n < session * 6 + 8; n += 2) await del(r, n);
      await put(r, -1, 50 + session);
      await commit(r);
      await put(r, -1, 60 + session);
      await commit(r, true);
      await nonce(r, (session + 1) * 1000 + 500);
      // An aborted transaction: its segments stay until the next writer comes.
      await r.put(key(77 + session), value(7, 500));
    } finally {
      await r.close();
    }
  }
  return { path, storage, states, nonces };
}

async function contents(path: string, exclusive: boolean): Promise<State> {
  const r = await LocalRepository.open(path, { exclusive, lockWait: 0 });
  try {
    const all: State = new Map();
    for (const id of await r.list()) all.set(hex(id), hex(await r.get(id)));
    return all;
  } finally {
    await r.close();
  }
}

const models: [CrashModel, number[]][] = [
  ["killed", [0]],
  ["torn", [1, 2]],
  ["power lost", [1, 2, 3]],
];

test.each(models)("%s", { timeout: 300_000 }, async (model, seeds) => {
  const { storage, states, nonces } = await life(model.replace(" ", "-"));
  let borgSamples = 0;
  let points = 0;
  for (const seed of seeds) {
    let begun = 0;
    let done = 0;
    let reserved = 0;
    for (let count = 0; count <= storage.length; count++) {
      const last = storage.operations[count - 1];
      if (last?.kind === "mark") {
        const [what, n] = last.label.split(" ");
        if (what === "begin") begun = Number(n);
        if (what === "done") done = Number(n);
        if (what === "nonce") reserved = Number(n);
        continue;
      }
      const at = join(dir, "crashed");
      rmSync(at, { recursive: true, force: true });
      storage.materialize(count, model, seed, at);
      // The process that held the lock is, in this simulation, still alive: we are it.
      rmSync(join(at, "lock.exclusive"), { recursive: true, force: true });
      rmSync(join(at, "lock.roster"), { force: true });
      const where = `${model}, seed ${seed}, after operation ${count} of ${storage.length}`;
      // Of a repository without any commit, borg says that there is no valid data in it.
      const sample = done > 0 && (model !== "killed" ? count % 97 === 5 : count % 41 === 5);
      if (sample) cpSync(at, `${at}-borg`, { recursive: true });
      const found = await contents(at, true);
      const match = states.findIndex((state, i) => i >= done && i <= begun && same(state, found));
      expect(match, `${where}: ${found.size} objects, commits ${done} to ${begun}`).toBeGreaterThanOrEqual(0);
      expect(readNonce(new PosixStorage(at)) ?? 0, where).toBeGreaterThanOrEqual(nonces[reserved]!);
      // And it goes on: a commit after the recovery, a check.
      if (count % 17 === seed) {
        const r = await LocalRepository.open(at, { exclusive: true });
        await r.put(key(500), value(5, 700));
        await r.commit({ compact: true, threshold: 0 });
        expect(await r.check(), where).toBe(true);
        await r.close();
        expect(
          same(await contents(at, false), new Map([...found, [hex(key(500)), hex(value(5, 700))]])),
          where,
        ).toBe(true);
      }
      if (sample) {
        borgSamples++;
        expect(borgCheck(`${at}-borg`).status, `${where}: borg check`).toBe(0);
        rmSync(`${at}-borg`, { recursive: true, force: true });
      }
      points++;
    }
  }
  expect(points).toBeGreaterThan(300 * seeds.length);
  expect(borgSamples).toBeGreaterThan(3);
});

function same(a: State, b: State): boolean {
  return a.size === b.size && [...a].every(([id, data]) => b.get(id) === data);
}
