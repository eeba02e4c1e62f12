// Which runtime and operating system this is. Nothing outside src/runtime asks: everything else calls functions
// of this layer, which behave alike everywhere.
import os from "node:os";
import process from "node:process";

export type RuntimeName = "node" | "deno" | "bun";

interface Globals {
  Deno?: { version: { deno: string } };
  Bun?: { version: string };
}

const globals = globalThis as Globals;

/** The program that runs us. `cores` is what this process may use; `os` is "linux", "darwin", "freebsd", … */
export const runtime: {
  readonly name: RuntimeName;
  readonly version: string;
  readonly os: string;
  readonly arch: string;
  readonly cores: number;
} = {
  name: globals.Deno ? "deno" : globals.Bun ? "bun" : "node",
  version: globals.Deno?.version.deno ?? globals.Bun?.version ?? process.versions.node,
  os: process.platform,
  arch: process.arch,
  cores: countCores(),
};

function countCores(): number {
  try {
    return Math.max(1, os.availableParallelism?.() ?? os.cpus().length);
  } catch {
    return 1; // Deno without the permission to look
  }
}

/** Threads can be started from a program's text instead of a file. */
export const threadsTakeText = runtime.name === "node";

/** True where pointers have 32 bits: size_t, off_t and time_t need care there. */
export const is32bit = ["arm", "ia32", "mips", "mipsel", "ppc", "s390"].includes(runtime.arch);

export const isLinux = runtime.os === "linux";
