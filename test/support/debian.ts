// A minimal Debian as a directory, by debootstrap: made once a machine, as it takes longer than any test of it, and
// kept below the temporary directory. Who wants to change it copies it first.
import { spawnSync } from "node:child_process";
import { existsSync, lstatSync, mkdirSync, renameSync, rmdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export type Processor = "amd64" | "arm64";

/**
 * That of another processor is unpacked and not configured (that takes programs of its own to run): as files it is a
 * system's root like any other. @returns undefined where debootstrap is not installed, may not, or gets nothing
 */
export function debian(processor: Processor): string | undefined {
  const root = join(tmpdir(), `alcove-debian-root${processor === "amd64" ? "" : `-${processor}`}`);
  const mine = (): string | undefined => (lstatSync(root).uid === 0 ? root : undefined);
  if (existsSync(root)) return mine();
  if (process.getuid?.() !== 0 || spawnSync("debootstrap", ["--version"]).status !== 0) return undefined;
  // One test makes it, and others that come meanwhile wait. What a killed one left behind is no obstacle for long.
  const lock = `${root}.making`;
  for (let waited = 0; !lockedBy(lock); waited++) {
    if (existsSync(root)) return mine();
    if (waited > 240) return undefined;
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1000);
  }
  const part = `${root}.${process.pid}`;
  try {
    if (existsSync(root)) return mine();
    const foreign = processor === process.arch.replace("x64", "amd64") ? [] : ["--foreign"];
    const words = [`--arch=${processor}`, ...foreign, "--variant=minbase", "bookworm", part];
    if (spawnSync("debootstrap", words, { timeout: 240_000 }).status !== 0) return undefined;
    rmSync(join(part, "var/cache/apt/archives"), { recursive: true, force: true });
    renameSync(part, root);
    return root;
  } finally {
    rmSync(part, { recursive: true, force: true });
    rmdirSync(lock);
  }
}

function lockedBy(lock: string): boolean {
  try {
    mkdirSync(lock);
    return true;
  } catch {
    return false; // another one is at it
  }
}
