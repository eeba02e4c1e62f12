// The stand-alone executables of this machine: with Bun inside, and with Node inside where a Node that builds them is
// there. They do what the file does, threads included, and take nothing from the directory they are started in.
import { existsSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { root, Sandbox } from "../support/programs.ts";
import { describeTree, makeTree, randomBytes } from "../support/tree.ts";

describe.skipIf(process.platform !== "linux" || process.arch !== "x64").each([
  ["linux-x64", "alcove-linux-x64"],
  ["node", "alcove-node-linux-x64"],
])("the executable %s", (what, name) => {
  const box = new Sandbox();
  const program = box.path("exe", name);

  beforeAll(() => {
    const script = join(root, "scripts", "build-exe.mjs");
    box.ok(box.run([process.execPath, script, what, "--out", box.path("exe")], { env: process.env }));
    makeTree(box.path("tree"), 11);
    for (const i of [1, 2, 3, 4]) writeFileSync(box.path("tree", `big${i}`), randomBytes(8_000_000, i));
    mkdirSync(box.path("out"));
  });
  afterAll(() => box.remove());

  it("is there, and alone", () => {
    expect(existsSync(program)).toBe(true);
    expect(readdirSync(box.path("exe"))).toEqual([name]);
  });

  it("says what it is, by either name", () => {
    symlinkSync(program, box.path("borg"));
    expect(box.ok(box.run([program, "--version"])).stdout).toMatch(/^alcove /);
    expect(box.ok(box.run([box.path("borg"), "--version"])).stdout).toMatch(/^borg 1\.4/);
  });

  it("backs up and restores with threads", () => {
    box.ok(box.run([program, "init", "-e", "repokey-blake2", "repo"]));
    box.ok(box.run([program, "create", "--workers", "2", "-C", "zstd,3", "repo::a", "tree"]));
    box.ok(box.run([program, "extract", "--workers", "2", "../repo::a"], { cwd: box.path("out") }));
    expect(describeTree(box.path("out/tree"))).toBe(describeTree(box.path("tree")));
    box.ok(box.borg(["check", "--verify-data", "repo"]));
  });

  it("takes no settings from where it is started", () => {
    writeFileSync(box.path(".env"), "BORG_PASSPHRASE=from the directory\nBORG_REPO=/nowhere\n");
    writeFileSync(box.path("bunfig.toml"), 'preload = ["./evil.js"]\n');
    const r = box.run([program, "list", "repo"], { env: { BORG_PASSPHRASE: undefined } });
    expect(r.code).toBe(2);
    expect(r.stderr).toContain("BORG_PASSPHRASE is not set");
  });
});
