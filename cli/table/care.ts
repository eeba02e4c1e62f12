// Table of the commands that keep a repository healthy and small: check, prune, compact, delete, rename,
// recreate, upgrade, break-lock, with-lock, config.
import {
  ARCHIVE,
  archive,
  archiveFilters,
  checkpointInterval,
  chunkerParams,
  compression,
  dryRun,
  filter,
  flag,
  list,
  nameFilters,
  paths,
  patternOptions,
  quickStats,
  repository,
  repositoryOrArchive,
  stats,
  tagOptions,
  timestamp,
  valued,
} from "./groups.ts";
import type { CommandSpec, OptionSpec } from "./spec.ts";

const check: CommandSpec = {
  name: "check",
  section: "care",
  summary: "verify a repository and its archives; repair",
  about: [
    "First the repository: every segment is read and its checksums are verified. Then the archives: manifest, metadata, and that every chunk they need is there; with --verify-data all data is also decrypted, decompressed and compared with its id.",
    "--repair rebuilds what can be rebuilt: the index, the manifest, and archives with lost parts, whose files get zeros of the same size until a later backup brings the lost data back. It may remove what is beyond saving; it says so and asks first. Make a copy of the repository before.",
  ],
  options: [
    flag("--repository-only", "check only the repository"),
    flag("--archives-only", "check only the archives"),
    flag("--verify-data", "read and verify all data (takes long; not with --repository-only)"),
    flag("--repair", "try to repair what is found"),
    flag("--save-space", "use less space while repairing, but more time"),
    valued(
      "--max-duration",
      "SECONDS",
      "stop the repository check after SECONDS; the next such check goes on there",
      {
        type: "int",
        default: 0,
      },
    ),
    ...archiveFilters,
  ],
  positionals: [repositoryOrArchive("what to check", "?")],
  examples: [
    { line: "check --progress REPO", what: "the usual check" },
    { line: "check --verify-data REPO::monday", what: "every byte of one archive" },
    { line: "check --repository-only --max-duration 3600 REPO", what: "an hour a night, in turns" },
  ],
  bypassLock: true,
};

const keep = (flags: string, value: string, unit: string, extra: Partial<OptionSpec> = {}): OptionSpec =>
  valued(flags, value, `keep the newest archive of each of the last N ${unit}`, {
    type: "int",
    default: 0,
    ...extra,
  });

const prune: CommandSpec = {
  name: "prune",
  section: "care",
  summary: "delete old archives by rules",
  about: [
    "Deletes every archive that no keep rule keeps. Rules are applied from the shortest to the longest period; an archive kept by one rule does not count for the next. --keep-within keeps everything younger than INTERVAL (2H, 3d, 4w, 6m, 1y). A negative number keeps without limit.",
    "Use -a to prune the archives of one machine or one purpose only. The space is freed by a following compact.",
  ],
  options: [
    dryRun("only say what would be deleted"),
    flag("--force", "delete broken archives too"),
    stats("print statistics of what was deleted"),
    quickStats("print statistics of what was deleted only"),
    list("list what is kept and what is deleted"),
    valued("--keep-within", "INTERVAL", "keep all archives younger than INTERVAL", { type: "interval" }),
    {
      ...keep("--keep-last --keep-secondly", "SECONDLY", "seconds", { help: "keep the newest N archives" }),
      name: "keep-secondly",
    },
    keep("--keep-minutely", "MINUTELY", "minutes"),
    keep("-H --keep-hourly", "HOURLY", "hours"),
    keep("-d --keep-daily", "DAILY", "days"),
    keep("-w --keep-weekly", "WEEKLY", "weeks"),
    keep("-m --keep-monthly", "MONTHLY", "months"),
    keep("--keep-13weekly", "QUARTERLY_13WEEKLY", "quarters of 13 weeks", { exclusive: "quarterly" }),
    keep("--keep-3monthly", "QUARTERLY_3MONTHLY", "quarters of 3 months", { exclusive: "quarterly" }),
    keep("-y --keep-yearly", "YEARLY", "years"),
    ...nameFilters,
    flag("--save-space", "use less space, but more time"),
    checkpointInterval(),
  ],
  positionals: [repository("what to prune", "?")],
  examples: [
    {
      line: "prune --list --keep-daily 7 --keep-weekly 4 --keep-monthly 6 REPO",
      what: "a usual set of rules",
    },
    {
      line: "prune -n --list --keep-last 10 -a '{hostname}-*' REPO",
      what: "try it first, for this machine only",
    },
  ],
};

const compact: CommandSpec = {
  name: "compact",
  section: "care",
  summary: "free the space of what was deleted",
  about: [
    "Rewrites segment files that hold deleted data. No key is needed. An append-only repository is left as it is.",
  ],
  options: [
    dryRun("do nothing"),
    flag("--cleanup-commits", "also remove segment files that hold nothing but an end mark (17 bytes)"),
    valued(
      "--threshold",
      "PERCENT",
      "rewrite segments of which at least PERCENT can be freed (default: 10)",
      {
        type: "int",
        default: 10,
      },
    ),
  ],
  positionals: [repository("what to compact", "?")],
  examples: [
    { line: "compact --progress REPO", what: "after delete or prune" },
    { line: "compact --threshold 1 REPO", what: "free almost everything" },
  ],
};

const deleteCommand: CommandSpec = {
  name: "delete",
  section: "care",
  summary: "delete archives, or a whole repository",
  about: [
    "Deletes archives: one by name, more names after it, or those that the filters select. Given a repository and no filter it deletes the whole repository, after asking. The space of archives is freed by a following compact.",
  ],
  options: [
    dryRun("only say what would be deleted"),
    list("list the archives"),
    stats("print statistics of what was deleted"),
    quickStats("print statistics of what was deleted only"),
    flag("--cache-only", "delete only this machine's cache of the repository"),
    flag("--force", "delete broken archives too; give it twice if once does not help", { repeat: "count" }),
    flag("--keep-security-info", "keep what this machine remembers about a deleted repository"),
    flag("--save-space", "use less space, but more time"),
    checkpointInterval(),
    ...archiveFilters,
  ],
  positionals: [
    repositoryOrArchive("what to delete", "?"),
    { name: "archives", label: "ARCHIVE", nargs: "*", help: "more archives to delete" },
  ],
  examples: [
    { line: "delete REPO::monday", what: "one archive" },
    { line: "delete --list -a 'old-*' REPO", what: "those whose name matches" },
    { line: "delete REPO", what: "the whole repository" },
  ],
};

const rename: CommandSpec = {
  name: "rename",
  section: "care",
  summary: "rename an archive",
  about: ["Gives an archive a new name. Its id changes too."],
  options: [],
  positionals: [
    archive("archive to rename"),
    { name: "name", label: "NEWNAME", type: "archive-name", help: "its new name" },
  ],
  examples: [{ line: "rename REPO::monday last-good", what: "a new name" }],
};

const recreate: CommandSpec = {
  name: "recreate",
  section: "care",
  summary: "rewrite archives: leave files out, recompress, rechunk",
  about: [
    "Writes archives anew: without the files that patterns exclude, with another compression (--recompress), other chunks (--chunker-params), another comment or time. Without PATHs or patterns all files stay. The original archive is replaced unless --target names a new one.",
    "What is excluded is gone for good once the repository is compacted. Try --dry-run --list first.",
  ],
  options: [
    list("list the items with their status"),
    filter,
    dryRun("only show what would be done"),
    stats("print statistics at the end"),
    ...patternOptions,
    ...tagOptions,
    valued("--target", "TARGET", "write a new archive of this name, keep the old one (one archive only)", {
      type: "archive-name",
      group: ARCHIVE,
    }),
    checkpointInterval(ARCHIVE),
    valued("--comment", "COMMENT", "new comment of the archive", { type: "placeholders", group: ARCHIVE }),
    timestamp,
    compression,
    valued(
      "--recompress",
      "MODE",
      "recompress data: never, if-different (other algorithm) or always (default: never; without MODE: if-different)",
      {
        default: "never",
        implied: "if-different",
        choices: ["never", "if-different", "always"],
        group: ARCHIVE,
      },
    ),
    chunkerParams("cut the data anew with these parameters, or default (default: do not)", false),
  ],
  positionals: [
    repositoryOrArchive("what to rewrite", "?"),
    paths("keep only these; patterns are understood"),
  ],
  examples: [
    { line: "recreate -n --list -e 'home/*/Downloads' REPO::monday", what: "see what would go" },
    { line: "recreate -C zstd,10 --recompress=always REPO", what: "compress everything better" },
  ],
};

const upgrade: CommandSpec = {
  name: "upgrade",
  section: "care",
  summary: "add or verify the authentication of manifest and archives",
  about: [
    "--archives-tam authenticates archives that older versions wrote without it, after showing which ones; do this only if you trust the repository's content. --check-archives-tam and --check-tam only look. --tam and --disable-tam turn the requirement for the manifest on and off.",
    "Repositories of Attic and of Borg before 1.0 cannot be converted here; use an original Borg 1.x for that.",
  ],
  options: [
    dryRun("change nothing"),
    flag("--inplace", "convert without a copy"),
    flag("--force", "upgrade even if it seems not needed"),
    flag("--tam", "require an authenticated manifest (for repositories written since 1.0.9)"),
    flag("--check-tam", "say whether the manifest is authenticated and has to be"),
    flag("--disable-tam", "do not require an authenticated manifest"),
    flag("--check-archives-tam", "say which archives are not authenticated"),
    flag("--archives-tam", "authenticate all archives"),
  ],
  positionals: [repository("what to upgrade", "?")],
  examples: [
    { line: "upgrade --check-archives-tam REPO", what: "look first" },
    { line: "upgrade --archives-tam REPO", what: "authenticate old archives" },
  ],
};

const breakLock: CommandSpec = {
  name: "break-lock",
  section: "care",
  summary: "remove locks left behind",
  about: [
    "Removes the locks of a repository and of its cache. Use it only when no other program works with them, on any machine.",
  ],
  options: [],
  positionals: [repository("whose locks to remove", "?")],
  examples: [{ line: "break-lock REPO", what: "after a crash on another machine" }],
};

const withLock: CommandSpec = {
  name: "with-lock",
  section: "care",
  summary: "run a command while the repository is locked",
  about: [
    "Locks the repository for itself alone, runs the command, and gives its exit code. Use it to copy a repository safely. A copy made like this holds the lock too: use break-lock on the copy.",
  ],
  options: [],
  positionals: [
    repository("what to lock"),
    { name: "command", label: "COMMAND", help: "program to run" },
    { name: "args", label: "ARGS", nargs: "...", help: "its arguments" },
  ],
  examples: [{ line: "with-lock REPO rsync -a REPO/ /mnt/copy", what: "a safe copy" }],
};

const config: CommandSpec = {
  name: "config",
  section: "care",
  summary: "read and change a repository's settings",
  about: [
    "Shows or sets a value of the repository's config file, or of this machine's cache of it (previous_location). Names: segments_per_dir, max_segment_size, additional_free_space, storage_quota, append_only, id, last_segment_checked. Deleting a value brings back its default.",
  ],
  options: [
    flag("-c --cache", "the settings of this machine's cache"),
    flag("-d --delete", "delete the value", { exclusive: "config" }),
    flag("-l --list", "list all values", { exclusive: "config" }),
  ],
  positionals: [
    repository("whose settings", "?", { local: true }),
    { name: "name", label: "NAME", nargs: "?", help: "name of the value" },
    { name: "value", label: "VALUE", nargs: "?", help: "new value" },
  ],
  examples: [
    { line: "config --list REPO", what: "all of them" },
    { line: "config REPO additional_free_space 2G", what: "keep 2 GB of the disk free" },
  ],
  bypassLock: true,
};

export const care: readonly CommandSpec[] = [
  prune,
  compact,
  deleteCommand,
  check,
  rename,
  recreate,
  config,
  breakLock,
  withLock,
  upgrade,
];
