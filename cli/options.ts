// The one table of commands and options. Parser, help, completions, man page and tests are made from it, so
// that an option exists in all of them or in none. The facts are those of borg 1.4.5's argument parser, plus
// our own additions, which are marked `own`.
import { admin } from "./table/admin.ts";
import { care } from "./table/care.ts";
import { debugCommands } from "./table/debug.ts";
import { everyday } from "./table/everyday.ts";
import type { CommandSpec, OptionSpec } from "./table/spec.ts";

export { commonOptions } from "./table/groups.ts";
export type {
  CommandSpec,
  Example,
  OptionSpec,
  PatternKind,
  PositionalSpec,
  ValueType,
} from "./table/spec.ts";

export const commands: readonly CommandSpec[] = [...everyday, ...care, ...admin, ...debugCommands];

const byName = new Map(commands.map((c) => [c.name, c]));

export function findCommand(name: string): CommandSpec | undefined {
  return byName.get(name);
}

/** First words of the two-word commands, with what they are for. */
export const commandGroups: ReadonlyMap<string, string> = new Map([
  ["key", "manage the key of a repository"],
  ["debug", "look at a repository's raw content"],
  ["benchmark", "measure this machine"],
]);

/** The option that a flag stands for; undefined if the command has no such flag. */
export function findOption(options: Iterable<OptionSpec>, flag: string): OptionSpec | undefined {
  for (const option of options) if (option.flags.includes(flag)) return option;
  return undefined;
}
