// The programs that compress and decompress tar streams: chosen by the file's name, or as --tar-filter says. They run
// beside us, so that they use cores of their own, and any compressor will do.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync, readSync, writeSync } from "node:fs";
import { shellWords } from "../src/crypto/shellwords.ts";
import { AlcoveError } from "../src/errors.ts";
import type { Context } from "./context.ts";
import { childEnvironment } from "./environment.ts";
import { standardInput } from "./pipes.ts";

const byName: readonly (readonly [RegExp, string])[] = [
  [/\.(tar\.gz|tgz)$/, "gzip"],
  [/\.(tar\.bz2|tbz)$/, "bzip2"],
  [/\.(tar\.xz|txz)$/, "xz"],
  [/\.tar\.lz4$/, "lz4"],
  [/\.tar\.(zstd|zst)$/, "zstd"],
];

/** The filter's command line as words; undefined for none. */
export function tarFilter(option: string, file: string, decompress: boolean): string[] | undefined {
  if (option !== "auto") return option.trim() ? shellWords(option) : undefined;
  const program = byName.find(([name]) => name.test(file))?.[1];
  if (!program) return undefined;
  return decompress ? [program, "-d"] : [program];
}

/** Small writes are collected: a tar header is 512 bytes. */
const BATCH = 256 * 1024;

/** Gives `work` a function that writes to a file or "-", through the filter. What fails ends the filter too. */
export async function writeThrough(
  ctx: Context,
  file: string,
  filter: readonly string[] | undefined,
  work: (write: (bytes: Uint8Array) => void | Promise<void>) => Promise<void>,
): Promise<void> {
  const fd = file === "-" ? undefined : openSync(file, "w");
  try {
    if (!filter) {
      const direct = (bytes: Uint8Array) =>
        fd === undefined ? ctx.stdout.writeBytes(bytes) : writeAll(fd, bytes);
      await batched(direct, work);
      return;
    }
    const child = start(ctx, filter, ["pipe", fd ?? "inherit", "inherit"]);
    const input = child.process.stdin!;
    // A filter that ends early is reported by its exit code.
    input.on("error", () => {});
    const write = async (bytes: Uint8Array) => {
      if (!input.writable) throw child.failure();
      // The pipe keeps the bytes, and the caller's may be overwritten.
      if (!input.write(bytes.slice())) await Promise.race([once(input, "drain"), child.ended]);
    };
    try {
      await batched(write, work);
    } catch (e) {
      // The filter has ended before us: its exit code says why.
      if ((e as NodeJS.ErrnoException).code === "EPIPE") await child.finished();
      child.process.kill();
      await child.ended.catch(() => {});
      throw e;
    }
    input.end();
    await child.finished();
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}

/** The bytes of a file or "-", through the filter. */
export async function* readThrough(
  ctx: Context,
  file: string,
  filter: readonly string[] | undefined,
): AsyncGenerator<Uint8Array> {
  const fd = file === "-" ? undefined : openSync(file, "r");
  try {
    if (!filter) {
      yield* fd === undefined ? standardInput() : pieces(fd);
      return;
    }
    const child = start(ctx, filter, [fd ?? "inherit", "pipe", "inherit"]);
    let complete = false;
    try {
      for await (const piece of child.process.stdout!) yield piece as Uint8Array;
      complete = true;
    } finally {
      // A tar's end mark may come before the end of the stream; nobody waits for the rest.
      if (!complete) {
        child.process.kill();
        await child.ended.catch(() => {});
      }
    }
    await child.finished();
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}

interface Filter {
  process: ChildProcess;
  /** Its exit code. */
  ended: Promise<number>;
  /** @throws AlcoveError unless it ends with 0 */
  finished(): Promise<void>;
  failure(): AlcoveError;
}

function start(ctx: Context, command: readonly string[], stdio: ("pipe" | "inherit" | number)[]): Filter {
  const text = command.join(" ");
  const process = spawn(command[0]!, command.slice(1), { stdio, env: childEnvironment(ctx.env) });
  const ended = new Promise<number>((resolve, reject) => {
    process.on("error", (e) =>
      reject(new AlcoveError(`filter ${text}: it cannot be started (${e.message})`)),
    );
    process.on("close", (code) => resolve(code ?? 128));
  });
  ended.catch(() => {});
  const failure = (code?: number) =>
    new AlcoveError(`filter ${text} failed${code === undefined ? "" : `, rc=${code}`}`);
  return {
    process,
    ended,
    failure,
    finished: async () => {
      const code = await ended;
      if (code !== 0) throw failure(code);
    },
  };
}

async function batched(
  write: (bytes: Uint8Array) => void | Promise<void>,
  work: (write: (bytes: Uint8Array) => void | Promise<void>) => Promise<void>,
): Promise<void> {
  const buffer = new Uint8Array(BATCH);
  let filled = 0;
  const flush = async () => {
    if (filled) await write(buffer.subarray(0, filled));
    filled = 0;
  };
  await work(async (bytes) => {
    if (filled + bytes.length > BATCH) await flush();
    if (bytes.length >= BATCH) await write(bytes);
    else {
      buffer.set(bytes, filled);
      filled += bytes.length;
    }
  });
  await flush();
}

function writeAll(fd: number, bytes: Uint8Array): void {
  for (let done = 0; done < bytes.length; ) done += writeSync(fd, bytes, done);
}

function* pieces(fd: number): Generator<Uint8Array> {
  const buffer = new Uint8Array(1 << 20);
  for (;;) {
    const n = readSync(fd, buffer);
    if (n === 0) return;
    yield buffer.slice(0, n);
  }
}
