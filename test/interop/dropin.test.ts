// Vorta's and Pika's command lines as they write them, on the built file started by the name of borg, and every
// field that they read from what it prints. Side by side with real borg where both know the answer.
import { spawn } from "node:child_process";
import { randomFillSync } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { alcoveFile, type Result, type RunOptions, Sandbox } from "../support/programs.ts";

const sandbox = new Sandbox();
const repo = sandbox.path("repo");
const plain = sandbox.path("plain");
const program = sandbox.path("bin", "borg");
const RSH = ["--rsh", "ssh -o BatchMode=yes -o StrictHostKeyChecking=accept-new"];
const LOCAL_TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}$/;

const run = (args: readonly string[], options: RunOptions = {}): Result =>
  sandbox.run([program, ...args], { timeout: 60_000, ...options });
const good = (args: readonly string[], options: RunOptions = {}): Result => sandbox.ok(run(args, options));
/** Pika's order: command, common options, its options, `--`, positionals. */
const pika = (command: string[], options: string[], positionals: string[], more: RunOptions = {}): Result =>
  run([...command, ...RSH, "--log-json", ...options, "--", ...positionals], more);

type Rec = Record<string, unknown> & { type: string };
/** stderr as records; a line that is not JSON fails. */
const records = (r: Result): Rec[] =>
  r.stderr
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as Rec);
const ofType = (r: Result, type: string): Rec[] => records(r).filter((x) => x.type === type);
/** Paths of all keys; of a list its first element. */
function keys(value: unknown, at = ""): string[] {
  if (Array.isArray(value)) return value.length > 0 ? keys(value[0], `${at}[]`) : [`${at}[]`];
  if (value === null || typeof value !== "object") return [at];
  return Object.entries(value)
    .flatMap(([k, v]) => keys(v, `${at}.${k}`))
    .sort();
}
function has(record: unknown, ...names: string[]): void {
  for (const name of names) expect(record).toHaveProperty(name);
}

beforeAll(() => {
  mkdirSync(sandbox.path("bin"));
  symlinkSync(alcoveFile, program);
  mkdirSync(sandbox.path("src", "sub"), { recursive: true });
  mkdirSync(sandbox.path("src", "tagged"));
  writeFileSync(sandbox.path("src", "a"), "text\n".repeat(50_000));
  writeFileSync(sandbox.path("src", "sub", "b"), "b");
  writeFileSync(sandbox.path("src", "sub", "no.tmp"), "t");
  writeFileSync(sandbox.path("src", "tagged", ".nobackup"), "");
  symlinkSync("a", sandbox.path("src", "link"));
  writeFileSync(sandbox.path("exclude"), "*.tmp\n");
  sandbox.ok(sandbox.borg(["init", "-e", "repokey", repo]));
  sandbox.ok(sandbox.borg(["init", "-e", "none", plain]));
  sandbox.ok(sandbox.borg(["create", "--comment", "first", `${repo}::host-1`, "src"]));
});
afterAll(() => sandbox.remove());

describe("Vorta", () => {
  it("create with options on both sides: JSON on stdout, records on stderr", () => {
    const r = good([
      ...["create", "--list", "--progress", "--info", "--log-json", "--json", "--filter=AM", "-C", "zstd,3"],
      ...["--exclude-if-present", ".nobackup", "--exclude-from", sandbox.path("exclude")],
      ...[`${repo}::host-2`, "src"],
    ]);
    expect(r.stdout.startsWith("{")).toBe(true);
    const made = JSON.parse(r.stdout);
    has(made.archive, "id", "name", "start", "end", "duration", "command_line", "limits");
    has(made.archive.stats, "original_size", "compressed_size", "deduplicated_size", "nfiles");
    has(made.cache.stats, "total_size", "unique_size", "total_unique_chunks", "unique_csize", "total_csize");
    has(made.repository, "id", "location", "last_modified");
    has(made.encryption, "mode");
    for (const time of [made.archive.start, made.archive.end, made.repository.last_modified])
      expect(time).toMatch(LOCAL_TIME);
    expect(ofType(r, "log_message").length).toBeGreaterThan(0);
    for (const x of ofType(r, "log_message")) has(x, "levelname", "name", "message", "time");
    for (const x of ofType(r, "file_status")) has(x, "status", "path");
    const progress = ofType(r, "archive_progress");
    for (const x of progress.slice(0, -1)) {
      has(x, "nfiles", "original_size", "compressed_size", "deduplicated_size", "path", "time");
      expect(x["finished"]).toBe(false);
    }
    expect(progress.at(-1)!["finished"]).toBe(true);
    const short = good(["list", "--short", `${repo}::host-2`]).stdout;
    expect(short).not.toContain("no.tmp");
    expect(short).not.toContain("tagged");
  });

  it("common options before the command: key change-passphrase", () => {
    good(["--info", "--log-json", "key", "change-passphrase", repo], {
      env: { BORG_NEW_PASSPHRASE: "correct horse" },
    });
  });

  it("check, prune with a list, diff, list of an archive, extract", () => {
    const checked = good(["check", "--info", "--log-json", "--progress", repo]);
    const percent = ofType(checked, "progress_percent");
    expect(percent.length).toBeGreaterThan(0);
    for (const x of percent) has(x, "operation", "msgid", "finished", "time");
    for (const x of percent.filter((p) => p["finished"] === false))
      has(x, "message", "current", "total", "info");
    expect(percent.at(-1)!["finished"]).toBe(true);

    const pruned = good([
      "prune",
      "--list",
      "--info",
      "--log-json",
      "--keep-daily",
      "9",
      "-a",
      "none-*",
      repo,
    ]);
    records(pruned);
    const changes = good(["diff", "--info", "--log-json", "--json-lines", `${repo}::host-1`, "host-2"]);
    const lines = changes.stdout
      .trim()
      .split("\n")
      .map((l) => JSON.parse(l));
    expect(lines.map((l) => l.path)).toContain("src/sub/no.tmp");
    const known =
      /^(added|removed|modified)( (directory|link|file|chrdev|blkdev|fifo))?$|^(changed link|mode|owner|ctime|mtime)$/;
    for (const line of lines) for (const change of line.changes) expect(change.type).toMatch(known);
    const format = "{mode}{user}{group}{size}{isomtime}{path}{source}{health}{NL}";
    const listing = ["list", "--json-lines", "--format", format, `${repo}::host-1`];
    const ours = good(["--info", "--log-json", ...listing]).stdout;
    for (const line of ours.trim().split("\n")) {
      has(JSON.parse(line), "type", "healthy", "mode", "user", "group", "size", "isomtime", "path", "source");
    }
    // As objects: borg writes the keys that --format names in the order of a Python set, which changes by the run.
    const objects = (text: string): unknown[] =>
      text
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line));
    expect(objects(ours)).toEqual(objects(sandbox.ok(sandbox.borg(listing)).stdout));
    writeFileSync(sandbox.path("patterns"), "+ src/sub/b\n- **\n");
    mkdirSync(sandbox.path("out"));
    const extract = [
      "extract",
      "--list",
      "--info",
      "--log-json",
      "--patterns-from",
      sandbox.path("patterns"),
    ];
    good([...extract, `${repo}::host-1`], { cwd: sandbox.path("out") });
    expect(existsSync(sandbox.path("out", "src", "sub", "b"))).toBe(true);
    expect(existsSync(sandbox.path("out", "src", "a"))).toBe(false);
  });

  it("create --dry-run --list without --log-json, prune's sentences by their logger", () => {
    const dry = good(["create", "--dry-run", "--list", `${repo}::x`, "src", "-e", "*.tmp"]);
    expect(dry.stderr).toContain("- src/a\n");
    expect(dry.stderr).toContain("x src/sub/no.tmp\n");
    const r = good(["prune", "--dry-run", "--list", "--log-json", "--keep-last", "1", repo]);
    const said = ofType(r, "log_message").filter((x) => x["name"] === "borg.output.list");
    expect(said.map((x) => String(x["message"]).split(" ")[0])).toEqual(
      expect.arrayContaining(["Would", "Keeping"]),
    );
  });

  it("rename, compact, break-lock and delete of several archives", () => {
    for (const name of ["d1", "d2", "d3"]) good(["create", `${repo}::${name}`, "exclude"]);
    good(["--info", "--log-json", "rename", `${repo}::d1`, "d4"]);
    records(good(["--info", "--log-json", "delete", `${repo}::d2`, "d3", "d4"]));
    records(good(["--info", "--log-json", "compact", "--progress", repo]));
    good(["--info", "--log-json", "break-lock", repo]);
    expect(good(["list", "--short", repo]).stdout).toBe("host-1\nhost-2\n");
  });
});

describe("Pika", () => {
  const secret = `
import os, socket, subprocess, sys
if sys.argv[1] == 'pipe':
    r, w = os.pipe(); os.write(w, b'correct horse'); os.close(w)
else:
    a, b = socket.socketpair(); b.sendall(b'correct horse'); b.close(); r = a.fileno()
env = dict(os.environ, BORG_PASSPHRASE_FD=str(r))
sys.exit(subprocess.run(sys.argv[2:], env=env, pass_fds=[r]).returncode)
`;
  it.each(["pipe", "socketpair"])("BORG_PASSPHRASE_FD is a %s", (kind) => {
    const command = [program, "list", ...RSH, "--log-json", "--json", "--consider-checkpoints"];
    const options = [
      "--format={archive}{hostname}{username}{comment}{end}{command_line}",
      "--last=1",
      "--",
      repo,
    ];
    const r = sandbox.run(["/usr/bin/python3", "-c", secret, kind, ...command, ...options], {
      env: { BORG_PASSPHRASE: undefined },
    });
    sandbox.ok(r);
    const { archives } = JSON.parse(r.stdout);
    expect(archives).toHaveLength(1);
    has(archives[0], "archive", "barchive", "id", "name", "start", "time");
    has(archives[0], "hostname", "username", "comment", "end", "command_line");
    for (const k of ["start", "time", "end"]) expect(archives[0][k]).toMatch(LOCAL_TIME);
  });

  it("create, prune with and without --dry-run, check --verify-data --repair", () => {
    const options = ["--progress", "--json", "--compression=zstd", "--exclude=fm:*.tmp", "--exclude-caches"];
    const made = sandbox.ok(pika(["create"], options, [`${repo}::host-3`, "src"]));
    expect(JSON.parse(made.stdout).archive.name).toBe("host-3");
    for (const x of ofType(made, "log_message")) has(x, "levelname", "name", "message");
    const keep = ["--glob-archives=host-*", "--keep-within=1H", "--keep-hourly=48"];
    const dry = sandbox.ok(pika(["prune"], [...keep, "--dry-run", "--list"], [repo]));
    expect(ofType(dry, "log_message").filter((x) => x["name"] === "borg.output.list")).toHaveLength(3);
    sandbox.ok(pika(["prune"], ["--lock-wait", "2", ...keep], [repo]));
    const repaired = pika(["check"], ["--progress", "--verify-data", "--repair"], [repo], {
      env: { BORG_CHECK_I_KNOW_WHAT_I_AM_DOING: "YES" },
    });
    records(sandbox.ok(repaired));
  });

  it("config additional_free_space, read and written", () => {
    expect(sandbox.ok(pika(["config"], [], [repo, "additional_free_space"])).stdout).toBe("0\n");
    sandbox.ok(pika(["config"], [], [repo, "additional_free_space", "2G"]));
    expect(sandbox.ok(pika(["config"], [], [repo, "additional_free_space"])).stdout).toBe("2G\n");
    expect(sandbox.ok(sandbox.borg(["config", repo, "additional_free_space"])).stdout).toBe("2G\n");
    sandbox.ok(pika(["config"], [], [repo, "additional_free_space", "0"]));
  });

  it("key change-passphrase on a plain repository", () => {
    const r = pika(["key", "change-passphrase"], [], [plain], { env: { BORG_NEW_PASSPHRASE: "x" } });
    expect(r.code).toBe(2);
    expect(r.stdout).toContain("repository is not encrypted");
  });
});

describe("exit codes, prompts and signals", () => {
  it("a missing repository, legacy and modern", () => {
    for (const [mode, code] of [
      ["legacy", 2],
      ["modern", 13],
    ] as const) {
      const r = run(["info", "--log-json", sandbox.path("nowhere")], { env: { BORG_EXIT_CODES: mode } });
      expect(r.code).toBe(code);
      expect(records(r).at(-1)).toMatchObject({
        type: "log_message",
        levelname: "ERROR",
        msgid: "Repository.DoesNotExist",
      });
    }
  });

  it("a usage error is plain text with exit code 2", () => {
    const r = run(["list", "--log-json", "--no-such-option", repo], { env: { BORG_EXIT_CODES: "modern" } });
    expect(r.code).toBe(2);
    expect(r.stderr).toContain("--no-such-option");
    expect(r.stderr).not.toContain("{");
    expect(r.stderr).not.toMatch(/\n\s+at /);
  });

  it("questions are records; the answer is a line of stdin", () => {
    const asked = (args: string[], input: string) =>
      run(["--log-json", ...args], {
        input,
        env: {
          BORG_BASE_DIR: sandbox.path("fresh"),
          BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK: undefined,
        },
      });
    const no = asked(["list", plain], "NO\n");
    expect(no.code).toBe(2);
    has(ofType(no, "question_prompt")[0], "msgid", "message");
    expect(ofType(no, "question_accepted_false")).toHaveLength(1);
    const yes = asked(["list", plain], "YES\n");
    expect(yes.code).toBe(0);
    expect(ofType(yes, "question_prompt")[0]!["msgid"]).toBe("BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK");
    expect(asked(["delete", plain], "NO\n").code).toBe(2);
    expect(existsSync(plain)).toBe(true);
    const gone = asked(["delete", plain], "YES\n");
    expect(gone.code).toBe(0);
    expect(ofType(gone, "question_prompt")[0]!["msgid"]).toBe("BORG_DELETE_I_KNOW_WHAT_I_AM_DOING");
    expect(existsSync(plain)).toBe(false);
  });

  // One file that is read for long, and many: the signal comes while the last file is worked on, or in the walk.
  it.each(["one large file", "large and twice", "many files"])("SIGINT during create: %s", async (kind) => {
    const dir = sandbox.path(kind);
    mkdirSync(dir);
    const noise = randomFillSync(Buffer.alloc(48 << 20));
    if (kind !== "many files") writeFileSync(`${dir}/large`, noise);
    else for (let i = 0; i < 3000; i++) writeFileSync(`${dir}/${i}`, noise.subarray(i << 14, (i + 1) << 14));
    const args = ["create", "--log-json", "--progress", "-C", "lzma,9", `${repo}::stopped`, kind];
    const child = spawn(program, args, {
      cwd: sandbox.dir,
      env: sandbox.env as NodeJS.ProcessEnv,
      stdio: ["ignore", "ignore", "pipe"],
    });
    let said = "";
    child.stderr.on("data", (data) => {
      if (said === "") setTimeout(() => child.kill("SIGINT"), 1000);
      if (said === "" && kind === "large and twice") setTimeout(() => child.kill("SIGINT"), 1300);
      said += data;
    });
    const limit = setTimeout(() => child.kill("SIGKILL"), 60_000);
    const code = await new Promise((resolve) => child.on("close", resolve));
    clearTimeout(limit);
    expect(code, said).toBe(130);
    if (kind !== "large and twice") expect(said).toContain("Keyboard interrupt");
    // Looked for by name as well: the lock of a process that is gone would be taken over without a word.
    const left = [repo, sandbox.path("base")].flatMap((d) =>
      readdirSync(d, { recursive: true, encoding: "utf8" }),
    );
    expect(left.filter((n) => /(^|\/)lock\./.test(n))).toEqual([]);
    // Neither program waits for a lock of the one that was stopped, of the repository or of the cache.
    const list = ["--lock-wait", "0", "info", "--json", repo];
    sandbox.ok(sandbox.borg(list));
    good(list);
    sandbox.ok(sandbox.borg(["check", repo]));
    expect(good(["list", "--short", repo]).stdout).not.toContain("stopped\n");
  });
});

describe("side by side with borg", () => {
  // What borg 1.4 has changed and the 1.2 installed here does not know: the working directory is shown, and an
  // archive's own metadata no longer counts for its deduplicated size.
  const common = (text: string) =>
    text
      .replace(/^Working Directory: .*\n/gm, "")
      .replace(/^(This archive:.{45}).*$/gm, "$1")
      .replace(/^ +"cwd": .*\n/gm, "")
      .replace(/("stats": \{\s+"compressed_size": \d+,\s+"deduplicated_size": )\d+/g, "$1");

  it.each([
    [["list", repo]],
    [["list", "--json", repo]],
    [["--verbose", "list", "--short", "--last", "1", repo]],
    [["info", repo]],
    [["info", "--json", repo]],
    [["--verbose", "info", "--last", "1", repo]],
    [["info", repo, "--prefix", "host-", "--last", "1"]],
    [["info", "--json", `${repo}::host-1`]],
  ])("%j", (args) => {
    const ours = good(args);
    const borgs = sandbox.ok(sandbox.borg(args));
    expect(common(ours.stdout)).toBe(common(borgs.stdout));
  });

  it("create --json has borg's keys", () => {
    const ours = JSON.parse(good(["create", "--json", `${repo}::k1`, "exclude"]).stdout);
    const borgs = JSON.parse(sandbox.ok(sandbox.borg(["create", "--json", `${repo}::k2`, "exclude"])).stdout);
    expect(keys(ours)).toEqual(keys(borgs));
  });
});
