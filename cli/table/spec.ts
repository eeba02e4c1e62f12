// The vocabulary of the one table of commands and options: parser, help, completions, man page and tests read
// the same records. Facts (flags, arity, defaults, choices) are those of Borg 1.4's argument parser.

/** How the text of a value becomes a value; the converters are in cli/values.ts. */
export type ValueType =
  | "text"
  | "int" // Python's int(): sign, spaces and underscores allowed
  | "positive" // an int above 0
  | "octal" // a mode or umask
  | "path" // not empty
  | "quota" // "5G", 0 or at least 10M
  | "interval" // hours, from "3d"
  | "placeholders" // text whose {placeholders} are replaced
  | "archive-name" // one archive name, placeholders replaced
  | "sort-keys"
  | "diff-sort"
  | "files-cache"
  | "chunker-params"
  | "compression"
  | "timestamp";

/** The four options whose order among each other counts. */
export type PatternKind = "exclude" | "exclude-from" | "pattern" | "patterns-from";

export interface OptionSpec {
  /** Key under which commands ask for it: the canonical long name without dashes ("o" for -o). */
  name: string;
  flags: readonly string[];
  /** Name of the value in help; absent for a flag. */
  value?: string;
  type?: ValueType;
  default?: unknown;
  choices?: readonly string[];
  /** "list" collects values, "count" counts the occurrences of a flag. */
  repeat?: "list" | "count";
  required?: boolean;
  /** The value may be left out; this is then meant (argparse's nargs="?" with const). */
  implied?: string;
  pattern?: PatternKind;
  /** A second occurrence is an error. */
  once?: boolean;
  /** At most one option of an exclusive set may be given. */
  exclusive?: string;
  /** Sets a level of the log instead of a value of its own. */
  logLevel?: "critical" | "error" | "warning" | "info" | "debug";
  /** Old spelling: the option it stands for. */
  standsFor?: string;
  /** Printed when the old spelling (its first flag) is used. */
  deprecated?: string;
  /** Heading in help. */
  group?: string;
  /** Not in Borg. */
  own?: boolean;
  help: string;
}

export interface PositionalSpec {
  /** Key: "location" is parsed as REPO or REPO::ARCHIVE, the others are text. */
  name: string;
  /** Name in help, as Borg shows it. */
  label: string;
  /** Absent: exactly one. "..." takes everything that follows, options included. */
  nargs?: "?" | "*" | "+" | "...";
  /** With nargs "?": only together with this option may it be left out. */
  unless?: string;
  /** For the location: true, an archive is needed; false, none may be given. */
  archive?: boolean;
  /** For the location: only a repository on this machine. */
  local?: boolean;
  type?: ValueType;
  help: string;
}

export interface Example {
  /** Command line after the program's name. */
  line: string;
  what: string;
}

export interface CommandSpec {
  /** "create", "key export". */
  name: string;
  /** One line for the overview. */
  summary: string;
  /** Paragraphs of the command's help. */
  about: readonly string[];
  options: readonly OptionSpec[];
  positionals: readonly PositionalSpec[];
  examples: readonly Example[];
  /** May be used with --bypass-lock. */
  bypassLock?: boolean;
  /** Not in Borg. */
  own?: boolean;
  /** Shown on the first screen under this heading. */
  section: "everyday" | "care" | "admin" | "more";
}
