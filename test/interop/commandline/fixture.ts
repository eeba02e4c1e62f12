// What the compared command lines work on: a small tree with one of everything, and repositories that real borg has
// made from it: repo (not encrypted; two states of the tree, a checkpoint, part files), many (archives of several years
// and minutes), and enc (repokey).
import { spawnSync } from "node:child_process";
import {
  chmodSync,
  linkSync,
  mkdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { nextTick, randomBytes } from "../../support/tree.ts";
import type { Lab } from "./lab.ts";

export function makeSource(src: string): void {
  // Never archived here.
  mkdirSync(join(src, "..", "fresh"));
  writeFileSync(
    join(src, "..", "fresh", "text"),
    Array.from({ length: 9000 }, (_, i) => `${i * i}\n`).join(""),
  );
  mkdirSync(join(src, "sub", "deep"), { recursive: true });
  mkdirSync(join(src, "cache"));
  mkdirSync(join(src, "tagged"));
  writeFileSync(join(src, "a"), "line\n".repeat(20_000));
  writeFileSync(join(src, "b"), randomBytes(300_000, 5));
  writeFileSync(join(src, "empty"), "");
  writeFileSync(join(src, "gone"), "x");
  writeFileSync(join(src, "sub", "deep", "ünï"), "text");
  writeFileSync(join(src, "sub", "x.tmp"), "temporary");
  writeFileSync(join(src, "cache", "CACHEDIR.TAG"), "Signature: 8a477f597d28d172789f06886806bc55\n");
  writeFileSync(join(src, "cache", "cached"), "cached");
  writeFileSync(join(src, "tagged", ".nobackup"), "");
  writeFileSync(join(src, "tagged", "file"), "tagged");
  mkdirSync(join(src, "links"));
  writeFileSync(join(src, "links", "first"), randomBytes(50_000, 6));
  linkSync(join(src, "links", "first"), join(src, "links", "second"));
  symlinkSync("a", join(src, "link"));
  writeFileSync(join(src, "holes"), "");
  truncateSync(join(src, "holes"), 400_000);
  for (const [program, ...args] of [
    ["mkfifo", join(src, "fifo")],
    ["setfattr", "-n", "user.note", "-v", "hello", join(src, "empty")],
    ["setfacl", "-m", "u:1:r", join(src, "empty")],
  ] as const)
    spawnSync(program, args);
}

function change(src: string): void {
  rmSync(join(src, "gone"));
  rmSync(join(src, "link"));
  symlinkSync("b", join(src, "link"));
  writeFileSync(join(src, "new"), "n");
  writeFileSync(join(src, "a"), `${"line\n".repeat(20_000)}more\n`);
  chmodSync(join(src, "sub"), 0o700);
  renameSync(join(src, "sub", "x.tmp"), join(src, "sub", "y.tmp"));
  nextTick();
  utimesSync(join(src, "empty"), 1.1e9, 1e9);
  spawnSync("chattr", ["+d", join(src, "new")]);
}

export async function fillRepositories(lab: Lab): Promise<void> {
  const repo = join(lab.work, "repo");
  const run = (...args: string[]) => lab.goodBorg(args);
  await run("init", "-e", "none", repo);
  const create = (name: string, time: string, ...rest: string[]) =>
    run("create", "--timestamp", time, ...rest, `${repo}::${name}`, "src");
  await create("one", "2026-03-01T10:00:00", "--comment", "first");
  change(lab.path("src"));
  await create("two", "2026-03-02T10:00:00", "--atime");
  await create("two.checkpoint", "2026-03-03T10:00:00");
  await create("fine", "2026-03-04T10:00:00", "--chunker-params", "10,15,12,4095", "-e", "src/sub");
  // A part file: the checkpoint comes while the command is being read.
  await run(
    ...["create", "--timestamp", "2026-03-05T10:00:00", "--checkpoint-interval", "1", "--chunker-params"],
    ...["fixed,65536", "--content-from-command", `${repo}::parts`, "--", "sh", "-c"],
    "head -c 100000 /dev/zero; sleep 1.2; head -c 100000 src/b; sleep 0.1; head -c 70000 src/b",
  );
  const many = join(lab.work, "many");
  await run("init", "-e", "none", many);
  for (const [name, time] of [
    ["a1", "2023-12-30T23:59:58"],
    ["a2", "2024-02-29T12:00:00"],
    ["a3", "2025-01-01T00:30:00"],
    ["b1", "2025-06-15T10:00:00"],
    ["b2", "2025-06-15T10:00:30"],
    ["b3", "2025-06-15T11:10:00"],
    ["b4", "2025-06-16T11:10:00"],
    ["b5", "2025-06-24T11:10:00"],
  ] as const)
    await run("create", "--timestamp", time, `${many}::${name}`, "src/new");
  const enc = join(lab.work, "enc");
  await run("init", "-e", "repokey", enc);
  await run("create", "--timestamp", "2026-03-01T10:00:00", `${enc}::one`, "src/a", "src/sub");
  await run("create", "--timestamp", "2026-03-02T10:00:00", `${enc}::two`, "src/a");
}
