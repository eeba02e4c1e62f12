// Who runs the program, where and how: what archives record, and how many workers are used.
import { fullHostname, osUserName, runtime } from "../src/runtime/index.ts";
import type { Context } from "./context.ts";

/** The command line as archives keep it. */
export function commandLine(ctx: Context): string[] {
  return [ctx.program.name, ...process.argv.slice(2)];
}

/** BORG_HOSTNAME and BORG_USERNAME override the system's answers. */
export function hostAndUser(env: Context["env"]): { hostname: string; username: string } {
  return { hostname: env["BORG_HOSTNAME"] || fullHostname(), username: env["BORG_USERNAME"] || osUserName() };
}

/** Worker threads: as asked for, or one a core up to four. */
export function workerCount(ctx: Context): number {
  return ctx.workers ?? Math.min(runtime.cores, 4);
}
