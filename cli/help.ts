// Help made from the table: one screen for the program, a page for each command with its examples, and for the
// groups of two-word commands. Wrapped to the terminal's width, coloured there unless NO_COLOR is set.
import type { Program } from "./context.ts";
import { commandGroups, commands, commonOptions } from "./options.ts";
import type { OutStream } from "./output/stream.ts";
import { type Style, style } from "./output/style.ts";
import { width, wrap } from "./output/text.ts";
import type { Parsed } from "./parse.ts";
import type { CommandSpec, OptionSpec, PositionalSpec } from "./table/spec.ts";

type Env = Record<string, string | undefined>;

/** Text columns: the terminal's, at most 100; 80 where there is none. */
function columnsOf(out: OutStream): number {
  return Math.min(100, Math.max(40, out.columns() ?? 80));
}

export function printHelp(parsed: Parsed, program: Program, out: OutStream, env: Env): void {
  const s = style(out, env);
  const columns = columnsOf(out);
  if (parsed.command) out.write(commandHelp(parsed.command, program.name, columns, s));
  else if (parsed.group) out.write(groupHelp(parsed.group, program.name, columns, s));
  else out.write(programHelp(program, columns, s));
}

/** Of the commands for care, those that everybody needs; the others are named only, so that a terminal of 24 lines
 *  holds everything. */
const EXPLAINED = new Set(["prune", "compact", "delete", "check"]);

/** The first screen. */
export function programHelp(program: Program, columns: number, s: Style): string {
  const { name } = program;
  const lines = [`${s.bold("Usage:")} ${name} [options] COMMAND [options] REPOSITORY[::ARCHIVE] …`];
  const explained = commands.filter((c) => c.section === "everyday" || EXPLAINED.has(c.name));
  const section = (title: string, which: CommandSpec["section"]) => {
    const rows = explained.filter((c) => c.section === which).map((c) => [c.name, c.summary] as const);
    lines.push(s.heading(title), ...twoColumns(rows, columns, 12, s));
  };
  section("Every day", "everyday");
  section("Care for a repository", "care");
  const more = commands.filter((c) => !explained.includes(c)).map((c) => c.name.split(" ")[0]!);
  lines.push(s.heading("More"), wrap([...new Set(more)].join(", "), columns, "  "));
  lines.push(
    s.heading("Options for all commands"),
    wrap("-v, -p/--progress, --log-json, --lock-wait N, --rsh RSH, …: help common", columns, "  "),
    `${name} COMMAND --help explains a command, ${name} help TOPIC a topic:`,
    "patterns, placeholders, compression, common.",
  );
  return `${lines.join("\n")}\n`;
}

export function groupHelp(group: string, program: string, columns: number, s: Style): string {
  const members = commands.filter((c) => c.name.startsWith(`${group} `));
  const lines = [
    `${s.bold("Usage:")} ${program} ${group} COMMAND …`,
    "",
    `${capital(commandGroups.get(group)!)}.`,
    "",
    s.heading("Commands"),
    ...twoColumns(
      members.map((c) => [c.name, c.summary] as const),
      columns,
      Math.max(...members.map((c) => c.name.length)) + 2,
      s,
    ),
  ];
  return `${lines.join("\n")}\n`;
}

export interface CommandHelpParts {
  usage?: boolean;
  about?: boolean;
}

export function commandHelp(
  command: CommandSpec,
  program: string,
  columns: number,
  s: Style,
  parts: CommandHelpParts = { usage: true, about: true },
): string {
  const blocks: string[] = [];
  if (parts.usage)
    blocks.push(`${s.bold("Usage:")} ${usageLine(command, program)}`, `${capital(command.summary)}.`);
  if (parts.about) blocks.push(...command.about.map((p) => wrap(p, columns)));
  if (parts.usage) {
    if (command.positionals.length) {
      const rows = command.positionals.map((p) => [p.label, p.help] as const);
      blocks.push([s.heading("Arguments"), ...twoColumns(rows, columns, 26, s)].join("\n"));
    }
    for (const [title, options] of optionGroups(command)) {
      const rows = options.map((o) => [flagsText(o), o.help] as const);
      blocks.push([s.heading(title), ...twoColumns(rows, columns, 30, s)].join("\n"));
    }
    blocks.push(wrap(`Options for all commands (-v, -p, --log-json, …): ${program} help common`, columns));
  }
  if (parts.about && command.examples.length) {
    const shown = command.examples.flatMap((e) => [
      `  ${s.dim(`# ${e.what}`)}`,
      `  ${e.line.includes("| alcove") ? e.line.replace("| alcove", `| ${program}`) : `${program} ${e.line}`}`,
    ]);
    blocks.push([s.heading("Examples"), ...shown].join("\n"));
  }
  return `${blocks.join("\n\n")}\n`;
}

/** "alcove create [options] ARCHIVE [PATH …]". */
export function usageLine(command: CommandSpec, program: string): string {
  const required = command.options.filter((o) => o.required).map((o) => `${o.flags[0]} ${o.value}`);
  return [program, command.name, ...required, "[options]", ...command.positionals.map(positionalText)].join(
    " ",
  );
}

function positionalText(p: PositionalSpec): string {
  switch (p.nargs) {
    case "?":
      return `[${p.label}]`;
    case "*":
    case "...":
      return `[${p.label} …]`;
    case "+":
      return `${p.label} …`;
    default:
      return p.label;
  }
}

/** "-C, --compression COMPRESSION". */
export function flagsText(option: OptionSpec): string {
  const flags = option.flags.join(", ");
  if (option.value === undefined) return flags;
  return option.implied === undefined ? `${flags} ${option.value}` : `${flags} [${option.value}]`;
}

/** A command's own options under their headings. */
export function optionGroups(command: CommandSpec): Map<string, OptionSpec[]> {
  const groups = new Map<string, OptionSpec[]>();
  for (const option of command.options) {
    const title = option.group ?? "Options";
    const list = groups.get(title);
    if (list) list.push(option);
    else groups.set(title, [option]);
  }
  return groups;
}

/** The page of the common options. */
export function commonHelp(columns: number, s: Style): string {
  const rows = commonOptions.map((o) => [flagsText(o), o.help] as const);
  return `${[s.heading("Common options"), ...twoColumns(rows, columns, 34, s)].join("\n")}\n\n${wrap(
    "They may stand before or after the command. With --workers, memory grows by about 100 MB a worker at most.",
    columns,
  )}\n`;
}

/** Rows of a term and its meaning; a term that is too long gets a line of its own. */
function twoColumns(
  rows: readonly (readonly [string, string])[],
  columns: number,
  left: number,
  s: Style,
): string[] {
  return rows.flatMap(([term, meaning]) => {
    const text = wrap(meaning, columns - left - 2).split("\n");
    const indent = " ".repeat(left + 2);
    const first = `  ${s.bold(term)}`;
    if (width(term) + 2 > left) return [first, ...text.map((t) => indent + t)];
    return [first + " ".repeat(left - width(term)) + text[0], ...text.slice(1).map((t) => indent + t)];
  });
}

function capital(text: string): string {
  return text[0]!.toUpperCase() + text.slice(1);
}
