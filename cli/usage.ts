// A command line that cannot be understood: plain text on stderr and exit code 2, whatever the log options say.
import type { CommandSpec } from "./table/spec.ts";

export class UsageError extends Error {
  /** The command it happened in, if it was known by then. */
  readonly command: CommandSpec | undefined;
  constructor(message: string, command?: CommandSpec) {
    super(message);
    this.name = "UsageError";
    this.command = command;
  }
}

/** "argument -C/--compression: why" as argparse words it, so that the option is always named. */
export function argumentError(
  flags: readonly string[] | string,
  why: string,
  command?: CommandSpec,
): UsageError {
  return new UsageError(`argument ${typeof flags === "string" ? flags : flags.join("/")}: ${why}`, command);
}
