// Signals and streams of a real process: an interrupted command ends soon with 128 + the signal's number and leaves no
// lock; a reader that goes away is no error; questions are read from standard input, line by line.
import { spawn, spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { alcoveCommand } from "../support/programs.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
const dir = mkdtempSync(join(tmpdir(), "alcove-signals-"));
const repo = join(dir, "repo");
// Node 20 needs help with TypeScript; newer ones read it by themselves.
const runner = [process.execPath, "--import", "tsx", "--no-warnings", join(root, "cli/main.ts")];
const env = {
  ...process.env,
  BORG_BASE_DIR: join(dir, "base"),
  BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK: "yes",
};

function run(args: readonly string[], input = "") {
  return spawnSync(runner[0]!, [...runner.slice(1), ...args], {
    env,
    cwd: root,
    input,
    encoding: "utf8",
    timeout: 60_000,
  });
}

beforeAll(() => {
  expect(spawnSync("/usr/bin/borg", ["init", "-e", "none", repo], { env }).status).toBe(0);
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

/** Starts with-lock on a program that says it runs and then waits, sends a signal, and gives what happened. */
async function interrupted(signal: NodeJS.Signals): Promise<{ code: number | null; stderr: string }> {
  const child = spawn(
    runner[0]!,
    [...runner.slice(1), "--log-json", "with-lock", repo, "sh", "-c", "echo started; exec sleep 60"],
    { env, cwd: root, stdio: ["ignore", "pipe", "pipe"] },
  );
  let stderr = "";
  child.stderr.on("data", (d) => {
    stderr += d;
  });
  await new Promise<void>((resolve) => child.stdout.once("data", () => resolve()));
  expect(existsSync(join(repo, "lock.exclusive"))).toBe(true);
  child.kill(signal);
  const code = await new Promise<number | null>((resolve) => child.on("close", resolve));
  return { code, stderr };
}

describe("signals", () => {
  for (const [signal, code, msgid] of [
    ["SIGINT", 130, undefined],
    ["SIGTERM", 143, "Signal.SIGTERM"],
    ["SIGHUP", 129, "Signal.SIGHUP"],
  ] as const) {
    it(`${signal} ends with ${code} and leaves no lock`, async () => {
      const result = await interrupted(signal);
      expect(result.code).toBe(code);
      const record = JSON.parse(result.stderr.trim().split("\n").at(-1)!);
      expect(record).toMatchObject({ type: "log_message", levelname: "ERROR" });
      expect(record.msgid).toBe(msgid);
      expect(readdirSync(repo).filter((n) => n.startsWith("lock"))).toEqual([]);
    });
  }
});

describe("a backup that waits for a fifo", () => {
  const tree = join(dir, "fifos");
  beforeAll(() => {
    mkdirSync(tree);
    expect(spawnSync("mkfifo", [join(tree, "fifo")]).status).toBe(0);
  });

  it.each([
    ["node26", "SIGINT", {}],
    ["node26", "SIGTERM", {}],
    ["node24", "SIGTERM", { ALCOVE_FFI: "none" }],
    ["deno", "SIGTERM", {}],
    ["bun", "SIGTERM", {}],
  ] as const)("on %s ends by %s %o and leaves no lock", { timeout: 60_000 }, async (on, signal, more) => {
    const [program, ...words] = alcoveCommand(on);
    const child = spawn(program!, [...words, "create", "--read-special", `${repo}::fifo-${on}`, "fifos"], {
      env: { ...env, ...more },
      cwd: dir,
      stdio: ["ignore", "ignore", "pipe"],
    });
    let stderr = "";
    child.stderr.on("data", (d) => {
      stderr += d;
    });
    const ended = new Promise<[number | null, string | null]>((resolve) => {
      child.on("close", (code, by) => resolve([code, by]));
    });
    for (let i = 0; i < 100 && !existsSync(join(repo, "lock.exclusive")); i++)
      await new Promise((resolve) => setTimeout(resolve, 50));
    // What it waits for from then on never comes.
    await new Promise((resolve) => setTimeout(resolve, 1000));
    child.kill(signal);
    const number = signal === "SIGINT" ? 2 : 15;
    // Where there is no C library at hand the signal ends it.
    expect(await ended).toEqual("ALCOVE_FFI" in more ? [null, signal] : [128 + number, null]);
    expect(stderr).toMatch(/Keyboard interrupt|Received SIGTERM/);
    expect(readdirSync(repo).filter((n) => n.startsWith("lock"))).toEqual([]);
  });
});

describe("an interrupted backup", () => {
  // Two files of 3 MB come, then the program that names them waits: what is interrupted is neither at its beginning
  // nor at its end.
  async function backup(signal: NodeJS.Signals): Promise<number | null> {
    for (const name of ["one", "two"]) writeFileSync(join(dir, name), randomBytes(3_000_000));
    const names = `echo ${dir}/one; echo ${dir}/two; sleep 1; i=0; while :; do i=$((i+1)); echo ${dir}/no$i; sleep 0.05; done`;
    const child = spawn(
      runner[0]!,
      [
        ...runner.slice(1),
        "create",
        "--list",
        "--paths-from-command",
        `${repo}::kept`,
        "--",
        "sh",
        "-c",
        names,
      ],
      { env: { ...env, ALCOVE_WORKERS: "0" }, cwd: root, stdio: ["ignore", "ignore", "pipe"] },
    );
    let stderr = "";
    let sent = false;
    child.stderr.on("data", (d) => {
      stderr += d;
      // The first name that does not exist comes after both files.
      if (sent || !stderr.includes("no20")) return;
      sent = true;
      child.kill(signal);
    });
    return new Promise((resolve) => child.on("close", resolve));
  }
  const names = (): string =>
    spawnSync("/usr/bin/borg", ["list", "--consider-checkpoints", "--short", repo], { env, encoding: "utf8" })
      .stdout;

  it("keeps a checkpoint after SIGINT, and borg finds nothing wrong", async () => {
    expect(await backup("SIGINT")).toBe(130);
    expect(names()).toContain("kept.checkpoint");
    const checked = spawnSync("/usr/bin/borg", ["check", "--verify-data", repo], { env, encoding: "utf8" });
    expect(checked).toMatchObject({ status: 0 });
    const listed = spawnSync("/usr/bin/borg", ["list", "--short", `${repo}::kept.checkpoint`], {
      env,
      encoding: "utf8",
    });
    expect(listed.stdout).toMatch(/one\n.*two/s);
    expect(run(["delete", `${repo}::kept.checkpoint`]).status).toBe(0);
  });
  it("is rolled back after SIGTERM", async () => {
    expect(await backup("SIGTERM")).toBe(143);
    expect(names()).toBe("");
    expect(readdirSync(repo).filter((n) => n.startsWith("lock"))).toEqual([]);
  });
});

describe("streams", () => {
  it("a reader that goes away is no error", () => {
    const command = `${runner.map((w) => `'${w}'`).join(" ")} completions man | head -1`;
    const result = spawnSync("bash", ["-c", `set -o pipefail; ${command}`], {
      env,
      cwd: root,
      encoding: "utf8",
    });
    expect(result).toMatchObject({ status: 0, stderr: "" });
    expect(result.stdout).toMatch(/^\.TH ALCOVE/);
  });
  it("an answer on standard input is taken, YES only where YES is asked for", () => {
    const no = run(["delete", repo], "yes\n");
    expect(no.status).toBe(2);
    expect(no.stderr).toMatch(/Invalid answer, aborting/);
    expect(existsSync(repo)).toBe(true);
  });
  it("what cannot be understood is a usage error, and nothing shows a stack trace", () => {
    writeFileSync(join(dir, "file"), "");
    for (const args of [
      ["create", "--nope"],
      ["--log-json", "list", join(dir, "file")],
      ["list", join(dir, "absent")],
    ]) {
      const result = run(args);
      expect(result.status).toBe(2);
      expect(result.stdout).toBe("");
      expect(result.stderr).not.toMatch(/^ {4}at /m);
    }
  });
});
