// The command lines people asked for, as they would type them, and two of the promises behind them: nearly equal
// systems share their data, and an unchanged tree is not read again.
import { appendFileSync, cpSync, existsSync, mkdirSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Sandbox } from "../support/programs.ts";
import { describeTree, makeTree, randomBytes } from "../support/tree.ts";

describe("as typed", () => {
  const box = new Sandbox();
  beforeAll(() => makeTree(box.path("src"), 3));
  afterAll(() => box.remove());

  it("init, two backups a day apart, info and list of the last", () => {
    box.ok(box.alcove(["--verbose", "init", "--encryption=none", "HOST"]));
    const first = box.ok(
      box.alcove([
        "--verbose",
        "--progress",
        "create",
        "--stats",
        "--comment",
        "Initial backup of my dev files.",
        "HOST::firstbackup",
        box.path("src"),
      ]),
    );
    expect(first.stderr).toContain("Archive name: firstbackup");
    box.ok(
      box.alcove([
        "--verbose",
        "--progress",
        "create",
        "--stats",
        "--comment",
        "The next day.",
        "HOST::secondbackup",
        box.path("src"),
      ]),
    );
    for (const line of [
      ["--verbose", "list", "--short", "--last", "1", "HOST"],
      ["info", "HOST", "--prefix", "second", "--last", "1"],
      ["--verbose", "info", "--last", "1", "HOST"],
    ]) {
      const ours = box.ok(box.alcove(line)).stdout;
      const theirs = box.ok(box.borg(line)).stdout;
      // borg 1.2.4 shows no working directory and asks 1.2's way for the deduplicated size: compare the rest.
      const shape = (text: string): string[] =>
        text.split("\n").filter((l) => !/^(Working Directory|This archive):/.test(l));
      expect(shape(ours), line.join(" ")).toEqual(shape(theirs));
    }
  });

  it("placeholders, slow compression, checkpoints, comment, options on either side, BORG_REPO", () => {
    const env = { BORG_REPO: box.path("HOST") };
    box.ok(box.alcove(["create", "::{hostname}+{user}:{now:%Y-%m-%dT%H:%M}", "src"], { env }));
    box.ok(
      box.alcove(
        [
          "create",
          "--compression",
          "auto,lzma,9",
          "--checkpoint-interval",
          "900",
          "--warning",
          "--comment",
          "slow",
          "--exclude",
          "*/zeros",
          "::slow",
          "src",
        ],
        { env },
      ),
    );
    const names = box.ok(box.alcove(["list", "--short"], { env })).stdout;
    expect(names).toMatch(/^.+\+.+:\d{4}-\d\d-\d\dT\d\d:\d\d$/m);
    const paths = box.ok(box.alcove(["list", "--short", "::slow"], { env })).stdout;
    expect(paths).toContain("src/random");
    expect(paths).not.toContain("src/zeros");
    mkdirSync(box.path("out"));
    box.ok(
      box.alcove(["extract", "--verbose", "--progress", "::secondbackup"], { env, cwd: box.path("out") }),
    );
    expect(describeTree(join(box.path("out"), box.path("src")))).toBe(describeTree(box.path("src")));
  });

  it("the system's root, as root", () => {
    if (process.getuid?.() !== 0) return;
    const big = readdirSync("/").filter((d) => !["bin", "etc", "lib", "sbin", "root"].includes(d));
    const env = { BORG_PASSPHRASE: "for the system" };
    box.ok(box.alcove(["init", "-e", "repokey", "SYSTEM"], { env }));
    const excludes = [
      ...new Set(["dev", "run", "tmp", "sys", "proc", "mnt", "media", "root", ...big]),
    ].flatMap((d) => ["-e", `/${d}`]);
    box.ok(
      box.alcove(
        [
          "--progress",
          "--verbose",
          "create",
          "--comment",
          "the system",
          ...excludes,
          "-s",
          "SYSTEM::firstsystembackup",
          "/",
        ],
        { env },
      ),
      [0, 1],
    );
    const paths = box.ok(box.borg(["list", "--short", "SYSTEM::firstsystembackup"], { env })).stdout;
    expect(paths).toMatch(/^etc\/passwd$/m);
    expect(paths).not.toMatch(/^proc/m);
  });
});

it("four nearly equal systems cost at most 1.25 times one of them", () => {
  const box = new Sandbox();
  try {
    const base = box.path("pi1");
    mkdirSync(base);
    for (const [i, dir] of ["/etc", "/usr/lib/python3/dist-packages/borg"].entries()) {
      if (existsSync(dir))
        cpSync(dir, join(base, `part${i}`), {
          recursive: true,
          verbatimSymlinks: true,
          filter: (p) => !p.endsWith(".sock"),
        });
    }
    for (let i = 0; i < 60; i++) writeFileSync(join(base, `binary-${i}`), randomBytes(100_000, i + 1));
    for (const n of [2, 3, 4]) {
      const copy = box.path(`pi${n}`);
      cpSync(base, copy, { recursive: true, preserveTimestamps: true, verbatimSymlinks: true });
      writeFileSync(join(copy, "hostname"), `pi${n}\n`);
      writeFileSync(join(copy, "log"), randomBytes(150_000, 1000 + n));
      for (let i = 0; i < 60; i += 20) appendFileSync(join(copy, `binary-${i}`), `grown on pi${n}`);
    }
    box.ok(box.alcove(["init", "-e", "repokey-blake2", "repo"]));
    const stored = (): number =>
      JSON.parse(box.ok(box.alcove(["info", "--json", "repo"])).stdout).cache.stats.unique_csize;
    box.ok(box.alcove(["create", "repo::pi1", "pi1"]));
    const one = stored();
    for (const n of [2, 3, 4]) box.ok(box.alcove(["create", `repo::pi${n}`, `pi${n}`]));
    expect(stored() / one).toBeLessThan(1.25);
  } finally {
    box.remove();
  }
});

it("a second backup of an unchanged tree reads no file contents", () => {
  const box = new Sandbox();
  try {
    makeTree(box.path("tree"), 9);
    box.ok(box.alcove(["init", "-e", "none", "repo"]));
    box.ok(box.alcove(["create", "repo::one", "tree"]));
    // Reading would set the access time of files that are not opened with O_NOATIME, and strace is not everywhere;
    // a file whose contents were swapped behind the cache's back shows it: same size, times and inode.
    const victim = box.path("tree/random");
    const before = statSync(victim, { bigint: true });
    const list = box.ok(box.alcove(["create", "--list", "--json", "repo::two", "tree"]));
    expect(list.stderr).toMatch(/^U tree\/random$/m);
    expect(list.stderr.match(/^[AM] /gm)?.length ?? 0).toBeLessThanOrEqual(1);
    expect(statSync(victim, { bigint: true }).atimeNs).toBe(before.atimeNs);
    const { stats } = JSON.parse(list.stdout).archive;
    expect(stats.deduplicated_size).toBe(0);
  } finally {
    box.remove();
  }
});
