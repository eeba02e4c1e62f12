// Scripted lives of a repository with its cache, keys and security directory on a recorded disk in memory: what the crash
// simulator crashes and the fault injector breaks.
import { mkdirSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { KeyMode } from "../../src/crypto/modes.ts";
import { randomBytes } from "../support/tree.ts";
import { Disk, MemoryStorage } from "./memory-storage.ts";
import { RecordingStorage } from "./recording-storage.ts";
import { type Archives, World } from "./world.ts";

export const BASE = "/simulated";
export const OLD = "old passphrase";
export const NEW = "new passphrase";

/** Two real directories with a few kilobytes in files, and the names of both. */
export function makeSources(at: string): [string, string] {
  const [a, b] = [join(at, "a"), join(at, "b")];
  mkdirSync(join(a, "sub"), { recursive: true });
  mkdirSync(b);
  for (let i = 0; i < 8; i++) writeFileSync(join(a, `file${i}`), randomBytes(i * 977, i));
  writeFileSync(join(a, "sub", "large"), randomBytes(30_000, 99));
  for (let i = 0; i < 4; i++) writeFileSync(join(b, `other${i}`), randomBytes(5000 + i, 50 + i));
  return [a, b];
}

/** A world on a disk of its own. */
export function worldOn(disk: Disk, passphrase = OLD): World {
  return new World(BASE, passphrase, new MemoryStorage(disk, BASE));
}

export function emptyDisk(): Disk {
  return new Disk(
    new Map([
      ["/", "dir"],
      [BASE, "dir"],
    ]),
  );
}

export interface Step {
  name: string;
  run(world: World): Promise<void>;
}

/** Init, create, create with a checkpoint, rename, delete, prune, compact, recreate, check --repair, key change, create. */
export function wholeLife(mode: KeyMode, [a, b]: [string, string]): Step[] {
  const step = (name: string, run: Step["run"]): Step => ({ name, run });
  // A step can be repeated on another disk: the sources are then as they were.
  const change = (version: number) => {
    writeFileSync(join(a, "file3"), randomBytes(3000 * version, version));
    utimesSync(join(a, "file3"), version, version);
    utimesSync(a, 1, 1);
  };
  return [
    step("init", async (w) => {
      await w.make(15_000, 4);
      await w.init(mode);
    }),
    step("create", async (w) => {
      change(1);
      await w.create("first", [a]);
    }),
    step("create with a checkpoint", async (w) => {
      change(2);
      await w.create("second", [a, b], { checkpoint: true });
    }),
    step("rename", (w) => w.rename("second", "renamed")),
    step("delete", (w) => w.delete("first")),
    step("create", (w) => w.create("third", [b])),
    step("prune", (w) => w.prune(1)),
    step("compact", (w) => w.compact()),
    step("recreate", (w) => w.recreate("third", "recreated")),
    step("check --repair", async (w) => {
      if (!(await w.repair())) throw new Error("the repair found something");
    }),
    ...(mode === "none" ? [] : [step("key change", (w) => w.changePassphrase(NEW))]),
    step("create", async (w) => {
      change(2);
      await w.create("fourth", [a]);
    }),
    step("compact", (w) => w.compact()),
  ];
}

/** As short as a life can be: every point of it can be tried. */
export function shortLife(mode: KeyMode, [, b]: [string, string]): Step[] {
  return [
    {
      name: "init",
      run: async (w) => {
        await w.make(6_000, 3);
        await w.init(mode);
      },
    },
    { name: "create", run: (w) => w.create("first", [b]) },
    { name: "delete", run: (w) => w.delete("first") },
    { name: "compact", run: (w) => w.compact() },
  ];
}

export interface Life {
  storage: RecordingStorage;
  /** What the repository held after step n, checkpoints left out; 0 is before the first. */
  states: Archives[];
  steps: Step[];
  /** Passphrase after step n. */
  passphrases: string[];
}

export const finished = (all: Archives): Archives =>
  new Map([...all].filter(([n]) => !n.includes(".checkpoint")));
export const same = (a: Archives, b: Archives): boolean =>
  a.size === b.size && [...a].every(([n, d]) => b.get(n) === d);

/** Lives the steps through, recorded. */
export async function live(steps: Step[]): Promise<Life> {
  const disk = emptyDisk();
  const storage = new RecordingStorage(disk, BASE);
  const world = new World(BASE, OLD, storage);
  const states: Archives[] = [new Map()];
  const passphrases = [OLD];
  for (const { run } of steps) {
    storage.mark(`begin ${states.length}`);
    await run(world);
    storage.mark(`done ${states.length}`);
    // Looked at on a copy: not part of the record.
    states.push(finished(await worldOn(disk.clone(), world.passphrase).archives()));
    passphrases.push(world.passphrase);
  }
  return { storage, states, steps, passphrases };
}

/** Which step had begun and which was done when a crash came behind `count` operations. */
export function stateAt({ storage }: Life, count: number): { begun: number; done: number } {
  let begun = 0;
  let done = 0;
  for (let i = 0; i < count; i++) {
    const o = storage.operations[i]!;
    if (o.kind !== "mark") continue;
    const [what, n] = o.label.split(" ");
    if (what === "begin") begun = Number(n);
    else done = Number(n);
  }
  return { begun, done };
}

/** The process that held the locks is gone, in a simulation; but it is we who would be asked. */
export function removeLocks(disk: Disk): void {
  for (const path of [...disk.entries.keys()])
    if (/\/lock\.(exclusive|roster)(\/|$)/.test(path)) disk.entries.delete(path);
}
