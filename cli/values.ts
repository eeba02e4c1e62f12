// Turns what cli/parse.ts found into Args: texts become numbers, modes, locations and times, with the rules of the
// validators of Borg's argument parser. Whatever cannot be converted is a usage error that names the option.
import { AlcoveError } from "../src/errors.ts";
import { parseArchiveName, requireLocation } from "../src/format/location.ts";
import { type PlaceholderContext, replacePlaceholders } from "../src/format/placeholders.ts";
import { formatFileSize, parseFileSize } from "../src/format/sizes.ts";
import { parseInterval, parseTimestampArgument } from "../src/format/time.ts";
import { Args, type OptionValue } from "./args.ts";
import { commonOptions } from "./options.ts";
import type { Parsed } from "./parse.ts";
import type { CommandSpec, PositionalSpec, ValueType } from "./table/spec.ts";
import { argumentError, UsageError } from "./usage.ts";

type Env = Record<string, string | undefined>;

/** A value that is not what it should be; the message says why. */
class ValueProblem extends Error {}

/** @throws UsageError, and the errors of placeholders */
export async function resolve(parsed: Parsed, env: Env): Promise<Args> {
  const command = parsed.command!;
  const values = new Map<string, OptionValue>();
  const context: PlaceholderContext = { env };
  for (const [name, raw] of parsed.values) {
    const spec = [...command.options, ...commonOptions].find((o) => o.name === name)!;
    if (typeof raw === "number" || spec.type === undefined) values.set(name, raw);
    else {
      const convert = (text: string) =>
        option(spec.flags, command, () => convertText(spec.type!, text, context));
      values.set(
        name,
        typeof raw === "string" ? await convert(raw) : ((await Promise.all(raw.map(convert))) as string[]),
      );
    }
  }
  // {now} in archive names means --timestamp where that is given.
  const timestamp = values.get("timestamp") as number | undefined;
  const named: PlaceholderContext = timestamp === undefined ? context : { ...context, now: timestamp };
  const positionals = new Map<string, string | string[]>();
  let location: Args["location"] | undefined;
  for (const spec of command.positionals) {
    const raw = parsed.positionals.get(spec.name);
    if (spec.name === "location") {
      location = await option(spec.label, command, () =>
        place(spec, (raw as string | undefined) ?? "", env, named),
      );
    } else if (raw !== undefined) {
      const { type } = spec;
      if (type === undefined) positionals.set(spec.name, raw);
      else {
        const convert = (text: string) =>
          option(spec.label, command, () => convertText(type, text, context)) as Promise<string>;
        positionals.set(
          spec.name,
          typeof raw === "string" ? await convert(raw) : await Promise.all(raw.map(convert)),
        );
      }
    }
  }
  checkTogether(parsed, values);
  return new Args({
    command,
    values,
    positionals,
    patternOps: parsed.patternOps,
    ...(location ? { location } : {}),
  });
}

function place(spec: PositionalSpec, text: string, env: Env, context: PlaceholderContext) {
  return requireLocation(
    text,
    {
      ...(spec.archive === undefined ? {} : { archive: spec.archive }),
      ...(spec.local ? { proto: "file" as const } : {}),
    },
    env,
    context,
  );
}

/** Conditions between options, as Archiver.parse_args has them. */
function checkTogether(parsed: Parsed, values: ReadonlyMap<string, OptionValue>): void {
  const command = parsed.command!;
  if (values.has("stats") && values.has("quick-stats")) {
    throw new UsageError("--stats and --quick-stats are mutually exclusive.", command);
  }
  if (values.has("bypass-lock") && !command.bypassLock) {
    throw new UsageError(`--bypass-lock is not allowed for ${command.name}: it needs the lock`, command);
  }
  if (command.name === "create") {
    const paths = (parsed.positionals.get("paths") as string[] | undefined) ?? [];
    if (paths.length && values.has("paths-from-stdin")) {
      throw new UsageError("no PATH may be given with --paths-from-stdin.", command);
    }
    if (!paths.length && (values.has("content-from-command") || values.has("paths-from-command"))) {
      throw new UsageError("No command given.", command);
    }
    // Roots may also come from patterns, which are read later.
    if (!paths.length && !values.has("paths-from-stdin") && !mayHaveRoots(parsed)) {
      throw new UsageError("Need at least one PATH argument.", command);
    }
  }
}

function mayHaveRoots(parsed: Parsed): boolean {
  return parsed.patternOps.some(
    (op) => op.kind === "patterns-from" || (op.kind === "pattern" && /^\s*R/.test(op.value)),
  );
}

async function option<T>(
  flags: readonly string[] | string,
  command: CommandSpec,
  convert: () => T | Promise<T>,
): Promise<T> {
  try {
    return await convert();
  } catch (e) {
    if (e instanceof ValueProblem) throw argumentError(flags, e.message, command);
    // Problems of placeholders keep their own message id; everything else about a value is a usage error.
    if (e instanceof AlcoveError && e.msgid === "Error") throw argumentError(flags, e.message, command);
    throw e;
  }
}

const MIN_QUOTA = 10_000_000;

async function convertText(type: ValueType, text: string, context: PlaceholderContext): Promise<OptionValue> {
  switch (type) {
    case "text":
      return text;
    case "int":
      return integer(text);
    case "positive": {
      const n = integer(text);
      if (n <= 0) throw new ValueProblem(`A positive integer is required: ${text}`);
      return n;
    }
    case "octal":
      return octal(text);
    case "path":
      if (!text) throw new ValueProblem("Empty strings are not accepted as paths.");
      return text;
    case "quota": {
      const n = parseFileSize(text);
      if (n !== 0 && n < MIN_QUOTA) {
        throw new ValueProblem(
          `quota is too small (${text}). At least ${formatFileSize(MIN_QUOTA)} are required.`,
        );
      }
      return n;
    }
    case "interval":
      return parseInterval(text);
    case "placeholders":
      return replacePlaceholders(text, context);
    case "archive-name":
      return parseArchiveName(text, context);
    case "sort-keys":
      return sortKeys(text);
    case "diff-sort":
      return diffSort(text);
    case "files-cache":
      checkFilesCacheMode(text);
      return text;
    case "timestamp":
      return parseTimestampArgument(text);
    case "chunker-params": {
      const { parseChunkerParams } = await import("../src/chunker/params.ts");
      parseChunkerParams(text);
      return text;
    }
    case "compression": {
      const { parseCompression } = await import("../src/compress/spec.ts");
      parseCompression(text);
      return text;
    }
  }
}

function integer(text: string): number {
  const t = text.trim();
  if (!/^[+-]?\d+(_\d+)*$/.test(t)) throw new ValueProblem(`invalid int value: '${text}'`);
  const n = Number(t.replaceAll("_", ""));
  if (!Number.isSafeInteger(n)) throw new ValueProblem(`int value too large: '${text}'`);
  return n;
}

function octal(text: string): number {
  const t = text.trim();
  if (!/^\+?(0[oO])?[0-7]+(_[0-7]+)*$/.test(t)) throw new ValueProblem(`invalid octal value: '${text}'`);
  return Number.parseInt(t.replace(/^\+?(0[oO])?/, "").replaceAll("_", ""), 8);
}

const SORT_KEYS = ["timestamp", "archive", "name", "id"];

/** Comma-separated keys; "archive" is another word for "name". */
function sortKeys(text: string): string {
  for (const key of text.split(",")) {
    if (!SORT_KEYS.includes(key)) {
      throw new ValueProblem(`Invalid sort key: ${key} (choose from ${SORT_KEYS.join(", ")})`);
    }
  }
  return text;
}

const DIFF_FIELDS = [
  "path",
  "size_added",
  "size_removed",
  "size_diff",
  "size",
  "user",
  "group",
  "uid",
  "gid",
  "ctime",
  "mtime",
  "ctime_diff",
  "mtime_diff",
];

function diffSort(text: string): string {
  const fields = text
    .split(",")
    .map((f) => f.trim())
    .filter((f) => f);
  if (!fields.length) throw new ValueProblem("unsupported sort field: empty spec");
  for (const field of fields) {
    const name = field.replace(/^[<>]/, "");
    if (!DIFF_FIELDS.includes(name)) throw new ValueProblem(`unsupported sort field: ${name}`);
  }
  return fields.join(",");
}

const CACHE_LETTERS: Record<string, string> = {
  ctime: "c",
  mtime: "m",
  size: "s",
  inode: "i",
  rechunk: "r",
  disabled: "d",
};
const CACHE_MODES = ["cis", "ims", "cs", "ms", "cr", "mr", "d", "s"];

/** Words in any order; as Borg's letters in alphabetical order they must be one of its modes. */
function checkFilesCacheMode(text: string): void {
  const letters: string[] = [];
  for (const word of new Set(text.trim().split(","))) {
    const letter = CACHE_LETTERS[word];
    if (letter === undefined) {
      throw new ValueProblem(
        `cache mode must be a comma-separated list of: ${Object.keys(CACHE_LETTERS).sort().join(",")}`,
      );
    }
    letters.push(letter);
  }
  if (!CACHE_MODES.includes(letters.sort().join(""))) {
    throw new ValueProblem(`cache mode short must be one of: ${CACHE_MODES.join(",")}`);
  }
}
