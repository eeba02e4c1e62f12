// The system calls around the repository, by node:fs and by FFI: reading a source, and writing what is extracted. Each of
// them fails once (EIO, EACCES, EMFILE, ENOSPC, EROFS): what could not be read or written is told, everything else is
// whole. And a whole life with reads and writes that transfer less than they were asked to. ALCOVE_LONG=1: every call.
import { spawnSync } from "node:child_process";
import {
  appendFileSync,
  chmodSync,
  fstatSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it, vi } from "vitest";
import { AlcoveError, type AlcoveWarning } from "../../src/errors.ts";
import { randomBytes } from "../support/tree.ts";
import { emptyDisk, makeSources, OLD, same, wholeLife, worldOn } from "./life.ts";
import { seeded } from "./seeded.ts";
import { faults, hookLibc } from "./system-calls.ts";
import { digestOfTree, World } from "./world.ts";

vi.mock("node:fs", async (original) => {
  const { hookedFs } = await import("./system-calls.ts");
  return hookedFs(await original<typeof import("node:fs")>());
});

const LONG = process.env["ALCOVE_LONG"] === "1";
const SEED = Number(process.env["ALCOVE_FUZZ_SEED"] ?? 20260101);
const SAMPLE = LONG ? Number.POSITIVE_INFINITY : 120;

let dir: string;
let source: string;
beforeAll(() => {
  hookLibc();
  dir = mkdtempSync(join(tmpdir(), "alcove-calls-"));
  source = join(dir, "source");
  mkdirSync(join(source, "sub", "deep"), { recursive: true });
  for (let i = 0; i < 6; i++) writeFileSync(join(source, `file${i}`), randomBytes(i * 5000, i));
  writeFileSync(join(source, "sub", "large"), randomBytes(300_000, 77));
  writeFileSync(join(source, "sub", "deep", "leaf"), "leaf");
  symlinkSync("file1", join(source, "link"));
  chmodSync(join(source, "file2"), 0o640);
});
afterAll(() => {
  faults.before = undefined;
  rmSync(dir, { recursive: true, force: true });
});

/** Runs `work` with its n-th system call failing. */
async function failing<T>(at: number, code: string, work: () => Promise<T>) {
  let n = 0;
  let call: string | undefined;
  faults.before = (name) => {
    if (n++ !== at) return undefined;
    call = name;
    return code;
  };
  try {
    return { value: await work(), call, error: undefined };
  } catch (error) {
    return { value: undefined, call, error };
  } finally {
    faults.before = undefined;
  }
}

async function count(work: () => Promise<unknown>): Promise<number> {
  let n = 0;
  faults.before = () => {
    n++;
    return undefined;
  };
  try {
    await work();
  } finally {
    faults.before = undefined;
  }
  return n;
}

/** Some of the numbers below n, or all. */
function chosen(n: number, seed: number): number[] {
  const all = Array.from({ length: n }, (_, i) => i);
  const random = seeded(SEED + seed);
  const some: number[] = [];
  while (all.length > 0 && some.length < SAMPLE) some.push(all.splice(random.below(all.length), 1)[0]!);
  return some;
}

const isKnown = (e: unknown, code: string) =>
  e instanceof AlcoveError || (e as NodeJS.ErrnoException)?.code === code;

it("any system call of reading a source may fail", { timeout: LONG ? 1_800_000 : 240_000 }, async () => {
  const disk = emptyDisk();
  const world = worldOn(disk);
  await world.make(1_000_000, 100);
  await world.init("none");
  const total = await count(() => worldOn(disk.clone()).create("counted", [source]));
  expect(total).toBeGreaterThan(50);
  const random = seeded(SEED);
  let told = 0;
  for (const at of chosen(total, 1)) {
    const code = random.pick(["EIO", "EACCES", "EMFILE", "ENOENT"]);
    const there = worldOn(disk.clone());
    const warnings: AlcoveWarning[] = [];
    const { call, error } = await failing(at, code, () =>
      there.create("a", [source], { onWarning: (w) => warnings.push(w) }),
    );
    const where = `call ${at} of ${total}, ${call}: ${code}`;
    if (error) {
      expect(isKnown(error, code), `${where}\n${(error as Error).stack}`).toBe(true);
      expect((await there.archives()).size, where).toBe(0);
      continue;
    }
    if (warnings.length > 0) told++;
    // What is in the archive is what is on the disk; what is not there was told about, or its directory was.
    const out = join(dir, "out");
    mkdirSync(out);
    await there.extract("a", out, (w) => {
      throw w;
    });
    const missing = differences(source, join(out, source), where);
    for (const path of missing)
      expect(
        warnings.some((w) => path.startsWith(String(w.args[0])) || String(w.args[0]).startsWith(path)),
        `${where}: ${path} is missing untold; told: ${warnings.map((w) => w.message)}`,
      ).toBe(true);
    rmSync(out, { recursive: true });
  }
  expect(told).toBeGreaterThan(5);
});

/** Paths of the first that are not in the second; whatever is there has to be equal. */
function differences(a: string, b: string, where: string): string[] {
  const missing: string[] = [];
  const visit = (path: string) => {
    const [from, to] = [join(a, path), join(b, path)];
    const st = lstatSync(from);
    const other = lstatSync(to, { throwIfNoEntry: false });
    if (!other) {
      missing.push(from);
      return;
    }
    if (st.isFile()) expect(readFileSync(to).equals(readFileSync(from)), `${where}: ${path}`).toBe(true);
    if (st.isDirectory()) for (const name of readdirSync(from)) visit(join(path, name));
  };
  visit("");
  return missing;
}

it("any system call of extracting may fail", { timeout: LONG ? 1_800_000 : 240_000 }, async () => {
  const world = worldOn(emptyDisk());
  await world.make(1_000_000, 100);
  await world.init("none");
  await world.create("a", [source]);
  const out = join(dir, "extracted");
  const fresh = () => {
    rmSync(out, { recursive: true, force: true });
    mkdirSync(out);
  };
  fresh();
  const total = await count(() => world.extract("a", out, () => {}));
  expect(total).toBeGreaterThan(50);
  const random = seeded(SEED);
  let told = 0;
  for (const at of chosen(total, 2)) {
    const code = random.pick(["EIO", "ENOSPC", "EROFS", "EACCES", "EMFILE"]);
    fresh();
    const warnings: AlcoveWarning[] = [];
    const { call, error } = await failing(at, code, () => world.extract("a", out, (w) => warnings.push(w)));
    const where = `call ${at} of ${total}, ${call}: ${code}`;
    if (error) {
      expect(isKnown(error, code), `${where}\n${(error as Error).stack}`).toBe(true);
      told++;
      continue;
    }
    if (warnings.length > 0) told++;
    for (const path of differences(source, join(out, source), where))
      expect(
        warnings.some((w) => path.includes(String(w.args[0]))),
        `${where}: ${path} is missing untold; told: ${warnings.map((w) => w.message)}`,
      ).toBe(true);
  }
  expect(told).toBeGreaterThan(20);
});

it.each(["shrinks", "grows", "is written over", "vanishes", "becomes a FIFO", "is replaced"])(
  "a source that %s while it is read",
  async (what) => {
    const place = join(dir, "changing");
    rmSync(place, { recursive: true, force: true });
    mkdirSync(place);
    for (const name of ["a", "c"]) writeFileSync(join(place, name), randomBytes(20_000, 5));
    const victim = join(place, "b");
    // More than is read in one go.
    writeFileSync(victim, randomBytes(9_000_000, 3));
    const world = worldOn(emptyDisk());
    await world.make(20_000_000, 100);
    await world.init("none");
    let reads = 0;
    faults.before = (call, [fd]) => {
      if (!["read", "readSync"].includes(call) || fstatSync(fd as number).size !== 9_000_000 || ++reads !== 2)
        return undefined;
      faults.before = undefined;
      if (what === "shrinks") truncateSync(victim, 100_000);
      else if (what === "grows") appendFileSync(victim, randomBytes(3_000_000, 4));
      else if (what === "is written over") writeFileSync(victim, randomBytes(9_000_000, 8));
      else rmSync(victim);
      if (what === "becomes a FIFO") spawnSync("mkfifo", [victim]);
      if (what === "is replaced") writeFileSync(victim, "another file");
      return undefined;
    };
    const warnings: AlcoveWarning[] = [];
    try {
      await world.create("a", [place], { onWarning: (w) => warnings.push(w) });
    } finally {
      faults.before = undefined;
    }
    expect(reads).toBe(2);
    // What was open stays readable; that it changed meanwhile is told.
    expect(warnings.map((w) => w.message)).toEqual([`${victim}: file changed while we backed it up`]);
    const { archives, errors } = await world.inspect();
    expect([...archives.keys()]).toEqual(["a"]);
    expect(errors).toEqual([]);
    const out = join(dir, "changed");
    rmSync(out, { recursive: true, force: true });
    mkdirSync(out);
    // The size in the item and that of its chunks agree, or extraction would warn.
    await world.extract("a", out, (w) => {
      throw w;
    });
    const got = lstatSync(join(out, victim)).size;
    if (what === "shrinks") expect(got).toBeLessThan(9_000_000);
    if (what === "grows") expect(got).toBe(12_000_000);
    if (["vanishes", "becomes a FIFO", "is replaced", "is written over"].includes(what))
      expect(got).toBe(9_000_000);
    for (const name of ["a", "c"])
      expect(readFileSync(join(out, place, name)).equals(readFileSync(join(place, name)))).toBe(true);
  },
);

it("reads and writes that transfer less than asked", { timeout: 240_000 }, async () => {
  const base = join(dir, "short");
  mkdirSync(base);
  const sources = makeSources(join(dir, "short-sources"));
  const random = seeded(SEED);
  let short = 0;
  faults.transfer = (bytes) => {
    short++;
    return random.pick([1, 1 + random.below(bytes), 1 + random.below(Math.min(bytes, 64)), bytes]);
  };
  try {
    const world = new World(base, OLD);
    for (const { run } of wholeLife("repokey", sources)) await run(world);
    const { archives, errors } = await world.inspect();
    expect(errors).toEqual([]);
    expect([...archives.keys()].sort()).toEqual(["fourth", "recreated", "third"]);
    await world.open(async ({ repository }) => expect(await repository.check()).toBe(true));
    const out = join(dir, "short-out");
    mkdirSync(out);
    await world.extract("fourth", out, (w) => {
      throw w;
    });
    expect(differences(sources[0], join(out, sources[0]), "short")).toEqual([]);
    faults.transfer = undefined;
    expect(same(await world.archives(), archives)).toBe(true);
    const root = sources[0].slice(1);
    expect(digestOfTree(out, root)).toBe(archives.get("fourth"));
  } finally {
    faults.transfer = undefined;
  }
  expect(short).toBeGreaterThan(1000);
});
