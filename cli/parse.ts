// Command line to command, options and positionals, with the rules of Python's argparse that Borg's users and
// the programs driving Borg rely on: common options on either side of the command, `--opt=value`, `-C lz4` and
// `-Clz4`, grouped short flags, unambiguous abbreviations, `--`, values that look like numbers kept as text,
// and the order of -e, --exclude-from, --pattern and --patterns-from among each other.
//
// Why our own scanner over the table, not cac or node:util's parseArgs: cac groups repeated options by name
// (their order among each other is lost), turns "0012" into 12, takes -v for itself, puts what follows `--`
// aside and knows commands of one word; parseArgs gives ordered tokens but neither abbreviations nor optional
// values, and takes "-x" after a valued option as its value where argparse refuses. Correcting either from
// outside took more code than this file.
//
// More liberal than argparse in one point: positionals may stand anywhere among the options, also where
// argparse says "unrecognized arguments" because an earlier group of positionals was complete.
import { commandGroups, commands, commonOptions, findCommand } from "./options.ts";
import type { CommandSpec, OptionSpec, PatternKind } from "./table/spec.ts";
import { argumentError, UsageError } from "./usage.ts";

export interface PatternOp {
  kind: PatternKind;
  value: string;
}

/** A command line taken apart. All values are still text; cli/values.ts converts them. */
export interface Parsed {
  kind: "command" | "help" | "version";
  /** Absent for help on the whole program or on a group. */
  command?: CommandSpec;
  /** "key", "debug", "benchmark" where only that was given. */
  group?: string;
  /** By option name: the text, the texts of a repeatable option, or how often a flag was given. */
  values: Map<string, string | string[] | number>;
  /** By option name: the flag as it was written, for messages. */
  spelled: Map<string, string>;
  positionals: Map<string, string | string[]>;
  /** In the order given. */
  patternOps: PatternOp[];
  logLevel: NonNullable<OptionSpec["logLevel"]>;
  /** What to say about old spellings, one line each. */
  deprecations: string[];
}

interface Match {
  option: OptionSpec;
  flag: string;
  explicit: string | undefined;
}

const versionOption: OptionSpec = {
  name: "version",
  flags: ["-V", "--version"],
  help: "show the version and exit",
};

/** Parses what follows the program's name.
 *  @throws UsageError */
export function parse(argv: readonly string[]): Parsed {
  return new Scanner(argv).run();
}

class Scanner {
  private readonly argv: readonly string[];
  private at = 0;
  private options: readonly OptionSpec[] = [...commonOptions, versionOption];
  private readonly out: Parsed = {
    kind: "command",
    values: new Map(),
    spelled: new Map(),
    positionals: new Map(),
    patternOps: [],
    logLevel: "warning",
    deprecations: [],
  };
  private readonly exclusive = new Map<string, Match>();

  constructor(argv: readonly string[]) {
    this.argv = argv;
  }

  run(): Parsed {
    const { out } = this;
    const first = this.word();
    if (first === undefined || out.kind !== "command") return this.asHelp();
    let name = first;
    if (commandGroups.has(first)) {
      this.options = commonOptions;
      const second = this.word();
      if (second === undefined || out.kind !== "command") {
        out.group = first;
        return this.asHelp();
      }
      name = `${first} ${second}`;
    }
    const command = findCommand(name);
    if (!command) throw unknownCommand(name);
    out.command = command;
    this.options = [...command.options, ...commonOptions];
    const words = this.words(command);
    if (out.kind === "command") {
      this.distribute(command, words);
      for (const option of command.options) {
        if (option.required && !out.values.has(option.name)) {
          throw new UsageError(`the following arguments are required: ${option.flags.join("/")}`, command);
        }
      }
    }
    return out;
  }

  private asHelp(): Parsed {
    if (this.out.kind === "command") this.out.kind = "help";
    return this.out;
  }

  /** Options up to the next word, which is returned; undefined at the end, or where help was asked for. */
  private word(): string | undefined {
    let dashes = false;
    while (this.at < this.argv.length) {
      const arg = this.argv[this.at]!;
      if (arg === "--" && !dashes) {
        dashes = true;
        this.at++;
        continue;
      }
      const match = dashes ? undefined : this.classify(arg);
      if (!match) {
        this.at++;
        return arg;
      }
      this.consume(match);
      if (this.out.kind !== "command") return undefined;
    }
    return undefined;
  }

  /** All words of the command, with options taken out. */
  private words(command: CommandSpec): string[] {
    const words: string[] = [];
    const remainder = command.positionals.findIndex((p) => p.nargs === "...");
    let dashes = false;
    while (this.at < this.argv.length) {
      const arg = this.argv[this.at]!;
      if (remainder >= 0 && words.length >= remainder) {
        // Everything from here on belongs to somebody else's command line.
        const rest = this.argv.slice(this.at);
        if (!dashes && rest[0] === "--") rest.shift();
        return [...words, ...rest];
      }
      if (arg === "--" && !dashes) {
        dashes = true;
        this.at++;
        continue;
      }
      const match = dashes ? undefined : this.classify(arg);
      if (match) {
        this.consume(match);
        if (this.out.kind !== "command") return words;
      } else {
        words.push(arg);
        this.at++;
      }
    }
    return words;
  }

  /** The option that an argument is; undefined for a word. Follows argparse's order of tests. */
  private classify(arg: string): Match | undefined {
    if (!arg.startsWith("-") || arg === "-") return undefined;
    const exact = this.find(arg);
    if (exact) return { option: exact, flag: arg, explicit: undefined };
    const equals = arg.indexOf("=");
    if (equals > 0) {
      const option = this.find(arg.slice(0, equals));
      if (option) return { option, flag: arg.slice(0, equals), explicit: arg.slice(equals + 1) };
    }
    const candidates = arg.startsWith("--") ? this.abbreviated(arg, equals) : this.short(arg);
    if (candidates.length === 1) return candidates[0];
    if (candidates.length > 1) {
      const could = candidates.map((c) => c.flag).join(", ");
      throw new UsageError(`ambiguous option: ${arg} could match ${could}`, this.out.command);
    }
    if (/^-\d+$|^-\d*\.\d+$/.test(arg) || arg.includes(" ")) return undefined;
    throw new UsageError(`unrecognized arguments: ${arg}${this.suggestion(arg)}`, this.out.command);
  }

  private find(flag: string): OptionSpec | undefined {
    return this.options.find((o) => o.flags.includes(flag));
  }

  private abbreviated(arg: string, equals: number): Match[] {
    const prefix = equals > 0 ? arg.slice(0, equals) : arg;
    const explicit = equals > 0 ? arg.slice(equals + 1) : undefined;
    const found: Match[] = [];
    for (const option of this.options) {
      for (const flag of option.flags) if (flag.startsWith(prefix)) found.push({ option, flag, explicit });
    }
    // Several spellings of one option are no ambiguity; the current one is taken.
    const targets = new Set(found.map((m) => m.option.standsFor ?? m.option.name));
    if (targets.size === 1) return [found.find((m) => !m.option.standsFor) ?? found[0]!];
    return found;
  }

  private short(arg: string): Match[] {
    const flag = arg.slice(0, 2);
    const option = this.find(flag);
    return option ? [{ option, flag, explicit: arg.slice(2) }] : [];
  }

  private suggestion(arg: string): string {
    const wanted = arg.split("=")[0]!;
    const best = nearest(
      wanted,
      this.options.flatMap((o) => [...o.flags]).filter((f) => f.startsWith("--")),
    );
    return best ? ` (did you mean ${best}?)` : "";
  }

  /** Takes the option at the current argument, and its value. */
  private consume(match: Match): void {
    this.at++;
    const { option } = match;
    if (option.value === undefined) {
      if (match.explicit !== undefined) {
        // "-vp" is -v and -p; "--stats=1" is an error.
        const next = match.flag.startsWith("--") ? undefined : this.find(`-${match.explicit[0] ?? ""}`);
        if (!next)
          throw argumentError(
            option.flags,
            `ignored explicit argument '${match.explicit}'`,
            this.out.command,
          );
        this.flag(match);
        if (this.out.kind !== "command") return;
        this.at--; // the inner call moves on by itself
        const rest = match.explicit.slice(1);
        const explicit = rest === "" ? undefined : next.value !== undefined ? rest.replace(/^=/, "") : rest;
        this.consume({ option: next, flag: `-${match.explicit[0]}`, explicit });
        return;
      }
      this.flag(match);
      return;
    }
    let value = match.explicit;
    if (value === undefined) {
      const next = this.argv[this.at];
      if (option.implied !== undefined) {
        // Only one of the choices is taken for the value, so that a repository may follow.
        if (next !== undefined && option.choices?.includes(next)) {
          value = next;
          this.at++;
        } else value = option.implied;
      } else {
        if (next === undefined || next === "--" || this.isOption(next)) {
          throw argumentError(option.flags, "expected one argument", this.out.command);
        }
        value = next;
        this.at++;
      }
    }
    this.store(match, value);
  }

  private isOption(arg: string): boolean {
    try {
      return this.classify(arg) !== undefined;
    } catch (e) {
      if (e instanceof UsageError) return true;
      throw e;
    }
  }

  private flag(match: Match): void {
    const { option } = match;
    const { out } = this;
    if (option.name === "help" && option.flags.includes("-h")) out.kind = "help";
    else if (option === versionOption) out.kind = "version";
    else if (option.logLevel) out.logLevel = option.logLevel;
    else {
      this.note(match);
      const name = option.standsFor ?? option.name;
      out.values.set(name, ((out.values.get(name) as number | undefined) ?? 0) + 1);
    }
  }

  private store(match: Match, value: string): void {
    const { option } = match;
    const { out } = this;
    const name = option.standsFor ?? option.name;
    if (option.choices && !option.choices.includes(value)) {
      const choices = option.choices.map((c) => `'${c}'`).join(", ");
      throw argumentError(option.flags, `invalid choice: '${value}' (choose from ${choices})`, out.command);
    }
    this.note(match);
    if (option.pattern) out.patternOps.push({ kind: option.pattern, value });
    else if (option.repeat === "list") {
      const list = out.values.get(name) as string[] | undefined;
      if (list) list.push(value);
      else out.values.set(name, [value]);
    } else {
      if (option.once && out.values.has(name))
        throw argumentError(option.flags, "There can be only one.", out.command);
      out.values.set(name, value);
    }
  }

  /** Remembers the spelling, warns about old ones, and refuses options that exclude each other. */
  private note(match: Match): void {
    const { option, flag } = match;
    const { out } = this;
    out.spelled.set(option.standsFor ?? option.name, flag);
    // Borg warns about the long spelling only: -P is silent.
    if (option.deprecated && flag.startsWith("--") && !out.deprecations.includes(option.deprecated)) {
      out.deprecations.push(option.deprecated);
    }
    if (option.exclusive) {
      const other = this.exclusive.get(option.exclusive);
      if (other && other.option !== option) {
        throw argumentError(
          option.flags,
          `not allowed with argument ${other.option.flags.join("/")}`,
          out.command,
        );
      }
      this.exclusive.set(option.exclusive, match);
    }
  }

  /** Words to positionals, from left to right; an optional one takes a word only if those after it get theirs. */
  private distribute(command: CommandSpec, words: string[]): void {
    const { positionals } = command;
    let at = 0;
    const missing: string[] = [];
    positionals.forEach((p, i) => {
      const neededAfter = positionals
        .slice(i + 1)
        .filter((q) => q.nargs === undefined || q.nargs === "+").length;
      const available = Math.max(0, words.length - at - neededAfter);
      switch (p.nargs) {
        case undefined:
          if (at < words.length) this.out.positionals.set(p.name, words[at++]!);
          else missing.push(p.label);
          break;
        case "?":
          if (available > 0) this.out.positionals.set(p.name, words[at++]!);
          else if (p.unless && !this.out.values.has(p.unless)) missing.push(p.label);
          break;
        default:
          if (p.nargs === "+" && available === 0) missing.push(p.label);
          this.out.positionals.set(p.name, words.slice(at, at + available));
          at += available;
      }
    });
    if (missing.length) {
      throw new UsageError(`the following arguments are required: ${missing.join(", ")}`, command);
    }
    if (at < words.length)
      throw new UsageError(`unrecognized arguments: ${words.slice(at).join(" ")}`, command);
  }
}

function unknownCommand(name: string): UsageError {
  const names = commands.map((c) => c.name);
  const group = name.split(" ")[0]!;
  const inGroup = commandGroups.has(group) ? names.filter((n) => n.startsWith(`${group} `)) : names;
  const best = nearest(name, inGroup);
  const shown = [
    ...new Set(inGroup.map((n) => (commandGroups.has(group) ? n.slice(group.length + 1) : n.split(" ")[0]))),
  ];
  const choices = shown.map((n) => `'${n}'`).join(", ");
  const hint = best ? ` Did you mean "${best}"?` : "";
  return new UsageError(
    `argument <command>: invalid choice: '${name.slice(commandGroups.has(group) ? group.length + 1 : 0)}' (choose from ${choices}).${hint}`,
  );
}

/** The name at an edit distance of at most a third of its length, if there is one. */
function nearest(wanted: string, names: readonly string[]): string | undefined {
  let best: string | undefined;
  let bestDistance = Number.POSITIVE_INFINITY;
  for (const name of names) {
    const d = distance(wanted, name);
    if (d < bestDistance && d <= Math.max(1, Math.floor(name.length / 3))) {
      best = name;
      bestDistance = d;
    }
  }
  return best;
}

function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      next.push(Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)));
    }
    row = next;
  }
  return row[b.length]!;
}
