// A command line from text to exit code, without a process of its own: version and help, usage errors, values,
// exit codes in both modes, --show-rc, and the rules for collecting warnings.
import { describe, expect, it } from "vitest";
import { classify, ExitStatus } from "../../../cli/exit.ts";
import { MemoryStream } from "../../../cli/output/stream.ts";
import { parse } from "../../../cli/parse.ts";
import { runCommandLine } from "../../../cli/run.ts";
import { UsageError } from "../../../cli/usage.ts";
import { resolve } from "../../../cli/values.ts";
import { BackupOSError, BackupPermissionError, FileChangedWarning } from "../../../src/errors.ts";

async function run(argv: string[], options: { name?: string; env?: Record<string, string> } = {}) {
  const stdout = new MemoryStream();
  const stderr = new MemoryStream();
  const code = await runCommandLine(argv, {
    program: { name: options.name ?? "alcove", version: "9.8.7" },
    env: options.env ?? {},
    stdout,
    stderr,
    signal: new AbortController().signal,
  });
  return { code, stdout: stdout.text, stderr: stderr.text };
}
const args = (line: string | string[], env: Record<string, string> = {}) =>
  resolve(parse(typeof line === "string" ? line.split(" ") : line), env);
const problem = async (line: string | string[], env: Record<string, string> = {}): Promise<string> => {
  try {
    await args(line, env);
  } catch (e) {
    if (e instanceof UsageError) return e.message;
    throw e;
  }
  throw new Error("accepted");
};

describe("version and help", () => {
  it("says which version by the name it was called by", async () => {
    expect(await run(["--version"])).toMatchObject({ code: 0, stdout: "alcove 9.8.7 (borg 1.4.5)\n" });
    expect(await run(["--version", "--log-json"], { name: "borg" })).toMatchObject({
      code: 0,
      stdout: "borg 1.4.5\n",
    });
  });
  it("shows one screen, no line longer than it", async () => {
    const { code, stdout } = await run([]);
    expect(code).toBe(0);
    const lines = stdout.trimEnd().split("\n");
    expect(lines.length).toBeLessThanOrEqual(34);
    for (const line of lines) expect(line.length).toBeLessThanOrEqual(80);
  });
  it("shows a command's options and examples, in parts too", async () => {
    const { stdout } = await run(["create", "--help"]);
    expect(stdout).toContain("--one-file-system");
    expect(stdout).toContain("alcove create --stats");
    const usage = await run(["help", "create", "--usage-only"]);
    expect(usage.stdout).toContain("--one-file-system");
    expect(usage.stdout).not.toContain("Examples");
    const epilog = await run(["help", "create", "--epilog-only"]);
    expect(epilog.stdout).toContain("Examples");
    expect(epilog.stdout).not.toContain("--one-file-system");
  });
  it("explains topics and groups, and lists both where asked for something else", async () => {
    for (const topic of ["patterns", "placeholders", "compression", "common", "key", "debug"]) {
      expect((await run(["help", topic])).stdout.length).toBeGreaterThan(200);
    }
    const { code, stderr } = await run(["help", "nothing"]);
    expect(code).toBe(2);
    expect(stderr).toContain("Topics: common, compression, patterns, placeholders");
  });
});

describe("usage errors", () => {
  it("are plain text with exit code 2 that names the option, --log-json or not", async () => {
    const { code, stdout, stderr } = await run(["--log-json", "prune", "--keep-daily", "x", "R"]);
    expect(code).toBe(2);
    expect(stdout).toBe("");
    expect(stderr.split("\n")[1]).toBe(
      "alcove prune: error: argument -d/--keep-daily: invalid int value: 'x'",
    );
    expect(stderr).not.toContain("    at ");
  });
  it("name what is wrong with each kind of value", async () => {
    expect(await problem("list --last 0 R")).toBe("argument --last: A positive integer is required: 0");
    expect(await problem("list --umask 99 R")).toMatch(/--umask: invalid octal value/);
    expect(await problem("init -e none --storage-quota 5M R")).toMatch(
      /--storage-quota: quota is too small \(5M\)/,
    );
    expect(await problem("init -e none --storage-quota 5X R")).toMatch(/--storage-quota:/);
    expect(await problem("prune --keep-within 5 R")).toMatch(/--keep-within:/);
    expect(await problem("create -C lz5 R::a p")).toMatch(/-C\/--compression:/);
    expect(await problem("create --chunker-params 1,2 R::a p")).toMatch(/--chunker-params:/);
    expect(await problem("create --files-cache ctime,mtime R::a p")).toMatch(
      /--files-cache: cache mode short/,
    );
    expect(await problem("create --timestamp yesterday R::a p")).toMatch(/--timestamp:/);
    expect(await problem("list --sort-by size R")).toMatch(/--sort-by: Invalid sort key: size/);
    expect(await problem("diff --sort-by bogus R::a b")).toMatch(/--sort-by: unsupported sort field: bogus/);
    expect(await problem("rename R::a b/c")).toMatch(/NEWNAME:/);
    expect(await problem(["list", "R::a", ""])).toMatch(/PATH: Empty strings are not accepted/);
  });
  it("check the location", async () => {
    expect(await problem("create R p")).toMatch(/ARCHIVE: "R": No archive specified/);
    expect(await problem("prune R::a")).toMatch(/REPOSITORY: "R::a": No archive can be specified/);
    expect(await problem("config ssh://h/r -l")).toMatch(/REPOSITORY:.*must be local/);
    expect(await problem("list")).toMatch(/REPOSITORY_OR_ARCHIVE: no repository given.*BORG_REPO/);
    expect((await args("list", { BORG_REPO: "/r" })).location.path).toBe("/r");
    expect((await args("list ::a", { BORG_REPO: "/r" })).location.archive).toBe("a");
  });
  it("check options against each other", async () => {
    expect(await problem("create --stats --quick-stats R::a p")).toMatch(/--stats and --quick-stats/);
    expect(await problem("create R::a")).toMatch(/Need at least one PATH/);
    expect(await problem("create --paths-from-stdin R::a p")).toMatch(/--paths-from-stdin/);
    expect(await problem("create --content-from-command R::a")).toMatch(/No command given/);
    expect(await problem("prune --bypass-lock R")).toMatch(/--bypass-lock is not allowed/);
    await args("create --patterns-from f R::a");
    await args("list --bypass-lock R");
  });
});

describe("values", () => {
  it("are converted", async () => {
    const a = await args("create --umask 022 -c 60 --timestamp 2020-01-02T03:04:05 --comment c R::a-{now} p");
    expect(a.number("umask")).toBe(0o22);
    expect(a.number("checkpoint-interval")).toBe(60);
    expect(a.location.archive).toMatch(/^a-2020-01-0[123]T\d\d:04:05$/);
    expect(a.text("files-cache")).toBe("ctime,size,inode");
    expect((await args("create --files-cache mtime,size R::a p")).text("files-cache")).toBe("mtime,size");
    expect((await args("prune --keep-within 2d R")).number("keep-within")).toBe(48);
    expect((await args("init -e none --storage-quota 1.5G R")).number("storage-quota")).toBe(1_500_000_000);
    expect((await args("prune --keep-daily=-1 R")).number("keep-daily")).toBe(-1);
  });
  it("defaults come from the table; a name the command does not know is a mistake", async () => {
    const a = await args("prune R");
    expect(a.number("keep-daily")).toBe(0);
    expect(a.number("lock-wait")).toBe(1);
    expect(a.given("lock-wait")).toBe(false);
    expect(() => a.text("comment")).toThrow(/no option comment/);
  });
  it("unknown placeholders keep their message id's exit code", async () => {
    expect((await run(["list", "R", "-a", "{nope}"])).code).toBe(2);
    expect((await run(["list", "R", "-a", "{nope}"], { env: { BORG_EXIT_CODES: "modern" } })).code).toBe(6);
  });
});

describe("exit codes", () => {
  it("are classified as Borg does", () => {
    expect([0, 1, 2, 3, 99, 100, 127, 128, 130].map(classify)).toEqual([
      "success",
      "warning",
      "error",
      "error",
      "error",
      "warning",
      "warning",
      "signal",
      "signal",
    ]);
  });
  it("one kind of warning gives its own code, several the general one; legacy mode always 1", () => {
    const modern = () => new ExitStatus({ BORG_EXIT_CODES: "modern" });
    const one = modern();
    one.warning(new FileChangedWarning("x"));
    one.warning(new FileChangedWarning("y"));
    expect(one.final()).toBe(100);
    const two = modern();
    two.warning(new BackupOSError("x", "y"));
    two.warning(new BackupPermissionError("x", "y"));
    expect(two.final()).toBe(1);
    const legacy = new ExitStatus({});
    legacy.warning(new BackupOSError("x", "y"));
    expect(legacy.final()).toBe(1);
    expect(modern().final()).toBe(0);
  });
  it("a code that is set counts more than warnings, and the more severe one wins", () => {
    const status = new ExitStatus({ BORG_EXIT_CODES: "modern" });
    status.warning(new FileChangedWarning("x"));
    status.set(1);
    expect(status.final()).toBe(1);
    status.set(2);
    status.set(1);
    expect(status.final()).toBe(2);
    status.set(130);
    expect(status.final()).toBe(130);
  });
  it("--show-rc logs it", async () => {
    const { stderr } = await run(["help", "create", "--show-rc"]);
    expect(stderr).toBe("terminating with success status, rc 0\n");
    const json = await run(["help", "nothing", "--show-rc", "--log-json"]);
    const last = JSON.parse(json.stderr.trim().split("\n").at(-1)!);
    expect(last).toMatchObject({
      levelname: "ERROR",
      name: "borg.output.show-rc",
      message: "terminating with error status, rc 2",
    });
  });
});
