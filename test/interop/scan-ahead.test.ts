// A second backup of many files is walked by a thread of its own: what it archives, leaves out and says is the same as
// without, to the byte of the item stream. On each kind of runtime, for threads and FFI differ.
import { execFileSync } from "node:child_process";
import {
  appendFileSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { afterAll, beforeAll, expect, it } from "vitest";
import { type RuntimeLabel, Sandbox } from "../support/programs.ts";

const FILES = 4400;
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
  ...["--exclude-if-present", ".nobackup", "--pattern", "- re:/d1/f[0-3]$", "--exclude", "pf:tree/d2/f7"],
];

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
  const create = (name: string, workers: string) =>
    box.ok(
      box.alcove(["create", "--workers", workers, ...options, `repo::${name}`, "tree", "tree/d1", "absent"], {
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
});
