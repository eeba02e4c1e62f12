// Where each command's code is: imported when it is called, so that starting costs nothing for the others.
import type { Args } from "../args.ts";
import type { Context } from "../context.ts";

/** A command's code. It may give the exit code it wants, a number; problems are thrown. */
export interface CommandModule {
  run(args: Args, ctx: Context): Promise<unknown> | unknown;
}

export const loaders: Readonly<Record<string, () => Promise<CommandModule>>> = {
  completions: () => import("./completions.ts"),
  help: () => import("./help.ts"),
};
