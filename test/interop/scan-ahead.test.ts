// A second backup of many files is walked by a thread of its own: what it archives, leaves out and says is the same as
// without, to the byte of the item stream. On each kind of runtime, for threads and FFI differ.
import { execFileSync, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import {
  appendFileSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { basename } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { alcoveCommand, type RuntimeLabel, Sandbox } from "../support/programs.ts";

// Their files cache is large enough for the walk to begin before the repository is open.
const FILES = 6600;
const box = new Sandbox();
const options = [
  ...[
    "--list",
    "--exclude",
    "*.no",
    "--exclude",
    "sh:tree/skip/**",
    "--exclude-caches",
    "--keep-exclude-tags",
  ],
  ...["--chunker-params", "10,14,12,4095"],
  ...["--exclude-if-present", ".nobackup", "--pattern", "- re:/d1/f[0-3]$", "--exclude", "pf:tree/d2/f7"],
];
const quiet = options.filter((option) => option !== "--list");

beforeAll(() => {
  for (let d = 0; d < 44; d++) {
    mkdirSync(box.path("tree", `d${d}`, "deeper"), { recursive: true });
    for (let i = 0; i < FILES / 44; i++) writeFileSync(box.path("tree", `d${d}`, `f${i}`), `${d} ${i}`);
  }
  const t = (...p: string[]): string => box.path("tree", ...p);
  mkdirSync(t("skip", "inner"), { recursive: true });
  mkdirSync(t("cache"));
  mkdirSync(t("marked"));
  writeFileSync(t("a.no"), "x");
  writeFileSync(t("skip", "inner", "f"), "x");
  writeFileSync(t("cache", "CACHEDIR.TAG"), "Signature: 8a477f597d28d172789f06886806bc55\n");
  writeFileSync(t("cache", "f"), "x");
  writeFileSync(t("marked", ".nobackup"), "");
  writeFileSync(t("marked", "f"), "x");
  symlinkSync("nowhere", t("link"));
  linkSync(t("d0", "f0"), t("d3", "hard"));
  execFileSync("mkfifo", [t("fifo")]);
  writeFileSync(t("with\nnewline"), "x");
  execFileSync("python3", ["-c", "import os,sys; open(os.fsencode(sys.argv[1])+b'/\\xff\\xfe','w')", t()]);
  writeFileSync(t("attributed"), "x");
  execFileSync("setfattr", ["-n", "user.note", "-v", "kept", t("attributed")]);
  writeFileSync(t(".hidden"), "x");
  writeFileSync(t("empty"), "");
  writeFileSync(t("größe"), randomBytes(300_000));
  // Times that are no 63 bits of nanoseconds, or fewer than 33.
  for (const time of ["-5", "0", "3", "9300000000"]) {
    writeFileSync(t(`at${time}`), "x");
    execFileSync("touch", ["-d", `@${time}`, t(`at${time}`)]);
  }
  // Files of this very second are distrusted by the cache; that they are found unchanged is the point here.
  const before = new Date(Date.now() - 60_000);
  for (let i = 0; i < 20; i++) utimesSync(t("d5", `f${i}`), before, before);
  box.ok(box.alcove(["init", "-e", "repokey", "repo"]));
  box.ok(box.alcove(["create", ...options, "repo::first", "tree"]), [0, 1]);
  appendFileSync(t("d9", "f9"), "changed");
  const second = box.ok(box.alcove(["create", ...options, "repo::second", "tree"]), [0, 1]);
  expect(second.stderr).toMatch(/^M tree\/d9\/f9$/m);
}, 120_000);
afterAll(() => box.remove());

const items = (name: string): Buffer => {
  const dir = box.path(`dump-${name}`);
  mkdirSync(dir);
  box.ok(box.alcove(["debug", "dump-archive-items", `../repo::${name}`], { cwd: dir }));
  const bytes = readdirSync(dir)
    .sort()
    .map((f) => readFileSync(`${dir}/${f}`));
  rmSync(dir, { recursive: true });
  return Buffer.concat(bytes);
};

it.each(["node", "node26", "bun", "deno"] as RuntimeLabel[])("%s", { timeout: 120_000 }, (on) => {
  const create = (name: string, workers: string, which = options) =>
    box.ok(
      box.alcove(["create", "--workers", workers, ...which, `repo::${name}`, "tree", "tree/d1", "absent"], {
        on,
      }),
      [1],
    );
  const alone = create(`${on}-alone`, "0");
  const ahead = create(`${on}-ahead`, "2");
  expect(ahead.stderr.split("\n").slice(0, -1)).toEqual(alone.stderr.split("\n").slice(0, -1));
  expect(alone.stderr).toMatch(/^U tree\/d0\/f1$/m);
  expect(alone.stderr).toMatch(/^x tree\/a\.no$/m);
  expect(alone.stderr).toMatch(/absent/);
  const stream = items(`${on}-ahead`);
  expect(stream.length).toBeGreaterThan(500_000);
  expect(stream.equals(items(`${on}-alone`))).toBe(true);
  expect(stream.includes("user.note")).toBe(true);
  for (const workers of ["0", "2"]) {
    create(`${on}-quiet-${workers}`, workers, quiet);
    expect(stream.equals(items(`${on}-quiet-${workers}`))).toBe(true);
  }
});

// Absolute paths, roots with a part that is not kept, and every switch that changes what an item has.
it.each([
  [["--atime", "--numeric-ids"], "tree"],
  [["--noctime", "--files-cache", "mtime,size"], "PWD/tree"],
  [["--noxattrs", "--noacls", "--noflags"], "PWD/./tree"],
  [["--files-cache", "rechunk,ctime"], "../DIR/tree"],
])("%s %s", { timeout: 120_000 }, (switches, root) => {
  const path = root.replace("PWD", box.path()).replace("DIR", basename(box.path()));
  const name = `${switches[0]}`.slice(2);
  const create = (n: string, workers: string, which = options) =>
    box.ok(box.alcove(["create", "--workers", workers, ...which, ...switches, `repo::${n}`, path]), [0, 1]);
  // Fills the files cache for these paths: twice, as the newest files are distrusted once more.
  for (const n of ["first", "again"]) create(`${name}-${n}`, "0");
  const alone = create(`${name}-alone`, "0");
  const ahead = create(`${name}-ahead`, "2");
  expect(ahead.stderr.split("\n").slice(0, -1)).toEqual(alone.stderr.split("\n").slice(0, -1));
  const stream = items(`${name}-ahead`);
  expect(stream.length).toBeGreaterThan(500_000);
  expect(stream.equals(items(`${name}-alone`))).toBe(true);
  // Many at a time, where nobody wants to be told of single ones; and of none but directories.
  for (const [n, which] of [quiet, [...quiet, "--list", "--filter", "d"]].entries()) {
    for (const workers of ["0", "2"]) {
      expect(create(`${name}-${n}-${workers}`, workers, which).stderr).not.toMatch(/EISDIR|^[AMUE] /m);
      expect(stream.equals(items(`${name}-${n}-${workers}`))).toBe(true);
    }
  }
  box.ok(box.borg(["extract", "--dry-run", `repo::${name}-ahead`]));
});

// Where a chunk was lost its file is read again, and what waits behind files that are read keeps its place.
it("changed files among unchanged ones, and a chunk that was lost", { timeout: 120_000 }, () => {
  const create = (n: string, workers: string) =>
    box.ok(box.alcove(["create", "--list", "--workers", workers, ...options, `repo::${n}`, "tree"]), [0, 1]);
  // Which of the files that are as new as the newest are told as new and which as modified depends on the clock.
  const read = (text: string) => text.replace(/^A /gm, "M ");
  const change = () => {
    // All of them but d1/f2, which is left out.
    for (let i = 0; i < 40; i++) appendFileSync(box.path("tree", `d${i}`, `f${i * 2}`), "more");
  };
  writeFileSync(box.path("tree", "unique"), randomBytes(50_000));
  change();
  // The cache distrusts the newest files: let that be another one.
  const changed = (...path: string[]) => statSync(box.path("tree", ...path)).ctimeMs;
  do appendFileSync(box.path("tree", "d9", "f9"), "newest");
  while (changed("d9", "f9") === changed("d39", "f78"));
  const ahead = create("changed-ahead", "2");
  expect(read(ahead.stderr).match(/^M tree.d\d+.f\d+$/gm)?.length).toBeGreaterThanOrEqual(39);
  expect(create("changed-again", "2").stderr).toMatch(/^U tree.unique$/m);
  change();
  const alone = create("changed-alone", "0");
  const lines = (text: string) =>
    read(text)
      .split("\n")
      .filter((line) => /^[MUxsdhfE-] /.test(line) && !/(unique|d9.f9)$/.test(line));
  expect(lines(ahead.stderr)).toEqual(lines(alone.stderr));
  for (const n of ["ahead", "again", "alone"]) box.ok(box.alcove(["delete", `repo::changed-${n}`]));
  expect(create("lost", "2").stderr).toMatch(/^M tree.unique$/m);
  box.ok(box.borg(["check", "--verify-data", "repo"]));
});

it("looks again at what it had looked at before it got the lock", { timeout: 120_000 }, async () => {
  const t = box.path("tree", "d7", "f7");
  const start = (...words: string[]) =>
    spawn(alcoveCommand()[0]!, [...alcoveCommand().slice(1), ...words], {
      cwd: box.dir,
      env: box.env as NodeJS.ProcessEnv,
    });
  const ended = (child: ReturnType<typeof start>) =>
    new Promise<number | null>((resolve) => child.on("exit", resolve));
  const holder = start("with-lock", "repo", "sh", "-c", "echo; cat");
  await new Promise((resolve) => holder.stdout.once("data", resolve));
  const waiting = start("create", "--lock-wait", "60", ...quiet, "repo::late", "tree");
  const done = ended(waiting);
  // By then the walk is over.
  await new Promise((resolve) => setTimeout(resolve, 2500));
  appendFileSync(t, "written while the lock was waited for");
  holder.stdin.end();
  expect(await ended(holder)).toBe(0);
  expect(await done).toBe(0);
  const listed = box.ok(box.alcove(["list", "--format", "{size}", "repo::late", "tree/d7/f7"]));
  expect(Number(listed.stdout)).toBe(statSync(t).size);
});
