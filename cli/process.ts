// The command line as a process: its arguments, streams, signals and exit. Everything else is in cli/run.ts, which
// tests run without a process of their own.
import { exitAfterSignal, exitProcess } from "../src/runtime/exit.ts";
import type { Context } from "./context.ts";
import { FdStream } from "./output/stream.ts";
import { runCommandLine } from "./run.ts";
import { installSignalHandlers, type SignalAbort } from "./signals.ts";
import { ownVersion, programName } from "./version.ts";

/** Milliseconds a command gets to stop by itself. Front ends wait 3 s before they kill the process group, and an
 *  end from outside would leave the locks behind. */
const PATIENCE = 2500;
/** Commands that have to wait for something outside, or that must not leave it half done. */
const UNHURRIED = new Set(["with-lock", "mount", "umount", "serve", "compact", "upgrade", "benchmark crud"]);

export async function main(): Promise<void> {
  const abort = new AbortController();
  let ctx: Context | undefined;
  const end = (reason: SignalAbort) => {
    ctx?.runAbruptHandlers();
    exitAfterSignal(reason.signalNumber);
  };
  installSignalHandlers({
    abort: (reason) => {
      if (abort.signal.aborted) return;
      abort.abort(reason);
      if (ctx && UNHURRIED.has(ctx.command)) return;
      setTimeout(() => {
        ctx?.log.error(reason.message, reason.msgid ? { msgid: reason.msgid } : {});
        end(reason);
      }, PATIENCE).unref();
    },
    abrupt: end,
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
    program: { name: programName(process.argv), version: ownVersion() },
    env: process.env,
    stdout: new FdStream(1),
    stderr,
    signal: abort.signal,
    umask: (mask) => void process.umask(mask),
    onContext: (c) => {
      ctx = c;
    },
  });
  exitProcess(code);
}
