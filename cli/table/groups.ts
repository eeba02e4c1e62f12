// Options that several commands share, and the common options which every command takes before or after its
// name. Facts as in Borg 1.4's define_common_options, define_exclusion_group, define_archive_filters_group.
import type { OptionSpec, PositionalSpec } from "./spec.ts";

export const COMMON = "Common options";
export const INCLUDE_EXCLUDE = "Include/Exclude options";
export const ARCHIVE_FILTERS = "Archive filters";
export const FILESYSTEM = "Filesystem options";
export const ARCHIVE = "Archive options";

/** A flag without a value. */
export function flag(
  flags: string | readonly string[],
  help: string,
  extra: Partial<OptionSpec> = {},
): OptionSpec {
  const list = typeof flags === "string" ? flags.split(" ") : flags;
  return { name: optionName(list), flags: list, help, ...extra };
}

/** An option with a value. */
export function valued(
  flags: string,
  value: string,
  help: string,
  extra: Partial<OptionSpec> = {},
): OptionSpec {
  const list = flags.split(" ");
  return { name: optionName(list), flags: list, value, help, ...extra };
}

function optionName(flags: readonly string[]): string {
  return (flags.find((f) => f.startsWith("--")) ?? flags[0]!).replace(/^-+/, "");
}

const level = (flags: string, logLevel: OptionSpec["logLevel"], help: string): OptionSpec =>
  flag(flags, help, { logLevel, group: COMMON });

export const commonOptions: readonly OptionSpec[] = [
  flag("-h --help", "show this help and exit", { group: COMMON }),
  level("--critical", "critical", "log only critical problems"),
  level("--error", "error", "log errors only"),
  level("--warning", "warning", "log warnings and errors (the default)"),
  { ...level("--info -v --verbose", "info", "say what is being done"), name: "info" },
  level("--debug", "debug", "log details for debugging"),
  valued(
    "--debug-topic",
    "TOPIC",
    "log the details of one TOPIC (logger borg.debug.TOPIC, or a full logger name); repeatable",
    {
      repeat: "list",
      group: COMMON,
    },
  ),
  flag("-p --progress", "show progress", { group: COMMON }),
  flag("--iec", "sizes in KiB, MiB, GiB (powers of 1024)", { group: COMMON }),
  flag("--log-json", "one JSON object per log line on stderr", { group: COMMON }),
  valued("--lock-wait", "SECONDS", "wait at most SECONDS for a lock (default: 1)", {
    type: "int",
    default: 1,
    group: COMMON,
  }),
  flag("--bypass-lock", "read without locking; only for commands that do not write", { group: COMMON }),
  flag("--show-version", "log the version", { group: COMMON }),
  flag("--show-rc", "log the exit code at the end", { group: COMMON }),
  valued("--umask", "M", "octal umask for files made on this machine (default: 0077)", {
    type: "octal",
    default: 0o077,
    group: COMMON,
  }),
  valued("--remote-path", "PATH", "program to start on the server (default: borg)", { group: COMMON }),
  valued("--upload-ratelimit", "RATE", "limit the upload to RATE KiB/s (0: no limit)", {
    type: "int",
    group: COMMON,
  }),
  valued("--remote-ratelimit", "RATE", "old spelling of --upload-ratelimit", {
    type: "int",
    standsFor: "upload-ratelimit",
    deprecated: 'Warning: "--remote-ratelimit" has been deprecated. Use --upload-ratelimit instead.',
    group: COMMON,
  }),
  valued("--upload-buffer", "UPLOAD_BUFFER", "buffer up to this many MiB of uploads (0: no buffer)", {
    type: "int",
    group: COMMON,
  }),
  valued("--remote-buffer", "UPLOAD_BUFFER", "old spelling of --upload-buffer", {
    type: "int",
    standsFor: "upload-buffer",
    deprecated: 'Warning: "--remote-buffer" has been deprecated. Use --upload-buffer instead.',
    group: COMMON,
  }),
  flag("--consider-part-files", "treat the parts of interrupted files as normal files", { group: COMMON }),
  valued(
    "--debug-profile",
    "FILE",
    "write a CPU profile (.cpuprofile, for browsers' developer tools) to FILE",
    {
      group: COMMON,
    },
  ),
  valued("--rsh", "RSH", "command that connects to the server (default: ssh)", { group: COMMON }),
  valued(
    "--workers",
    "N",
    "worker threads: 0 works in one thread (default: the number of cores, at most 4)",
    {
      type: "int",
      group: COMMON,
      own: true,
    },
  ),
  valued("--ping", "URL", "tell a monitor (healthchecks.io convention) of start, success and exit code", {
    group: COMMON,
    own: true,
  }),
];

const pattern = (flags: string, value: string, help: string): OptionSpec => {
  const spec = valued(flags, value, help, { group: INCLUDE_EXCLUDE, repeat: "list" });
  return { ...spec, pattern: spec.name as OptionSpec["pattern"] };
};

export const patternOptions: readonly OptionSpec[] = [
  pattern("-e --exclude", "PATTERN", "leave out paths that match PATTERN"),
  pattern("--exclude-from", "EXCLUDEFILE", "read exclude patterns from EXCLUDEFILE, one per line"),
  pattern("--pattern", "PATTERN", "include or exclude (+ - ! P R) paths that match PATTERN"),
  pattern("--patterns-from", "PATTERNFILE", "read such patterns from PATTERNFILE, one per line"),
];

export const tagOptions: readonly OptionSpec[] = [
  flag("--exclude-caches", "leave out directories that hold a valid CACHEDIR.TAG", {
    group: INCLUDE_EXCLUDE,
  }),
  valued(
    "--exclude-if-present",
    "NAME",
    "leave out directories that hold something called NAME; repeatable",
    {
      repeat: "list",
      group: INCLUDE_EXCLUDE,
    },
  ),
  flag("--keep-exclude-tags", "keep the tag itself of a directory that is left out because of it", {
    group: INCLUDE_EXCLUDE,
  }),
];

export const stripComponents = valued(
  "--strip-components",
  "NUMBER",
  "remove NUMBER leading parts of each path; shorter paths are skipped",
  {
    type: "int",
    default: 0,
    group: INCLUDE_EXCLUDE,
  },
);

export const nameFilters: readonly OptionSpec[] = [
  valued("-P --prefix", "PREFIX", "only archives whose name starts with PREFIX (old; use -a 'PREFIX*')", {
    type: "placeholders",
    once: true,
    exclusive: "name",
    deprecated: `Warning: "--prefix" has been deprecated. Use "--glob-archives 'yourprefix*'" (-a) instead.`,
    group: ARCHIVE_FILTERS,
  }),
  valued("-a --glob-archives", "GLOB", "only archives whose name matches GLOB (rules of sh: patterns)", {
    type: "placeholders",
    once: true,
    exclusive: "name",
    group: ARCHIVE_FILTERS,
  }),
];

export const archiveFilters: readonly OptionSpec[] = [
  ...nameFilters,
  valued(
    "--sort-by",
    "KEYS",
    "sort by these keys: timestamp, name, id (comma-separated; default: timestamp)",
    {
      type: "sort-keys",
      default: "timestamp",
      group: ARCHIVE_FILTERS,
    },
  ),
  valued("--first", "N", "only the first N archives left by the other filters", {
    type: "positive",
    exclusive: "count",
    group: ARCHIVE_FILTERS,
  }),
  valued("--last", "N", "only the last N archives left by the other filters", {
    type: "positive",
    exclusive: "count",
    group: ARCHIVE_FILTERS,
  }),
];

/** --numeric-ids with its old spelling. */
export const numericIds = (help: string, group?: string): readonly OptionSpec[] => [
  flag("--numeric-ids", help, { group }),
  flag("--numeric-owner", "old spelling of --numeric-ids", {
    standsFor: "numeric-ids",
    deprecated: 'Warning: "--numeric-owner" has been deprecated. Use --numeric-ids instead.',
    group,
  }),
];

/** --noflags with its old spelling. */
export const noFlags = (help: string, group?: string): readonly OptionSpec[] => [
  flag("--noflags", help, { group }),
  flag("--nobsdflags", "old spelling of --noflags", {
    standsFor: "noflags",
    deprecated: 'Warning: "--nobsdflags" has been deprecated. Use --noflags instead.',
    group,
  }),
];

export const checkpointInterval = (group?: string): OptionSpec =>
  valued("-c --checkpoint-interval", "SECONDS", "write a checkpoint every SECONDS seconds (default: 1800)", {
    type: "int",
    default: 1800,
    group,
  });

export const compression = valued(
  "-C --compression",
  "COMPRESSION",
  'how to compress (default: lz4); see "help compression"',
  {
    type: "compression",
    default: "lz4",
    group: ARCHIVE,
  },
);

export const timestamp = valued(
  "--timestamp",
  "TIMESTAMP",
  "time of the archive (UTC, yyyy-mm-ddThh:mm:ss), or a file or directory whose modification time is taken",
  { type: "timestamp", group: ARCHIVE },
);

const CHUNKER_DEFAULT = "buzhash,19,23,21,4095";
export const chunkerParams = (help: string, withDefault: boolean): OptionSpec =>
  valued("--chunker-params", "PARAMS", help, {
    type: "chunker-params",
    once: true,
    group: ARCHIVE,
    ...(withDefault ? { default: CHUNKER_DEFAULT } : {}),
  });
export const chunkerHelp =
  "buzhash,MIN,MAX,MASK,WINDOW (exponents of 2) or fixed,BLOCK[,HEADER] (default: buzhash,19,23,21,4095)";

export const stats = (help: string): OptionSpec => flag("-s --stats", help);
export const quickStats = (help: string): OptionSpec => flag("--quick-stats", help);
export const dryRun = (help: string): OptionSpec => flag("-n --dry-run", help);
export const list = (help: string): OptionSpec => flag("--list", help);
export const filter = valued(
  "--filter",
  "STATUSCHARS",
  "list only items with one of these status characters",
  { once: true },
);

export const repository = (
  help: string,
  nargs?: "?",
  extra: Partial<PositionalSpec> = {},
): PositionalSpec => ({
  name: "location",
  label: "REPOSITORY",
  archive: false,
  help,
  ...(nargs ? { nargs } : {}),
  ...extra,
});
export const repositoryOrArchive = (help: string, nargs?: "?"): PositionalSpec => ({
  name: "location",
  label: "REPOSITORY_OR_ARCHIVE",
  help,
  ...(nargs ? { nargs } : {}),
});
export const archive = (help: string, label = "ARCHIVE"): PositionalSpec => ({
  name: "location",
  label,
  archive: true,
  help,
});
export const paths = (help: string): PositionalSpec => ({
  name: "paths",
  label: "PATH",
  nargs: "*",
  type: "path",
  help,
});
