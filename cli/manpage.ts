// The manual page in man(7)'s macros, written from the table.
import type { Program } from "./context.ts";
import { flagsText, optionGroups, usageLine } from "./help.ts";
import { commands, commonOptions } from "./options.ts";
import { topics } from "./topics.ts";

/** Text that troff takes literally; other letters than ASCII by their numbers, whatever encoding it is told. */
function roff(text: string): string {
  return text
    .replaceAll("\\", "\\e")
    .replaceAll("-", "\\-")
    .replace(/^([.'])/gm, "\\&$1")
    .replace(
      /[^\x00-\x7f]/gu,
      (c) => `\\[u${c.codePointAt(0)!.toString(16).toUpperCase().padStart(4, "0")}]`,
    );
}

export function manPage(program: Program): string {
  const { name } = program;
  const out: string[] = [
    `.TH ${name.toUpperCase()} 1 "" "${name} ${program.version}" "Backup"`,
    ".SH NAME",
    `${roff(name)} \\- deduplicating, encrypted backups in BorgBackup's format`,
    ".SH SYNOPSIS",
    `.B ${name}`,
    ".RI [ options ]\n.I command\n.RI [ options ]\n.IR repository [:: archive ]\n.RI [ arguments ]",
    ".SH DESCRIPTION",
    roff(
      "Makes, lists, restores and prunes backups in repositories of BorgBackup 1.x, and works on the same repositories, keys and caches as Borg does.",
    ),
    ".SH COMMON OPTIONS",
    "They may stand before or after the command.",
  ];
  const options = (list: Iterable<{ flags: string; help: string }>) => {
    for (const { flags, help } of list) out.push(".TP", `.B ${roff(flags)}`, roff(help));
  };
  options(commonOptions.map((o) => ({ flags: flagsText(o), help: o.help })));
  out.push(".SH COMMANDS");
  for (const c of commands) {
    out.push(
      `.SS ${roff(c.name)}`,
      roff(usageLine(c, name)),
      ".PP",
      ...c.about.flatMap((p) => [roff(p), ".PP"]),
    );
    for (const [, group] of optionGroups(c))
      options(group.map((o) => ({ flags: flagsText(o), help: o.help })));
    out.push(".PP", "Examples:", ".nf");
    for (const e of c.examples)
      out.push(roff(`    # ${e.what}`), roff(`    ${e.line.includes("| ") ? e.line : `${name} ${e.line}`}`));
    out.push(".fi");
  }
  for (const [topic, text] of Object.entries(topics))
    out.push(`.SH ${topic.toUpperCase()}`, ".nf", roff(text.trimEnd()), ".fi");
  out.push(
    ".SH EXIT STATUS",
    roff(
      "0: success. 1: warnings. 2: error. 128+N: ended by signal N. With BORG_EXIT_CODES=modern errors have codes from 3 to 99 and warnings from 100 to 127 of their own.",
    ),
  );
  return `${out.join("\n")}\n`;
}
