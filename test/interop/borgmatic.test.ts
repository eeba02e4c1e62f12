// borgmatic as Debian ships it, unpatched, with Alcove as its `local_path`: a life of a repository, and a restore
// to another place. What it calls is held against borg: the repository is checked and listed by borg as well.
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { alcoveFile, type Result, Sandbox } from "../support/programs.ts";

const sandbox = new Sandbox();
const config = sandbox.path("borgmatic.yaml");
const repo = sandbox.path("repo");
const present = spawnSync("borgmatic", ["--version"]).status === 0;

// A log file keeps borgmatic from looking for a syslog daemon, which a container does not have.
const borgmatic = (...args: string[]): Result =>
  sandbox.run(["borgmatic", "-c", config, "--log-file", sandbox.path("log"), ...args], { timeout: 60_000 });
const good = (...args: string[]): Result => sandbox.ok(borgmatic(...args));

interface Listed {
  archives: { name: string }[];
  repository: { id: string; location: string };
}
const archives = () =>
  (JSON.parse(good("list", "--json").stdout) as Listed[])[0]!.archives.map((a) => a.name);

beforeAll(() => {
  mkdirSync(sandbox.path("bin"));
  symlinkSync(alcoveFile, sandbox.path("bin", "borg"));
  mkdirSync(sandbox.path("src", "sub"), { recursive: true });
  writeFileSync(sandbox.path("src", "a"), "one\n".repeat(10_000));
  writeFileSync(sandbox.path("src", "sub", "b"), "two\n");
  writeFileSync(sandbox.path("src", "sub", "b.skip"), "never\n");
  writeFileSync(
    config,
    `location:
  source_directories: [${sandbox.path("src")}]
  repositories: [${repo}]
  exclude_patterns: ['*.skip']
  local_path: ${sandbox.path("bin", "borg")}
storage:
  encryption_passphrase: correct horse
  borg_base_directory: ${sandbox.path("base")}
  archive_name_format: 'host-{now:%Y-%m-%dT%H:%M:%S.%f}'
  compression: zstd,3
  checkpoint_interval: 300
retention:
  keep_daily: 1
  prefix: host-
consistency:
  checks:
    - name: repository
    - name: archives
`,
  );
});
afterAll(() => sandbox.remove());

// Its tests build on each other: one repository from init to restore.
describe.skipIf(!present)("borgmatic with Alcove as local_path", () => {
  it("init, and once more changes nothing", () => {
    good("init", "--encryption", "repokey");
    const before = readFileSync(`${repo}/config`, "utf8");
    good("rcreate", "--encryption", "repokey");
    expect(readFileSync(`${repo}/config`, "utf8")).toBe(before);
  });

  it("create, with a list and as JSON", () => {
    const listed = good("create", "--list", "--stats", "--verbosity", "1");
    const said = listed.stdout + listed.stderr;
    expect(said).toContain(`A ${sandbox.path("src", "a")}`);
    expect(said).toContain("Archive fingerprint:");
    const [created] = JSON.parse(good("create", "--json").stdout);
    expect(created.archive.stats).toMatchObject({ nfiles: 2, original_size: 40_004 });
    expect(created.repository.location).toBe(repo);
  });

  it("list, rlist, info and rinfo", () => {
    const names = archives();
    expect(names).toHaveLength(2);
    const short = good("rlist", "--short").stdout.split("\n");
    expect(short.filter((line) => line.startsWith("host-"))).toEqual(names);
    expect(good("list", "--archive", "latest").stdout).toContain(sandbox.path("src", "sub", "b").slice(1));
    const [about] = JSON.parse(good("rinfo", "--json").stdout);
    expect(about.encryption.mode).toBe("repokey");
    const [archive] = JSON.parse(good("info", "--archive", "latest", "--json").stdout);
    expect(archive.archives[0].name).toBe(names[1]);
    expect(good("info").stdout).toContain("Repository ID:");
  });

  it("extract to another place, whole and one path, and as tar", () => {
    mkdirSync(sandbox.path("back"));
    good("extract", "--archive", "latest", "--destination", sandbox.path("back"));
    sandbox.ok(sandbox.run(["diff", "-r", "--exclude=*.skip", "src", `back${sandbox.path("src")}`]));
    expect(existsSync(sandbox.path("back", sandbox.path("src", "sub", "b.skip")))).toBe(false);
    mkdirSync(sandbox.path("one"));
    const path = sandbox.path("src", "sub", "b").slice(1);
    good("extract", "--archive", "latest", "--path", path, "--destination", sandbox.path("one"));
    expect(existsSync(sandbox.path("one", path))).toBe(true);
    expect(existsSync(sandbox.path("one", sandbox.path("src", "a")))).toBe(false);
    good("export-tar", "--archive", "latest", "--destination", sandbox.path("t.tar"));
    expect(sandbox.ok(sandbox.run(["tar", "tf", "t.tar"])).stdout).toContain(path);
  });

  it("prune, compact and check", () => {
    const newest = archives()[1]!;
    const pruned = good("prune", "--list", "--stats", "--verbosity", "1");
    expect(pruned.stdout + pruned.stderr).toContain("Pruning archive");
    expect(archives()).toEqual([newest]);
    const compacted = good("compact", "--verbosity", "1");
    expect(compacted.stdout + compacted.stderr).not.toMatch(/[Ss]kipping/);
    good("check", "--force", "--verbosity", "1");
    good("check", "--force", "--only", "data");
  });

  it("all of it at once, break-lock, and a command passed through", () => {
    good();
    good("break-lock");
    expect(good("borg", "list").stdout).toContain("host-");
  });

  it("leaves what borg finds sound, and sees what borg adds", () => {
    sandbox.ok(sandbox.borg(["check", "--verify-data", repo]));
    expect(
      sandbox
        .ok(sandbox.borg(["list", "--short", repo]))
        .stdout.trim()
        .split("\n"),
    ).toEqual(archives());
    sandbox.ok(sandbox.borg(["create", `${repo}::by-borg`, "src"]));
    expect(archives()).toContain("by-borg");
  });

  it("ends with an error where the passphrase is wrong", () => {
    const other = sandbox.path("other.yaml");
    writeFileSync(other, readFileSync(config, "utf8").replace("correct horse", "wrong horse"));
    const r = sandbox.run(["borgmatic", "-c", other, "--log-file", sandbox.path("log"), "list"]);
    expect(r.code).not.toBe(0);
    expect(r.stdout + r.stderr).not.toMatch(/\n\s+at .*\.(mjs|ts):\d+/);
  });
});
