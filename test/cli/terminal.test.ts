// Names that hold control characters: on a terminal they are shown as escapes, wherever a name appears (lists, diff,
// info, progress, messages); what is piped stays as it is, byte for byte.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { MemoryStream } from "../../cli/output/stream.ts";
import { runCommandLine } from "../../cli/run.ts";

const dir = mkdtempSync(join(tmpdir(), "alcove-terminal-"));
const repo = join(dir, "repo");
/** Sets a terminal's title, and turns its text red. */
const EVIL = "ev\u001b]0;title\u0007\u001b[31mil";
const env = {
  ALCOVE_WORKERS: "0",
  HOME: dir,
  NO_COLOR: "1",
  BORG_BASE_DIR: join(dir, "base"),
  BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK: "yes",
};

async function run(args: readonly string[], tty: boolean) {
  const [stdout, stderr] = [new MemoryStream(tty, 100), new MemoryStream(tty, 100)];
  const code = await runCommandLine(args, {
    program: { name: "alcove", version: "0" },
    env,
    stdout,
    stderr,
    signal: new AbortController().signal,
  });
  return { code, stdout: stdout.text, stderr: stderr.text };
}

beforeAll(async () => {
  process.chdir(dir);
  mkdirSync("src");
  writeFileSync(join("src", EVIL), "one");
  writeFileSync(join("src", "new\nline"), "x");
  expect((await run(["init", "-e", "none", repo], false)).code).toBe(0);
  expect((await run(["create", "--comment", EVIL, `${repo}::${EVIL}`, "src"], false)).code).toBe(0);
  writeFileSync(join("src", EVIL), "another content");
  expect((await run(["create", `${repo}::b`, "src"], false)).code).toBe(0);
});
afterAll(() => {
  process.chdir("/");
  rmSync(dir, { recursive: true, force: true });
});

describe("a name that would steer the terminal", () => {
  const lines: [string, string[]][] = [
    ["list of archives", ["list", repo]],
    ["list with a format", ["list", "--format", "{archive} {comment}{NL}", repo]],
    ["list of items", ["list", `${repo}::b`]],
    ["info", ["info", `${repo}::${EVIL}`]],
    ["diff", ["diff", `${repo}::${EVIL}`, "b"]],
    [
      "create with a list and progress",
      ["create", "--list", "--progress", "--stats", `${repo}::${EVIL}2`, "src"],
    ],
    ["extract with a list and progress", ["extract", "-n", "--list", "--progress", `${repo}::b`]],
    ["prune", ["prune", "-n", "--list", "--keep-last", "1", repo]],
    ["check", ["check", "-v", "--progress", repo]],
    ["an error that names it", ["list", `${repo}::no${EVIL}`]],
    ["a usage error that names it", ["list", `--${EVIL}`, repo]],
  ];
  for (const [what, args] of lines) {
    it(what, async () => {
      const shown = await run(args, true);
      const text = shown.stdout + shown.stderr;
      expect(text).toMatch(/ev\\x1b\]0;title\\x07\\x1b\[31mil/);
      // The progress line is the only one that moves the cursor, and only to the start of its line.
      expect(text).not.toMatch(/[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]/);
    });
  }
  it("stays as it is where no terminal reads", async () => {
    expect((await run(["list", "--short", `${repo}::b`], false)).stdout).toContain(`src/${EVIL}\n`);
    expect((await run(["list", "--short", repo], false)).stdout).toContain(`${EVIL}\n`);
    expect((await run(["diff", `${repo}::${EVIL}`, "b"], false)).stdout).toContain(`src/${EVIL}\n`);
    expect((await run(["info", `${repo}::${EVIL}`], false)).stdout).toContain(`Archive name: ${EVIL}\n`);
  });
});
