// The built program killed with -9 at random moments: create, prune, compact, extract and the server of a create. After
// each, every archive that was there before is there to the last byte, a new one is whole or not there at all, and the
// next command works without anybody's help (the dead process's locks are recognised as stale).
// ALCOVE_LONG=1: until 300 commands were really killed, instead of 36 runs. ALCOVE_FUZZ_SEED repeats a run.
import { spawn } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { alcoveCommand, Sandbox } from "../support/programs.ts";
import { randomBytes } from "../support/tree.ts";
import { seeded } from "./seeded.ts";
import { type Archives, digestOfTree, World } from "./world.ts";

const LONG = process.env["ALCOVE_LONG"] === "1";
const RUNS = LONG ? 300 : 36;
const SEED = Number(process.env["ALCOVE_FUZZ_SEED"] ?? 20260101);

const box = new Sandbox();
const repository = box.path("base", "repo");
let world: World;
let env: Record<string, string>;

beforeAll(() => {
  mkdirSync(box.path("base"));
  world = new World(box.path("base"), "correct horse");
  env = world.env;
  for (const [i, name] of ["a", "b"].entries()) {
    mkdirSync(box.path(name, "many"), { recursive: true });
    writeFileSync(box.path(name, "large"), randomBytes(6_000_000, i + 1));
    for (let n = 0; n < 200; n++)
      writeFileSync(box.path(name, "many", `${n}`), randomBytes(n * 50, i * 1000 + n));
  }
  // Instead of ssh: the server on this machine, which says who it is so that it can be killed.
  const [node, program] = alcoveCommand();
  writeFileSync(
    box.path("rsh"),
    `#!/bin/sh\necho $$ > ${box.path("server.pid")}\nexec "${node}" "${program}" serve\n`,
  );
  chmodSync(box.path("rsh"), 0o755);
  box.ok(box.alcove(["init", "-e", "repokey", repository], { env }));
  const config = join(repository, "config");
  const text = readFileSync(config, "utf8");
  writeFileSync(config, text.replace(/max_segment_size = .*/, "max_segment_size = 700000"));
});
afterAll(() => box.remove());

interface Ended {
  code: number | null;
  stderr: string;
}

/** Runs a command and kills it, or whoever `victim` finds, after some milliseconds. */
function runAndKill(args: string[], after: number, victim?: () => number | undefined): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const [command, ...rest] = [...alcoveCommand(), ...args];
    const child = spawn(command!, rest, {
      cwd: box.dir,
      env: { ...box.env, ...env } as NodeJS.ProcessEnv,
      stdio: ["ignore", "ignore", "pipe"],
    });
    let stderr = "";
    child.stderr.on("data", (d) => {
      stderr += d;
    });
    const timer = setTimeout(() => {
      const pid = victim ? victim() : child.pid;
      if (pid === undefined) return;
      try {
        process.kill(pid, "SIGKILL");
      } catch (e) {
        if ((e as NodeJS.ErrnoException).code !== "ESRCH") reject(e);
      }
    }, after);
    const limit = setTimeout(() => child.kill("SIGKILL"), 60_000);
    child.on("error", reject);
    child.on("close", (code) => {
      clearTimeout(timer);
      clearTimeout(limit);
      resolve({ code, stderr });
    });
  });
}

it(`survives ${RUNS} kills`, { timeout: RUNS * 60_000 }, async () => {
  const random = seeded(SEED);
  const digests = new Map<string, string>();
  for (const name of ["a", "b"]) {
    digests.set(`${name}-0`, digestOfTree(box.dir, name));
    box.ok(box.alcove(["create", `${repository}::${name}-0`, name], { env }));
  }
  let known: Archives = await world.archives();
  let killed = 0;
  const pace = { create: 250, prune: 200, compact: 200, extract: 200, serve: 400 };
  // A fast machine ends some commands before they are killed: more are started until enough were hit at work.
  const enough = LONG ? RUNS : RUNS / 3;
  for (let run = 1; run <= RUNS || (killed <= enough && run <= RUNS * 4); run++) {
    const kind = random.pick(["create", "create", "prune", "compact", "extract", "serve"] as const);
    const source = random.pick(["a", "b"]);
    const after = 60 + random.below(pace[kind]);
    const where = `run ${run}: ${kind}, killed after ${after} ms`;
    // Something new to store, prune and compact.
    writeFileSync(box.path(source, "changing"), random.bytes(1_000_000));
    digests.set(`${source}-${run}`, digestOfTree(box.dir, source));
    const started = performance.now();
    let ended: Ended;
    let removable: (name: string) => boolean = () => false;
    if (kind === "create") {
      const workers = random.pick(["0", "1", "2"]);
      ended = await runAndKill(
        ["create", "--workers", workers, `${repository}::${source}-${run}`, source],
        after,
      );
    } else if (kind === "prune") {
      removable = (name) => name.startsWith("a-");
      ended = await runAndKill(["prune", "--keep-last", "1", "--glob-archives", "a-*", repository], after);
    } else if (kind === "compact")
      ended = await runAndKill(["compact", "--threshold", "0", repository], after);
    else if (kind === "extract") {
      mkdirSync(box.path("out"), { recursive: true });
      const name = [...known.keys()].at(-1)!;
      ended = await runAndKill(["extract", `${repository}::${name}`], after);
    } else {
      rmSync(box.path("server.pid"), { force: true });
      ended = await runAndKill(
        ["create", "--rsh", box.path("rsh"), `ssh://host${repository}::${source}-${run}`, source],
        after,
        () =>
          existsSync(box.path("server.pid"))
            ? Number(readFileSync(box.path("server.pid"), "utf8")) || undefined
            : undefined,
      );
      expect(ended.stderr, where).not.toMatch(/^\s+at .*:\d+:\d+/m);
    }
    const took = performance.now() - started;
    if (ended.code === null || (kind === "serve" && ended.code !== 0)) killed++;
    // Kept near the time such a command takes, so that most are hit at work.
    if (ended.code === 0) pace[kind] = Math.max(60, (pace[kind] + took) / 2);
    else pace[kind] += 40;
    if (ended.code !== null && kind !== "serve") expect(ended.code, `${where}\n${ended.stderr}`).toBe(0);
    const found = await world.archives();
    for (const [name, digest] of known) {
      if (!found.has(name) && removable(name)) continue;
      expect(found.get(name), `${where}: ${name}`).toBe(digest);
    }
    for (const [name, digest] of found) expect(digest, `${where}: ${name}`).toBe(digests.get(name));
    expect(
      [...found.keys()].some((n) => n.startsWith("a-")),
      where,
    ).toBe(true);
    known = found;
  }
  console.info(`${killed} commands killed`);
  expect(killed).toBeGreaterThan(enough);
  expect(await world.cacheErrors()).toEqual([]);
  box.ok(box.alcove(["create", `${repository}::a-last`, "a"], { env }));
  box.ok(box.borg(["check", "--verify-data", repository], { env }));
  box.ok(box.borg(["create", `${repository}::b-borg`, "b"], { env }));
  expect((await world.archives()).get("b-borg")).toBe(digestOfTree(box.dir, "b"));
  // No lock is held, no half-written file is left. What a kill left of preparing a lock (borg leaves the same) is in
  // nobody's way.
  const left = readdirSync(repository).filter((n) => !n.startsWith("lock.exclusive."));
  expect(left.filter((n) => n.startsWith("lock") || n.endsWith(".tmp"))).toEqual([]);
});
