// Two programs at one repository: alcove and borg create, prune, compact and check at the same time, each waiting for the
// other's lock. Whatever was reported done is there. And locks that are stale, foreign or half written.
// ALCOVE_LONG=1: three minutes instead of some seconds.
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { alcoveCommand, Sandbox } from "../support/programs.ts";
import { randomBytes } from "../support/tree.ts";

const SECONDS = process.env["ALCOVE_LONG"] === "1" ? 180 : 12;

const box = new Sandbox();
afterAll(() => box.remove());

function run(command: readonly string[], args: string[]): Promise<{ code: number | null; output: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn(command[0]!, [...command.slice(1), ...args], {
      cwd: box.dir,
      env: box.env as NodeJS.ProcessEnv,
      stdio: ["ignore", "pipe", "pipe"],
      timeout: 100_000,
      killSignal: "SIGKILL",
    });
    let output = "";
    for (const stream of [child.stdout, child.stderr])
      stream.on("data", (d) => {
        output += d;
      });
    child.on("error", reject);
    child.on("close", (code) => resolve({ code, output }));
  });
}

it("take turns by their locks, and nothing is lost", { timeout: (SECONDS + 240) * 1000 }, async () => {
  const programs = { alcove: alcoveCommand(), borg: ["borg"] };
  const wait = ["--lock-wait", "90"];
  box.ok(box.alcove(["init", "-e", "repokey", "repo"]));
  const end = Date.now() + SECONDS * 1000;
  const kept: string[] = [];
  let turns = 0;
  const worker = async (name: keyof typeof programs, delay: number) => {
    await new Promise((r) => setTimeout(r, delay));
    const src = `src-${name}`;
    mkdirSync(box.path(src));
    for (let n = 0; Date.now() < end || n < 4; n++) {
      for (let i = 0; i < 5; i++)
        writeFileSync(box.path(src, `${i}`), randomBytes(40_000, n * 10 + i + name.length));
      // --keep-last keeps one archive a second: two of the same second would be one to it.
      await new Promise((r) => setTimeout(r, 1050 - (Date.now() % 1000)));
      const archive = `${name}-${n}`;
      const steps = [
        ["create", ...wait, `repo::${archive}`, src],
        ["prune", ...wait, "--keep-last", "2", "--glob-archives", `${name}-*`, "repo"],
        n % 2 === 0 ? ["compact", ...wait, "repo"] : ["check", ...wait, "repo"],
      ];
      for (const args of steps) {
        const { code, output } = await run(programs[name], args);
        if (code !== 0) throw new Error(`${name} ${args.join(" ")}: ${code}\n${output}`);
        turns++;
      }
      kept.push(archive);
    }
  };
  await Promise.all([worker("alcove", 0), worker("borg", 100)]);
  expect(turns).toBeGreaterThan(12);
  const expected = ["alcove", "borg"].flatMap((p) => kept.filter((n) => n.startsWith(p)).slice(-2));
  const names = box
    .ok(box.borg(["list", "--short", "repo"]))
    .stdout.trim()
    .split("\n");
  expect(names.sort()).toEqual(expected.sort());
  box.ok(box.borg(["check", "--verify-data", "repo"]));
  for (const name of names) box.ok(box.alcove(["extract", "--dry-run", `repo::${name}`]));
  expect(readdirSync(box.path("repo")).filter((n) => n.startsWith("lock"))).toEqual([]);
});

describe("locks left behind", () => {
  const lock = () => box.path("locks", "lock.exclusive");
  const roster = () => box.path("locks", "lock.roster");
  const prepare = () => {
    if (!existsSync(box.path("locks"))) box.ok(box.alcove(["init", "-e", "none", "locks"]));
    box.ok(box.alcove(["break-lock", "locks"]));
  };
  const create = (name: string) =>
    box.alcove(["create", "--lock-wait", "1", `locks::${name}`, "locks/README"]);

  it("a stale one of this host is taken over, exclusive or shared", () => {
    prepare();
    // What this machine's host id is shows the lock of a process that was killed.
    const own = box.run([
      "/usr/bin/python3",
      "-c",
      "from borg.platform import get_process_id; print(get_process_id()[0])",
    ]);
    const host = own.stdout.trim();
    mkdirSync(lock());
    writeFileSync(join(lock(), `${host}.999999-0`), "");
    writeFileSync(roster(), JSON.stringify({ exclusive: [[host, 999999, 0]], shared: [[host, 999998, 0]] }));
    box.ok(create("stale"));
    expect(readdirSync(box.path("locks")).filter((n) => n.startsWith("lock"))).toEqual([]);
  });

  it("a foreign one is respected, and named", () => {
    prepare();
    mkdirSync(lock());
    writeFileSync(join(lock(), "elsewhere@42.17-0"), "");
    const r = create("foreign");
    expect(r.code).not.toBe(0);
    expect(r.stderr).toContain("elsewhere@42");
    expect(readdirSync(lock())).toEqual(["elsewhere@42.17-0"]);
    box.ok(box.alcove(["break-lock", "locks"]));
    box.ok(create("foreign-broken"));
  });

  it("a foreign reader keeps writers out, and other readers not", () => {
    prepare();
    writeFileSync(roster(), JSON.stringify({ shared: [["elsewhere@42", 17, 0]] }));
    expect(create("read").code).not.toBe(0);
    box.ok(box.alcove(["list", "locks"]));
  });

  it.each([
    ["an empty directory", () => mkdirSync(lock())],
    ["an empty roster", () => writeFileSync(roster(), "")],
    ["half a roster", () => writeFileSync(roster(), '{"exclusive": [["ho')],
    ["a roster of something else", () => writeFileSync(roster(), '[1, {"shared": 7}]')],
  ])("half written: %s", (what, make) => {
    prepare();
    make();
    box.ok(create(`half-${what.replaceAll(" ", "-")}`));
    box.ok(box.borg(["list", "locks"]));
  });

  it("a name that is no process is respected", () => {
    prepare();
    mkdirSync(lock());
    writeFileSync(join(lock(), "strange"), "");
    expect(create("strange").code).not.toBe(0);
    expect(readdirSync(lock())).toEqual(["strange"]);
  });
});
