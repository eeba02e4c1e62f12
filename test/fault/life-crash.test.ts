// The whole life of a repository with its cache and security directory, crashed behind its writes under three models:
// afterwards it must open by itself with the archives of a commit no older than the last one reported done, every
// archive the same to the byte, go on (create, with reference counts right) and never use a counter twice.
// A seeded sample by default; ALCOVE_LONG=1 takes 7,500 points (a quarter of an hour).
import { cpSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import type { KeyMode } from "../../src/crypto/modes.ts";
import { AlcoveError, PassphraseWrong } from "../../src/errors.ts";
import { LocalRepository } from "../../src/repository/local.ts";
import { Sandbox } from "../support/programs.ts";
import { randomBytes } from "../support/tree.ts";
import { reused, sealedInRecord, sealedInRepository } from "./nonces.ts";
import { type CrashModel, RecordingStorage } from "./recording-storage.ts";
import { type Archives, World } from "./world.ts";

// Each crash point unlocks its key some times; the derivation is the same, so it is done once.
vi.mock("node:crypto", async (original) => {
  const crypto = await original<typeof import("node:crypto")>();
  const known = new Map<string, Buffer>();
  const pbkdf2Sync = (...args: Parameters<typeof crypto.pbkdf2Sync>) => {
    const [passphrase, salt, iterations] = args;
    const name = `${Buffer.from(passphrase as Buffer).toString("hex")} ${Buffer.from(salt as Buffer).toString("hex")} ${iterations}`;
    let key = known.get(name);
    if (!key) {
      key = crypto.pbkdf2Sync(...args);
      known.set(name, key);
    }
    return key;
  };
  return { ...crypto, pbkdf2Sync };
});

const LONG = process.env["ALCOVE_LONG"] === "1";
const SEED = Number(process.env["ALCOVE_FUZZ_SEED"] ?? 20260101);
const SAMPLE = LONG ? 2500 : 45;
const OLD = "old passphrase";
const NEW = "new passphrase";

let dir: string;
beforeAll(() => {
  // Thousands of small repositories with their fsyncs: in memory where there is such a place.
  dir = mkdtempSync(join(existsSync("/dev/shm") ? "/dev/shm" : tmpdir(), "alcove-life-"));
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

function makeSources(at: string): [string, string] {
  const a = join(at, "a");
  const b = join(at, "b");
  mkdirSync(join(a, "sub"), { recursive: true });
  mkdirSync(b);
  for (let i = 0; i < 12; i++) writeFileSync(join(a, `file${i}`), randomBytes(i * 977, i));
  writeFileSync(join(a, "sub", "large"), randomBytes(60_000, 99));
  for (let i = 0; i < 6; i++) writeFileSync(join(b, `other${i}`), randomBytes(5000 + i, 50 + i));
  return [a, b];
}

interface Life {
  storage: RecordingStorage;
  /** What the repository held after commit n, checkpoints left out; 0 is before init. */
  states: Archives[];
  sources: [string, string];
  base: string;
}

const finished = (all: Archives): Archives => new Map([...all].filter(([n]) => !n.includes(".checkpoint")));
const same = (a: Archives, b: Archives) => a.size === b.size && [...a].every(([n, d]) => b.get(n) === d);

/** Init, create, create with a checkpoint, rename, delete, prune, compact, recreate, check --repair, passphrase, create:
 *  all recorded. */
async function live(mode: KeyMode): Promise<Life> {
  const home = join(dir, mode);
  const base = join(home, "base");
  mkdirSync(base, { recursive: true });
  const sources = makeSources(home);
  const made = await LocalRepository.open(join(base, "repo"), { create: true, exclusive: true });
  made.config.ini.set("repository", "max_segment_size", 30_000);
  made.config.ini.set("repository", "segments_per_dir", 4);
  made.saveConfig();
  await made.close();
  // What is made by plain mkdir before the first write; losing it is the same as never having come here.
  for (const name of ["cache", "security"]) mkdirSync(join(base, name, made.idHex), { recursive: true });
  mkdirSync(join(base, "keys"));
  const storage = new RecordingStorage(base);
  const world = new World(base, OLD, storage);
  const states: Archives[] = [new Map()];
  const step = async (work: () => Promise<void>) => {
    storage.mark(`begin ${states.length}`);
    await work();
    storage.mark(`done ${states.length}`);
    // Read through a plain storage: not part of the record.
    states.push(finished(await new World(base, world.passphrase).archives()));
  };
  const [a, b] = sources;
  await step(() => world.init(mode));
  await step(() => world.create("first", [a]));
  writeFileSync(join(a, "file3"), randomBytes(9000, 1234));
  await step(() => world.create("second", [a, b], { checkpoint: true }));
  await step(() => world.rename("second", "renamed"));
  await step(() => world.delete("first"));
  await step(() => world.create("third", [b]));
  await step(() => world.prune(1));
  await step(() => world.compact());
  await step(() => world.recreate("third", "recreated"));
  await step(async () => expect(await world.repair()).toBe(true));
  if (mode !== "none") await step(() => world.changePassphrase(NEW));
  await step(() => world.create("fourth", [a]));
  await step(() => world.compact());
  return { storage, states, sources, base };
}

interface Point {
  model: CrashModel;
  seed: number;
  count: number;
}

function pointsOf({ storage }: Life): Point[] {
  const seeds: [CrashModel, number][] = [
    ["killed", 0],
    ["torn", 1],
    ["power lost", 1],
    ["power lost", 2],
    ["power lost", 3],
  ];
  const all: Point[] = [];
  for (const [model, seed] of seeds) {
    for (let count = 0; count <= storage.length; count++) {
      const last = storage.operations[count - 1];
      if (last?.kind === "mark" || (model === "torn" && last?.kind !== "write")) continue;
      all.push({ model, seed, count });
    }
  }
  let x = SEED >>> 0;
  const chosen: Point[] = [];
  while (chosen.length < SAMPLE && all.length > 0) {
    x = (Math.imul(x, 1664525) + 1013904223) >>> 0;
    chosen.push(...all.splice((x >>> 8) % all.length, 1));
  }
  return chosen;
}

/** Opens with the passphrase that the repository has after the crash. */
async function unlock(at: string, passphrases: readonly string[]): Promise<[World, Archives]> {
  let failure: unknown;
  for (const passphrase of passphrases) {
    const world = new World(at, passphrase);
    try {
      return [world, await world.archives()];
    } catch (e) {
      if (!(e instanceof PassphraseWrong)) throw e;
      failure = e;
    }
  }
  throw failure;
}

describe.each<KeyMode>(["repokey", "keyfile-blake2", "none"])("%s", (mode) => {
  test("survives a crash behind any write", { timeout: LONG ? 3_600_000 : 300_000 }, async () => {
    const life = await live(mode);
    const { storage, states, sources } = life;
    const sealed = mode === "none" ? [] : sealedInRecord(storage);
    expect(reused(sealed), "counters used twice without any crash").toBeUndefined();
    const sandbox = new Sandbox();
    let borgSamples = 0;
    let points = 0;
    for (const { model, seed, count } of pointsOf(life)) {
      let begun = 0;
      let done = 0;
      for (const o of storage.operations.slice(0, count)) {
        if (o.kind !== "mark") continue;
        const [what, n] = o.label.split(" ");
        if (what === "begin") begun = Number(n);
        else done = Number(n);
      }
      const changed = states.length - 3;
      const passphrases = mode === "none" || begun < changed ? [OLD] : done >= changed ? [NEW] : [OLD, NEW];
      const at = join(dir, "crashed", "base");
      rmSync(at, { recursive: true, force: true });
      storage.materialize(count, model, seed, at);
      // The process that held the locks is, in this simulation, still alive: we are it.
      removeLocks(at);
      const where = `${model}, seed ${seed}, after operation ${count} of ${storage.length}`;
      points++;
      try {
        let world: World;
        let found: Archives;
        try {
          [world, found] = await unlock(at, passphrases);
        } catch (e) {
          // Before its first commit it is no repository yet, and says so.
          if (done === 0 && e instanceof AlcoveError) continue;
          throw e;
        }
        const kept = finished(found);
        const match = states.findIndex((s, i) => i >= done && i <= begun && same(s, kept));
        expect(match, `archives ${[...kept.keys()]}, states ${done} to ${begun}`).toBeGreaterThanOrEqual(0);
        if (points % (LONG ? 199 : 15) === 7 && done > 0) {
          borgSamples++;
          borgAgrees(sandbox, world, found);
        }
        await world.create("after", [sources[0], sources[1]]);
        expect(await world.cacheErrors()).toEqual([]);
        const later = await world.archives();
        later.delete("after");
        expect(same(later, found), "archives after going on").toBe(true);
        if (mode !== "none") {
          const before = sealed.filter((s) => s.operation < count);
          expect(reused([...before, ...sealedInRepository(world.repositoryPath)])).toBeUndefined();
        }
        await world.open(async ({ repository }) => expect(await repository.check()).toBe(true));
        await world.compact();
        const compacted = await world.archives();
        expect(compacted.delete("after") && same(compacted, found), "archives after compact").toBe(true);
      } catch (e) {
        throw new Error(`${where}: ${(e as Error).message}`, { cause: e });
      }
    }
    sandbox.remove();
    expect(points).toBe(SAMPLE);
    expect(borgSamples).toBeGreaterThan(0);
  });
});

function removeLocks(base: string): void {
  rmSync(join(base, "repo", "lock.exclusive"), { recursive: true, force: true });
  rmSync(join(base, "repo", "lock.roster"), { force: true });
}

/** Real borg lists and extracts the same archives from a copy, with its own caches. */
function borgAgrees(sandbox: Sandbox, world: World, found: Archives): void {
  const copy = sandbox.path("copy");
  cpSync(world.base, copy, { recursive: true });
  const env = new World(copy, world.passphrase).env;
  const run = (args: string[]) => sandbox.ok(sandbox.borg(args, { env }));
  const names = run(["list", "--short", "--consider-checkpoints", join(copy, "repo")])
    .stdout.split("\n")
    .filter(Boolean);
  expect(names.sort()).toEqual([...found.keys()].sort());
  run(["check", "--verify-data", join(copy, "repo")]);
  rmSync(copy, { recursive: true });
}
