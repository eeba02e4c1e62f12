// with-lock: runs a program while the repository is locked exclusively, and gives its exit code.
import { spawn } from "node:child_process";
import { MANIFEST_ID } from "../../src/archive/manifest.ts";
import { CommandError } from "../../src/errors.ts";
import type { Args } from "../args.ts";
import type { Context } from "../context.ts";
import { childEnvironment } from "../environment.ts";
import { withRepository } from "../repository.ts";

export async function run(args: Args, ctx: Context): Promise<number> {
  return withRepository(ctx, args, { exclusive: true }, async ({ repository }) => {
    // Servers before 1.1 know no exclusive flag in open(); rewriting the manifest makes them lock exclusively.
    await repository.put(MANIFEST_ID, await repository.get(MANIFEST_ID));
    try {
      return await call(args.word("command")!, args.words("args"), ctx);
    } finally {
      // Committed and not rolled back: the segment file that the put has made must never be written again with
      // other content, or programs that skip existing files would copy a broken mixture.
      await repository.commit({ compact: false });
    }
  });
}

function call(command: string, args: readonly string[], ctx: Context): Promise<number> {
  return new Promise((resolve, reject) => {
    const failed = (e: Error) => reject(new CommandError(`cannot run '${command}': ${e.message}`));
    const child = spawn(command, args, { stdio: "inherit", env: childEnvironment(ctx.env) });
    const stop = () => child.kill("SIGTERM");
    ctx.signal.addEventListener("abort", stop, { once: true });
    child.on("error", failed);
    child.on("close", (code, signal) => {
      ctx.signal.removeEventListener("abort", stop);
      if (ctx.signal.aborted) reject(ctx.signal.reason);
      else resolve(code ?? 128 + (signalNumbers[signal ?? "SIGTERM"] ?? 15));
    });
  });
}

const signalNumbers: Partial<Record<NodeJS.Signals, number>> = {
  SIGHUP: 1,
  SIGINT: 2,
  SIGQUIT: 3,
  SIGABRT: 6,
  SIGKILL: 9,
  SIGSEGV: 11,
  SIGPIPE: 13,
  SIGTERM: 15,
};
