// Calls tree.py: trees with every kind of metadata, and the strict comparison of two of them. And the runtimes
// present on this machine, with a way to run a bundled script on each.
import { execFileSync, spawnSync } from "node:child_process";
import { chmodSync, existsSync, mkdtempSync, symlinkSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { build } from "esbuild";

const here = import.meta.dirname;
const project = path.resolve(here, "../..");
const python = existsSync("/usr/bin/python3") ? "/usr/bin/python3" : "python3";
const script = path.join(here, "tree.py");

export interface User {
  uid?: number;
  gid?: number;
}

/** As an ordinary user, where we are root. */
export const nobody: User = { uid: 65534, gid: 65534 };
export const isRoot = process.getuid?.() === 0;

/**
 * Makes the tree. `root`: with owners, devices, immutable files, capabilities. `borg`: without what Borg cannot store
 * (times before 1970 and after 2038). Returns what the machine did not allow.
 */
export function makeTree(
  directory: string,
  options: { root?: boolean; borg?: boolean } = {},
  user: User = {},
): string[] {
  const args = [
    script,
    "make",
    directory,
    ...(options.root ? ["--root"] : []),
    ...(options.borg ? ["--borg"] : []),
  ];
  return execFileSync(python, args, { encoding: "utf8", ...user })
    .split("\n")
    .filter(Boolean);
}

/**
 * Every field of every entry: "" if they are the same, else the differences. Ignorable fields: mode uid gid mtime atime
 * xattrs target rdev flags size content same-as blocks, and "holes" (sparseness).
 */
export function compareTrees(a: string, b: string, ignore: string[] = [], user: User = {}): string {
  const args = [script, "compare", a, b, ...(ignore.length > 0 ? ["--ignore", ignore.join(",")] : [])];
  const result = spawnSync(python, args, { encoding: "utf8", ...user });
  if (result.status === 0) return "";
  return result.stdout + result.stderr;
}

/** Removes trees, immutable files among them. */
export function cleanTree(directory: string): void {
  execFileSync(python, [script, "clean", directory]);
}

/** What real Borg's MetadataCollector says of each entry: hex path to fields. */
export function borgCapture(
  directory: string,
  ...options: string[]
): Record<string, Record<string, unknown>> {
  const args = [path.join(here, "borg-capture.py"), directory, ...options];
  return JSON.parse(execFileSync(python, args, { encoding: "utf8", maxBuffer: 1 << 28 }));
}

export function hasBorgModules(): boolean {
  return spawnSync(python, ["-c", "import borg.archive"]).status === 0;
}

export interface Runtime {
  name: string;
  command: string[];
  env: Record<string, string>;
}

/** This Node, and every other runtime that test/runtimes has; each with its FFI. */
export function runtimes(): Runtime[] {
  const modules = path.join(project, "test/runtimes/node_modules");
  const found: Runtime[] = [{ name: `node ${process.versions.node}`, command: [process.execPath], env: {} }];
  for (const version of [20, 24, 26]) {
    const node = path.join(modules, `node${version}/bin/node`);
    if (!existsSync(node)) continue;
    found.push({ name: `node${version}`, command: [node], env: {} });
    if (version === 26)
      found.push({ name: "node26, node:ffi", command: [node], env: { ALCOVE_FFI: "node:ffi" } });
  }
  const deno = path.join(modules, ".bin/deno");
  if (existsSync(deno)) found.push({ name: "deno", command: [deno, "run", "-A"], env: {} });
  const bun = path.join(modules, ".bin/bun");
  if (existsSync(bun)) found.push({ name: "bun", command: [bun], env: {} });
  return found;
}

/** One file of JavaScript from a TypeScript script, in a directory that everybody may read and that finds koffi. */
export async function bundle(entry: string): Promise<string> {
  const directory = mkdtempSync(path.join(os.tmpdir(), "alcove-bundle-"));
  chmodSync(directory, 0o755);
  symlinkSync(path.join(project, "node_modules"), path.join(directory, "node_modules"));
  const outfile = path.join(directory, "script.mjs");
  await build({
    entryPoints: [path.resolve(here, entry)],
    outfile,
    bundle: true,
    platform: "node",
    format: "esm",
    target: "node20",
    logLevel: "error",
  });
  return outfile;
}

/** Runs a script; @throws with its error output if it fails. */
export function runScript(runtime: Runtime, file: string, args: string[], user: User = {}): string {
  const [program, ...first] = runtime.command;
  const result = spawnSync(program!, [...first, file, ...args], {
    encoding: "utf8",
    env: {
      ...process.env,
      HOME: os.tmpdir(),
      DENO_DIR: path.join(path.dirname(file), "deno"),
      DENO_NO_UPDATE_CHECK: "1",
      ...runtime.env,
    },
    timeout: 60_000,
    ...user,
  });
  if (result.status !== 0) throw new Error(`${runtime.name}: ${result.error ?? ""}${result.stderr}`);
  return result.stdout;
}
