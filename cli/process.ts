// The command line as a process: its arguments, streams, signals and exit. Everything else is in cli/run.ts, which
// tests run without a process of their own.
import { invokedPath } from "../src/runtime/invoked.ts";
import type { Context } from "./context.ts";
import { FdStream } from "./output/stream.ts";
import { runCommandLine } from "./run.ts";
import { installSignalHandlers } from "./signals.ts";
import { ownVersion, programName } from "./version.ts";

export async function main(): Promise<void> {
  const abort = new AbortController();
  let ctx: Context | undefined;
  installSignalHandlers({
    abort: (reason) => {
      if (!abort.signal.aborted) abort.abort(reason);
    },
    abrupt: (reason) => {
      ctx?.runAbruptHandlers();
      process.exit(reason.exitCode);
    },
    info: () => {
      const text = ctx?.info();
      if (text) ctx?.log.info(text);
    },
  });
  const stderr = new FdStream(2);
  const fail = (e: unknown) => {
    stderr.write(`Internal error: ${e instanceof Error ? e.message : String(e)}\n`);
    process.exit(2);
  };
  process.on("uncaughtException", fail);
  process.on("unhandledRejection", fail);
  const code = await runCommandLine(process.argv.slice(2), {
    program: { name: programName(invokedPath()), version: ownVersion() },
    env: process.env,
    stdout: new FdStream(1),
    stderr,
    signal: abort.signal,
    umask: (mask) => void process.umask(mask),
    onContext: (c) => {
      ctx = c;
    },
  });
  process.exit(code);
}
