// Data and paths from other programs: --content-from-command, --paths-from-command, --paths-from-stdin.
import { spawn } from "node:child_process";
import { readSync } from "node:fs";
import { CommandError, describeSystemError } from "../src/errors.ts";
import { fsDecode } from "../src/format/bytes.ts";
import type { Context } from "./context.ts";

/** Runs a program and gives its output to `work`. @throws CommandError if it cannot be run or fails */
export async function runFilter(
  command: readonly string[],
  ctx: Context,
  work: (output: AsyncIterable<Uint8Array>) => Promise<void>,
): Promise<void> {
  await work(outputOf(command, ctx));
}

/** What a program prints. The iteration ends with a CommandError if it could not be run or failed. */
async function* outputOf(command: readonly string[], ctx: Context): AsyncGenerator<Uint8Array> {
  const child = spawn(command[0]!, command.slice(1), { stdio: ["ignore", "pipe", "inherit"], env: ctx.env });
  const ended = new Promise<number>((resolve, reject) => {
    child.on("error", (e) =>
      reject(new CommandError(`Failed to execute command: ${describeSystemError(e)}`)),
    );
    child.on("close", (code) => resolve(code ?? 128));
  });
  // Seen at once if the program cannot be started; awaited for real below.
  ended.catch(() => {});
  for await (const piece of child.stdout) yield piece as Uint8Array;
  const code = await ended;
  if (code !== 0) throw new CommandError(`Command '${command[0]}' exited with status ${code}`);
}

/** Paths that a program prints. */
export function pathsFromCommand(
  command: readonly string[],
  ctx: Context,
  delimiter: string | undefined,
): AsyncGenerator<string> {
  return separated(outputOf(command, ctx), delimiter);
}

export function pathsFromStdin(delimiter: string | undefined): AsyncGenerator<string> {
  return separated(standardInput(), delimiter);
}

/** Standard input in pieces; a copy each. */
export async function* standardInput(): AsyncGenerator<Uint8Array> {
  const buffer = new Uint8Array(1 << 20);
  for (;;) {
    let n: number;
    try {
      n = readSync(0, buffer);
    } catch (e) {
      const { code } = e as NodeJS.ErrnoException;
      if (code === "EOF") return;
      if (code !== "EAGAIN") throw e;
      await new Promise((resolve) => setTimeout(resolve, 5));
      continue;
    }
    if (n === 0) return;
    yield buffer.slice(0, n);
  }
}

/** Text between separators; backslash escapes in the separator are understood (\\0, \\n, \\x1f …). */
async function* separated(pieces: AsyncIterable<Uint8Array>, delimiter = "\\n"): AsyncGenerator<string> {
  const separator = interpretEscapes(delimiter);
  let rest = Buffer.alloc(0);
  const mark = Buffer.from(separator, "utf8");
  for await (const piece of pieces) {
    rest = Buffer.concat([rest, piece]);
    let from = 0;
    for (let at = rest.indexOf(mark); at >= 0; at = rest.indexOf(mark, from)) {
      if (at > from) yield fsDecode(rest.subarray(from, at));
      from = at + mark.length;
    }
    rest = rest.subarray(from);
  }
  if (rest.length > 0) yield fsDecode(rest);
}

const escapes: Record<string, string> = { n: "\n", t: "\t", r: "\r", "0": "\0", "\\": "\\" };

function interpretEscapes(text: string): string {
  return text.replace(/\\(x[0-9a-fA-F]{2}|.)/g, (_, e: string) =>
    e.length > 1 ? String.fromCharCode(Number.parseInt(e.slice(1), 16)) : (escapes[e] ?? `\\${e}`),
  );
}
