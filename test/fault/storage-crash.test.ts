// The life of a small repository, crashed at every single point under every model: it must open by itself with the state
// of a commit that is no older than the last one that was reported done, and reserved nonces must never go back.
import { createHash } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { LocalRepository } from "../../src/repository/local.ts";
import { readNonce } from "../../src/repository/nonce.ts";
import { BorgServer } from "./borg-server.ts";
import { BASE, emptyDisk, removeLocks } from "./life.ts";
import { type Disk, MemoryStorage } from "./memory-storage.ts";
import { type CrashModel, RecordingStorage } from "./recording-storage.ts";

const key = (n: number) =>
  n === -1 ? new Uint8Array(32) : new Uint8Array(createHash("sha256").update(`id${n}`).digest());
const value = (n: number, size: number) => new Uint8Array(size).fill(n + 2);
const hex = (b: Uint8Array) => Buffer.from(b).toString("hex");

const REPO = `${BASE}/repo`;
let dir: string;
let borg: BorgServer;
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), "crash-"));
  borg = new BorgServer({ HOME: dir, BORG_BASE_DIR: join(dir, "base") });
});
afterAll(() => {
  borg.close();
  rmSync(dir, { recursive: true, force: true });
});

type State = Map<string, string>;

/** A scripted life; gives the record and, per commit, what the repository held then. */
async function life() {
  const disk = emptyDisk();
  const first = await LocalRepository.open(REPO, {
    create: true,
    exclusive: true,
    storage: new MemoryStorage(disk, REPO),
  });
  first.config.ini.set("repository", "max_segment_size", 3000);
  first.config.ini.set("repository", "segments_per_dir", 5);
  first.saveConfig();
  await first.close();
  const storage = new RecordingStorage(disk, REPO);
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
    const r = await LocalRepository.open(REPO, { exclusive: true, storage });
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
  return { storage, states, nonces };
}

async function contents(disk: Disk, exclusive: boolean): Promise<State> {
  const storage = new MemoryStorage(disk, REPO);
  const r = await LocalRepository.open(REPO, { exclusive, lockWait: 0, storage });
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
  const { storage, states, nonces } = await life();
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
      const { disk } = storage.crash(count, model, seed);
      removeLocks(disk);
      const where = `${model}, seed ${seed}, after operation ${count} of ${storage.length}`;
      // Of a repository without any commit, borg says that there is no valid data in it.
      const sample = done > 0 && (model !== "killed" ? count % 97 === 5 : count % 41 === 5);
      const copy = join(dir, "borg");
      if (sample) disk.export(REPO, copy);
      const found = await contents(disk, true);
      const match = states.findIndex((state, i) => i >= done && i <= begun && same(state, found));
      expect(match, `${where}: ${found.size} objects, commits ${done} to ${begun}`).toBeGreaterThanOrEqual(0);
      expect(readNonce(new MemoryStorage(disk, REPO)) ?? 0, where).toBeGreaterThanOrEqual(nonces[reserved]!);
      // And it goes on: a commit after the recovery, a check.
      if (count % 17 === seed) {
        const r = await LocalRepository.open(REPO, {
          exclusive: true,
          storage: new MemoryStorage(disk, REPO),
        });
        await r.put(key(500), value(5, 700));
        await r.commit({ compact: true, threshold: 0 });
        expect(await r.check(), where).toBe(true);
        await r.close();
        expect(
          same(await contents(disk, false), new Map([...found, [hex(key(500)), hex(value(5, 700))]])),
          where,
        ).toBe(true);
      }
      if (sample) {
        borgSamples++;
        const checked = await borg.run(["check", "--repository-only", copy], { cwd: dir, env: {} });
        expect(checked.code, `${where}: ${checked.stderr}`).toBe(0);
        rmSync(copy, { recursive: true, force: true });
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
