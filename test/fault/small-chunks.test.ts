// Files of many small chunks: below, at and above what the pipeline's tables hold at once (512), alone and beside other
// files. Once a file of less than 4 MiB with more chunks than that was stored wrong, and nothing said so.
import { mkdirSync, writeFileSync } from "node:fs";
import { afterAll, expect, it } from "vitest";
import { Sandbox } from "../support/programs.ts";
import { randomBytes } from "../support/tree.ts";
import { digestOfTree } from "./world.ts";

const box = new Sandbox();
afterAll(() => box.remove());

it.each([
  ["fixed,1024", "0"],
  ["fixed,1024,100", "2"],
  ["buzhash,8,12,9,255", "1"],
])("%s, %s workers", (params, workers) => {
  const name = `${params}-${workers}`;
  mkdirSync(box.path(name, "src"), { recursive: true });
  for (const [i, chunks] of [1, 511, 3, 512, 513, 0, 40, 1000, 2, 3500, 600].entries())
    writeFileSync(box.path(name, "src", `${i}`), randomBytes(chunks * 1024 - (chunks ? i : 0), i));
  const cwd = box.path(name);
  box.ok(box.alcove(["init", "-e", "none", "repo"], { cwd }));
  const options = ["--workers", workers, "--chunker-params", params];
  box.ok(box.alcove(["create", ...options, "repo::a", "src"], { cwd }));
  box.ok(box.borg(["check", "--verify-data", "repo"], { cwd }));
  mkdirSync(box.path(name, "out"));
  box.ok(box.borg(["extract", "../repo::a"], { cwd: box.path(name, "out") }));
  expect(digestOfTree(box.path(name, "out"), "src")).toBe(digestOfTree(cwd, "src"));
});
