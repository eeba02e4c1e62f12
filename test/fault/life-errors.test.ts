// Every call to the storage in a whole life (init, create, delete, prune, compact, recreate, check --repair, key change;
// repository, cache, keys and security directory; looks and reads as well as writes) fails once, or from then on, with
// EIO, ENOSPC, EROFS, EACCES or EMFILE: the failure is told as one of ours or the system's, a success is one, no committed
// archive is lost, and the next run works by itself. A seeded sample by default; ALCOVE_LONG=1 takes every call.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import type { KeyMode } from "../../src/crypto/modes.ts";
import { AlcoveError, PassphraseWrong } from "../../src/errors.ts";
import { type Call, CHANGING, FaultyStorage, OPENING } from "./faulty-storage.ts";
import {
  BASE,
  emptyDisk,
  finished,
  makeSources,
  OLD,
  removeLocks,
  type Step,
  same,
  wholeLife,
  worldOn,
} from "./life.ts";
import { type Disk, MemoryStorage } from "./memory-storage.ts";
import { type Seeded, seeded } from "./seeded.ts";
import { type Archives, World } from "./world.ts";

vi.mock("node:crypto", async (original) => {
  const { rememberingKeys } = await import("./remembered-keys.ts");
  return rememberingKeys(await original<typeof import("node:crypto")>());
});

const LONG = process.env["ALCOVE_LONG"] === "1";
const SEED = Number(process.env["ALCOVE_FUZZ_SEED"] ?? 20260101);
const SAMPLE = Number(process.env["ALCOVE_FAULT_POINTS"] ?? (LONG ? Number.POSITIVE_INFINITY : 150));

let dir: string;
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), "alcove-errors-"));
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

interface Chapter {
  step: Step;
  before: Disk;
  states: [Archives, Archives];
  passphrases: [string, string];
  calls: Call[];
}

/** A life without faults: per step, the disk it begins with, and the calls it makes. */
async function chapters(steps: Step[]): Promise<Chapter[]> {
  const disk = emptyDisk();
  let state: Archives = new Map();
  let passphrase = OLD;
  const all: Chapter[] = [];
  for (const step of steps) {
    const before = disk.clone();
    const calls: Call[] = [];
    const storage = new FaultyStorage(new MemoryStorage(disk, BASE), (call) => calls.push(call));
    const world = new World(BASE, passphrase, storage);
    await step.run(world);
    const after = finished(await worldOn(disk.clone(), world.passphrase).archives());
    all.push({ step, before, states: [state, after], passphrases: [passphrase, world.passphrase], calls });
    state = after;
    passphrase = world.passphrase;
  }
  return all;
}

function codeFor(call: Call, random: Seeded): string {
  const codes = ["EIO", "EACCES"];
  if (CHANGING.has(call)) codes.push("ENOSPC", "EROFS", "ENOSPC", "EROFS");
  if (OPENING.has(call)) codes.push("EMFILE", "EMFILE");
  return random.pick(codes);
}

/** One call of a step fails. @returns whether the step did, too */
async function fails(chapter: Chapter, at: number, random: Seeded, sources: [string, string]) {
  const { step, before, states, passphrases, calls } = chapter;
  const code = codeFor(calls[at]!, random);
  const forGood = code !== "EMFILE" && random.below(3) === 0;
  const what = `${step.name}: call ${at} of ${calls.length}, ${calls[at]}, ${forGood ? "and all like it " : ""}${code}`;
  const disk = before.clone();
  let n = 0;
  let broken = true;
  const trace: string[] = [];
  const storage = new FaultyStorage(new MemoryStorage(disk, BASE), (call, name) => {
    const here = n++;
    if (!broken || here < at) return;
    if (here > at && !(forGood && CHANGING.has(call) === CHANGING.has(calls[at]!))) return;
    trace.push(`${call} ${name}`);
    throw Object.assign(new Error(`${code}: simulated, ${call}`), { code, syscall: call });
  });
  let failure: unknown;
  try {
    await step.run(new World(BASE, passphrases[0], storage));
  } catch (e) {
    failure = e;
  }
  broken = false;
  const where = `${what} (${trace[0]})`;
  if (failure !== undefined) {
    const known = failure instanceof AlcoveError || (failure as NodeJS.ErrnoException).code === code;
    expect(known, `${where}: ${(failure as Error).stack}`).toBe(true);
  }
  try {
    removeLocks(disk);
    let world = worldOn(disk, passphrases[0]);
    let found: Archives;
    try {
      found = await world.archives();
    } catch (e) {
      if (e instanceof PassphraseWrong) {
        world = worldOn(disk, passphrases[1]);
        found = await world.archives();
      } else if (step.name === "init" && failure !== undefined && e instanceof AlcoveError) {
        if (!disk.entries.has(`${BASE}/repo/config`)) await step.run(worldOn(disk));
        return true;
      } else throw e;
    }
    const kept = finished(found);
    // What reported success has happened.
    const allowed = failure === undefined ? states.slice(1) : states;
    expect(
      allowed.some((s) => same(s, kept)),
      `archives ${[...kept.keys()]}, expected ${allowed.map((s) => [...s.keys()])}`,
    ).toBe(true);
    await world.create("after", sources);
    const { archives, errors } = await world.inspect();
    expect(errors).toEqual([]);
    archives.delete("after");
    expect(same(archives, found), "archives after going on").toBe(true);
    await world.open(async ({ repository }) => expect(await repository.check()).toBe(true));
  } catch (e) {
    throw new Error(`${where}; it said: ${(failure as Error)?.message}\n${(e as Error).stack}`, { cause: e });
  }
  return failure !== undefined;
}

describe.each<KeyMode>(["none", "keyfile"])("%s", (mode) => {
  test("any call may fail", { timeout: LONG ? 7_200_000 : 900_000 }, async () => {
    const sources = makeSources(join(dir, mode));
    const all = await chapters(wholeLife(mode, sources));
    const points = all.flatMap((chapter) => chapter.calls.map((_, at) => ({ chapter, at })));
    const random = seeded(SEED);
    const total = points.length;
    let tried = 0;
    let failures = 0;
    while (points.length > 0 && tried < SAMPLE) {
      const { chapter, at } = points.splice(random.below(points.length), 1)[0]!;
      tried++;
      if (await fails(chapter, at, random, sources)) failures++;
    }
    console.info(`${mode}: ${tried} of ${total} calls failed, ${failures} times the command with them`);
    expect(failures).toBeGreaterThan(tried / 2);
  });
});
