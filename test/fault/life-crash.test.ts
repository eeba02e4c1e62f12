// The whole life of a repository with its cache and security directory, crashed behind its writes under three models:
// afterwards it must open by itself with the archives of a commit no older than the last one reported done, every
// archive the same to the byte, go on (create, with reference counts right) and never use a counter twice; for a sample,
// real borg lists, checks and extracts the same. What a crash leaves equal to another crash's disk is tried once.
// A seeded sample of the long life by default, all points of a short one; ALCOVE_LONG=1 takes 7,500 points.
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import type { KeyMode } from "../../src/crypto/modes.ts";
import { AlcoveError, PassphraseWrong } from "../../src/errors.ts";
import { BorgServer } from "./borg-server.ts";
import {
  BASE,
  emptyDisk,
  finished,
  type Life,
  live,
  makeSources,
  removeLocks,
  same,
  shortLife,
  stateAt,
  wholeLife,
  worldOn,
} from "./life.ts";
import type { Disk, FileNode, MemoryStorage } from "./memory-storage.ts";
import { reused, type Sealed, sealedInRecord, sealedOnDisk } from "./nonces.ts";
import { type CrashModel, RecordingStorage } from "./recording-storage.ts";
import { seeded } from "./seeded.ts";
import { type Archives, digestOfTrees, World } from "./world.ts";

vi.mock("node:crypto", async (original) => {
  const { rememberingKeys } = await import("./remembered-keys.ts");
  return rememberingKeys(await original<typeof import("node:crypto")>());
});

const LONG = process.env["ALCOVE_LONG"] === "1";
const SEED = Number(process.env["ALCOVE_FUZZ_SEED"] ?? 20260101);
const SAMPLE = Number(process.env["ALCOVE_CRASH_POINTS"] ?? (LONG ? 2500 : 120));
/** Every so many points, real borg is asked; and a second crash comes into the recovery from the first. */
const BORG_EVERY = LONG ? 50 : 24;
const TWICE_EVERY = LONG ? 25 : 20;

let dir: string;
let borg: BorgServer;
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), "alcove-life-"));
  mkdirSync(join(dir, "home"));
  borg = new BorgServer({ HOME: join(dir, "home") });
});
afterAll(() => {
  borg.close();
  rmSync(dir, { recursive: true, force: true });
});

interface Point {
  model: CrashModel;
  seed: number;
  count: number;
}

/** Points of a life whose disks differ, in a random order. */
function* pointsOf(life: Life, seeds: readonly [CrashModel, number][]): Generator<Point & { disk: Disk }> {
  const { storage } = life;
  const all: Point[] = [];
  for (const [model, seed] of seeds) {
    for (let count = 0; count <= storage.length; count++) {
      const last = storage.operations[count - 1];
      if (last?.kind === "mark" || (model === "torn" && last?.kind !== "write")) continue;
      all.push({ model, seed, count });
    }
  }
  const random = seeded(SEED);
  const tried = new Set<string>();
  while (all.length > 0) {
    const [point] = all.splice(random.below(all.length), 1);
    const { model, seed, count } = point!;
    const { disk, identity } = storage.crash(count, model, seed);
    const { begun, done } = stateAt(life, count);
    const key = `${begun} ${done}\n${identity}`;
    if (tried.has(key)) continue;
    tried.add(key);
    removeLocks(disk);
    yield { ...point!, disk };
  }
}

/** Opens with the passphrase that the repository has after the crash. */
async function unlock(disk: Disk, passphrases: readonly string[]): Promise<[World, Archives]> {
  let failure: unknown;
  for (const passphrase of new Set(passphrases)) {
    const world = worldOn(disk, passphrase);
    try {
      return [world, await world.archives()];
    } catch (e) {
      if (!(e instanceof PassphraseWrong)) throw e;
      failure = e;
    }
  }
  throw failure;
}

interface Context {
  life: Life;
  mode: KeyMode;
  sources: [string, string];
  sealed: Sealed[];
}

/** All that is promised after a crash behind `count` operations. @returns undefined where there was no repository yet */
async function survives(
  { life, mode, sources, sealed }: Context,
  { disk, count }: { disk: Disk; count: number },
): Promise<{ world: World; found: Archives } | undefined> {
  const { begun, done } = stateAt(life, count);
  let world: World;
  let found: Archives;
  try {
    [world, found] = await unlock(disk, life.passphrases.slice(done, begun + 1));
  } catch (e) {
    if (done > 0 || !(e instanceof AlcoveError)) throw e;
    // Before its first commit it is no repository yet, and says so. Where not even a config is there, init just works.
    if (!disk.entries.has(`${BASE}/repo/config`)) {
      world = worldOn(disk);
      await life.steps[0]!.run(world);
      expect((await world.archives()).size).toBe(0);
    }
    return undefined;
  }
  const kept = finished(found);
  const match = life.states.findIndex((s, i) => i >= done && i <= begun && same(s, kept));
  expect(match, `archives ${[...kept.keys()]}, states ${done} to ${begun}`).toBeGreaterThanOrEqual(0);
  const asFound = disk.clone();
  await world.create("after", sources);
  const { archives: later, errors } = await world.inspect();
  expect(errors).toEqual([]);
  later.delete("after");
  expect(same(later, found), "archives after going on").toBe(true);
  if (mode !== "none") {
    const before = sealed.filter((s) => s.operation < count);
    expect(reused([...before, ...sealedOnDisk(disk)]), "counters used twice").toBeUndefined();
  }
  // Compaction rewrites and removes most segments; the check reads all that is left.
  await world.compact();
  await world.open(async ({ repository }) => expect(await repository.check()).toBe(true));
  if (count % 4 === 0) {
    const compacted = await world.archives();
    expect(compacted.delete("after") && same(compacted, found), "archives after compact").toBe(true);
  }
  expect(
    [...disk.entries.keys()].filter(
      (p) => p.endsWith(".tmp") && /\/(repo|cache\/[0-9a-f]+)\//.test(p) && !/\/lock\.exclusive\./.test(p),
    ),
    "temporary files left",
  ).toEqual([]);
  return { world: worldOn(asFound, world.passphrase), found };
}

/** Real borg lists, checks and extracts the same archives, with its own caches. */
async function borgAgrees(world: World, disk: Disk, found: Archives): Promise<void> {
  const copy = join(dir, "copy");
  disk.export(BASE, copy);
  const { env } = new World(copy, world.passphrase);
  const out = join(copy, "out");
  const repo = join(copy, "repo");
  mkdirSync(out);
  try {
    const options = { cwd: out, env };
    const listed = await borg.ok(["list", "--short", "--consider-checkpoints", repo], options);
    expect(listed.stdout.split("\n").filter(Boolean).sort()).toEqual([...found.keys()].sort());
    await borg.ok(["check", "--verify-data", repo], options);
    for (const [name, digest] of finished(found)) {
      await borg.ok(["extract", `${repo}::${name}`], options);
      expect(digestOfExtracted(out), `what borg extracts of ${name}`).toBe(digest);
      for (const entry of readdirSync(out)) rmSync(join(out, entry), { recursive: true });
    }
  } finally {
    rmSync(copy, { recursive: true });
  }
}

/** Archives hold absolute paths of sources: below the parents that extraction makes up are the roots. */
function digestOfExtracted(out: string): string {
  let at = "";
  for (const part of dir.split("/").filter(Boolean)) at = at === "" ? part : `${at}/${part}`;
  return digestOfTrees(
    out,
    readdirSync(join(out, at, "sources")).map((n) => `${at}/sources/${n}`),
  );
}

const MODELS: [CrashModel, number][] = [
  ["killed", 0],
  ["torn", 1],
  ["power lost", 1],
  ["power lost", 2],
  ["power lost", 3],
];

async function crashEverywhere(life: Life, mode: KeyMode, sources: [string, string], sample: number) {
  const sealed = mode === "none" ? [] : sealedInRecord(life.storage);
  expect(reused(sealed), "counters used twice without any crash").toBeUndefined();
  const context: Context = { life, mode, sources, sealed };
  let points = 0;
  let borgSamples = 0;
  let second = 0;
  const seeds = [...MODELS];
  if (LONG) for (const n of [4, 5, 6]) seeds.push(["power lost", n]);
  // Every point of a short life: one seed of each model does.
  if (sample === Number.POSITIVE_INFINITY && !LONG) seeds.splice(3);
  for (const point of pointsOf(life, seeds)) {
    if (points++ >= sample) break;
    const { model, seed, count, disk } = point;
    const where = `${mode}, ${model}, seed ${seed}, after operation ${count} of ${life.storage.length}`;
    try {
      const twice = points % TWICE_EVERY === 0 ? disk.clone() : undefined;
      const ended = await survives(context, { disk, count });
      if (ended && points % BORG_EVERY === 7) {
        borgSamples++;
        await borgAgrees(ended.world, (ended.world.storage as MemoryStorage).disk, ended.found);
      }
      if (ended && twice)
        second += await crashRecovery(context, twice, count, ended.world.passphrase, points);
    } catch (e) {
      throw new Error(`${where}: ${(e as Error).message}`, { cause: e });
    }
  }
  return { points: Math.min(points, sample), borgSamples, second };
}

/** The first command after a crash (here a create) crashes, too. */
async function crashRecovery(
  context: Context,
  disk: Disk,
  count: number,
  passphrase: string,
  seed: number,
): Promise<number> {
  const storage = new RecordingStorage(disk, BASE);
  await new World(BASE, passphrase, storage).create("again", [context.sources[1]]);
  const random = seeded(seed);
  let points = 0;
  for (const model of ["killed", "power lost"] as const) {
    const at = random.below(storage.length);
    const { disk: crashed } = storage.crash(at, model, seed);
    removeLocks(crashed);
    const [world, found] = await unlock(crashed, [passphrase]);
    found.delete("again");
    for (const name of found.keys()) if (name.startsWith("again.checkpoint")) found.delete(name);
    const { begun, done } = stateAt(context.life, count);
    const match = context.life.states.findIndex(
      (s, i) => i >= done && i <= begun && same(s, finished(found)),
    );
    expect(match, `second crash (${model}) behind operation ${at}`).toBeGreaterThanOrEqual(0);
    await world.create("after", context.sources);
    expect(await world.cacheErrors()).toEqual([]);
    points++;
  }
  return points;
}

const MODES: KeyMode[] = ["repokey", "keyfile-blake2", "none"];

describe.each(MODES)("%s", (mode) => {
  test("survives a crash behind any write", { timeout: LONG ? 7_200_000 : 900_000 }, async () => {
    rmSync(join(dir, "sources"), { recursive: true, force: true });
    const sources = makeSources(join(dir, "sources"));
    const life = await live(wholeLife(mode, sources));
    const { points, borgSamples, second } = await crashEverywhere(life, mode, sources, SAMPLE);
    console.info(
      `${mode}: ${life.storage.length} operations, ${points} points, ${second} second crashes, ${borgSamples} by borg`,
    );
    expect(points).toBe(SAMPLE);
    expect(borgSamples).toBeGreaterThan(0);
    expect(second).toBeGreaterThan(0);
  });
});

test("a short life survives a crash behind every operation", {
  timeout: LONG ? 7_200_000 : 900_000,
}, async () => {
  rmSync(join(dir, "sources"), { recursive: true, force: true });
  const sources = makeSources(join(dir, "sources"));
  const life = await live(shortLife("repokey", sources));
  const { points } = await crashEverywhere(life, "repokey", sources, Number.POSITIVE_INFINITY);
  console.info(`short life: ${life.storage.length} operations, ${points} points`);
  expect(points).toBeGreaterThan(life.storage.length / 2);
});

test("a repair of a damaged repository may be broken off anywhere, and repeated", {
  timeout: 300_000,
}, async () => {
  rmSync(join(dir, "sources"), { recursive: true, force: true });
  const sources = makeSources(join(dir, "sources"));
  const damaged = emptyDisk();
  const world = worldOn(damaged);
  await world.make(15_000, 4);
  await world.init("repokey");
  await world.create("whole", [sources[1]]);
  const whole = (await world.archives()).get("whole");
  await world.create("damaged", [sources[0]]);
  // In the last segments before the one of the commit are contents of the second archive.
  const segments = [...damaged.entries.keys()].filter((p) => /\/data\/\d+\/\d+$/.test(p));
  const number = (p: string) => Number(p.slice(p.lastIndexOf("/") + 1));
  const sizes = segments.sort((a, b) => number(a) - number(b)).map((p) => damaged.entries.get(p) as FileNode);
  const victim = sizes.findLast((n) => n.size > 10_000)!;
  damaged.put(victim, 5_000, Uint8Array.of(1, 2, 3));
  await expect(world.archives()).rejects.toBeInstanceOf(AlcoveError);
  const disk = damaged.clone();
  const storage = new RecordingStorage(disk, BASE);
  await new World(BASE, world.passphrase, storage).repair();
  const repaired = await worldOn(disk.clone()).archives();
  expect(repaired.get("whole")).toBe(whole);
  expect(repaired.has("damaged")).toBe(true);
  const random = seeded(SEED);
  let points = 0;
  for (const [model, seed] of MODELS) {
    for (let count = random.below(LONG ? 1 : 12); count <= storage.length; count += LONG ? 1 : 12) {
      const { disk: crashed } = storage.crash(count, model, seed);
      removeLocks(crashed);
      points++;
      const again = worldOn(crashed);
      try {
        await again.repair();
        const found = await again.archives();
        expect(same(found, repaired), `archives ${[...found.keys()]}`).toBe(true);
        await again.create("after", sources);
        expect(await again.cacheErrors()).toEqual([]);
        await again.open(async ({ repository }) => expect(await repository.check()).toBe(true));
      } catch (e) {
        const where = `${model}, seed ${seed}, after operation ${count} of ${storage.length}`;
        throw new Error(`${where}: ${(e as Error).message}`, { cause: e });
      }
    }
  }
  console.info(`repair: ${storage.length} operations, ${points} points`);
  expect(points).toBeGreaterThan(20);
});
