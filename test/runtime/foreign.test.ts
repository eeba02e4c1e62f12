// The C library's functions on processors and with a C library that are not this machine's: arm64 and 32-bit arm by
// emulation, musl by its own loader. The tree with everything goes through items and back, and a judge in Python, on
// this machine, compares each field; names of users and the host's identity come out as on this machine.
import { spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { foreignDirectory, foreignRuntimes } from "./foreign.ts";
import { bundle, cleanTree, compareTrees, isRoot, makeTree, runScript, runtimes } from "./tree.ts";

interface Result {
  arch: string;
  ffi: string;
  problems: string[];
  identity: { hostId: string; names: unknown[] };
}

const work = mkdtempSync(path.join(os.tmpdir(), "alcove-foreign-"));
const source = path.join(work, "source");
let driver: string;
let home: Result;

beforeAll(async () => {
  chmodSync(work, 0o755);
  driver = await bundle("metadata-driver.ts");
  makeTree(source, { root: isRoot });
  // The 32-bit emulator hands device numbers above 31 bits on with a sign.
  const large = path.join(source, "device-large");
  if (isRoot) spawnSync("sh", ["-c", `rm -f '${large}' && mknod '${large}' b 4095 524287`]);
  home = copy("home", driver, runtimes()[0]!.command, {}, "dir");
});
afterAll(() => {
  cleanTree(work);
  cleanTree(path.dirname(driver));
});

function copy(
  name: string,
  script: string,
  command: string[],
  env: Record<string, string>,
  way: "dir" | "path",
): Result & { target: string } {
  const dir = path.join(work, `${name}-${way}`.replaceAll(" ", "-"));
  mkdirSync(dir);
  const [target, json] = [path.join(dir, "target"), path.join(dir, "result.json")];
  runScript({ name, command, env }, script, ["copy", source, target, json, way]);
  return { ...(JSON.parse(readFileSync(json, "utf8")) as Result), target };
}

describe.each(foreignRuntimes())("$name", (runtime) => {
  let script: string;
  beforeAll(() => {
    script = foreignDirectory(runtime, path.join(work, runtime.name.replaceAll(" ", "-")), driver);
  });

  // Emulation is slow: everything by path as well only in the long run.
  const ways =
    process.env["ALCOVE_LONG"] === "1" || runtime.name.includes("musl")
      ? (["dir", "path"] as const)
      : (["dir"] as const);
  it.each(ways)(
    "keeps everything, by %s",
    (way) => {
      const r = copy(`copy of ${runtime.name}`, script, runtime.command, runtime.env, way);
      expect(r.ffi).not.toBe("none");
      expect(r.arch).toBe(
        runtime.name.includes("arm64") ? "arm64" : runtime.name.includes("arm") ? "arm" : "x64",
      );
      expect(r.problems).toEqual([]);
      expect(compareTrees(source, r.target)).toBe("");
      expect(r.identity).toEqual(home.identity);
    },
    60_000,
  );
});
