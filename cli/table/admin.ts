// Table of the commands for keys, tar files, servers and information: key …, export-tar, import-tar, serve,
// version, help, benchmark …, and those that Borg does not have.
import {
  ARCHIVE,
  archive,
  checkpointInterval,
  chunkerHelp,
  chunkerParams,
  compression,
  filter,
  flag,
  list,
  paths,
  patternOptions,
  quickStats,
  repository,
  stats,
  stripComponents,
  timestamp,
  valued,
} from "./groups.ts";
import type { CommandSpec, OptionSpec, PositionalSpec } from "./spec.ts";

const keyPath = (help: string): PositionalSpec => ({
  name: "path",
  label: "PATH",
  nargs: "?",
  type: "path",
  help,
});

const keyCommands: readonly CommandSpec[] = [
  {
    name: "key export",
    section: "admin",
    summary: "save a copy of the key",
    about: [
      "Writes a copy of the repository's key to a file or, without PATH, to standard output. The copy is protected by the same passphrase. Keep it away from the repository, on paper too: if the key is lost, the backups are.",
    ],
    options: [
      flag("--paper", "as lines to be printed and typed in again, with check digits"),
      { ...flag("--qr-html", "as an HTML page to be printed, with a QR code") },
    ],
    positionals: [repository("whose key", "?"), keyPath("where to save it")],
    examples: [
      { line: "key export REPO ~/borg-key.txt", what: "to a file" },
      { line: "key export --paper REPO", what: "to be printed" },
    ],
  },
  {
    name: "key export-related-secrets",
    section: "admin",
    summary: "export the secrets for a related repository",
    about: [
      "Writes the secrets that chunk ids depend on, so that init --import-related-secrets makes another repository between which and this one data can be deduplicated. The file is not protected by a passphrase of its own unless one is asked for: keep it safe, and delete it afterwards.",
    ],
    options: [],
    positionals: [repository("whose secrets", "?"), keyPath("where to save them")],
    examples: [{ line: "key export-related-secrets REPO secrets.json", what: "for a second repository" }],
  },
  {
    name: "key import",
    section: "admin",
    summary: "bring a saved key back",
    about: ["Reads a key that key export has saved, from PATH or, where PATH is -, from standard input."],
    options: [flag("--paper", "type in a printed key")],
    positionals: [repository("whose key", "?"), keyPath("saved key, - for standard input")],
    examples: [
      { line: "key import REPO ~/borg-key.txt", what: "from a file" },
      { line: "key import --paper REPO", what: "from paper" },
    ],
  },
  {
    name: "key change-passphrase",
    section: "admin",
    summary: "change the passphrase of the key",
    about: [
      "Protects the key with a new passphrase. The key itself and all data stay as they are; copies of the key keep the old passphrase.",
    ],
    options: [],
    positionals: [repository("whose passphrase", "?")],
    examples: [{ line: "key change-passphrase REPO", what: "asks for the old one, then for the new one" }],
  },
  {
    name: "key migrate-to-repokey",
    section: "admin",
    summary: "turn a passphrase-only repository into a repokey one",
    about: [
      "For repositories of very old versions, whose key was made from the passphrase alone. The keys stay the same and are saved in the repository.",
    ],
    options: [],
    positionals: [repository("what to migrate", "?")],
    examples: [{ line: "key migrate-to-repokey REPO", what: "once" }],
  },
];

const tarFilter = (extra: Partial<OptionSpec> = {}): OptionSpec =>
  valued(
    "--tar-filter",
    "TAR_FILTER",
    "program that (de)compresses the tar stream; auto: by the file's name (default: auto)",
    {
      default: "auto",
      ...extra,
    },
  );

const exportTar: CommandSpec = {
  name: "export-tar",
  section: "admin",
  summary: "write an archive as a tar file",
  about: [
    "Writes an archive, or parts of it, as a tar stream to FILE, - for standard output. By the end of its name (.tar.gz, .tgz, .tar.bz2, .tar.xz, .tar.zst, .tar.lz4) the stream is compressed. Flags, and times other than the modification time, have no place in it.",
  ],
  options: [
    tarFilter(),
    valued("--tar-format", "FORMAT", "GNU, or PAX with extended attributes and ACLs (default: GNU)", {
      default: "GNU",
      choices: ["GNU", "PAX"],
      own: true,
    }),
    list("list the items"),
    ...patternOptions,
    stripComponents,
  ],
  positionals: [
    archive("archive to export"),
    { name: "tarfile", label: "FILE", help: "tar file, - for standard output" },
    paths("only these; patterns are understood"),
  ],
  examples: [
    { line: "export-tar REPO::monday monday.tar.zst", what: "a compressed tar file" },
    { line: "export-tar REPO::monday - home | tar t", what: "a stream" },
  ],
  bypassLock: true,
};

const importTar: CommandSpec = {
  name: "import-tar",
  section: "admin",
  summary: "make an archive from a tar file",
  about: [
    "Makes an archive from a tar file (ustar, pax, GNU, V7), - for standard input. By the end of its name the file is decompressed first.",
    "Several tar files joined into one are read as a whole with --ignore-zeros.",
  ],
  options: [
    tarFilter({ once: true }),
    stats("print statistics of the archive"),
    quickStats("print statistics of the archive only"),
    list("list the items with their status"),
    filter,
    flag("--json", "statistics as JSON; implies --stats"),
    flag("--ignore-zeros", "read on after blocks of zeros"),
    valued("--comment", "COMMENT", "comment stored with the archive", { default: "", group: ARCHIVE }),
    timestamp,
    checkpointInterval(ARCHIVE),
    chunkerParams(chunkerHelp, true),
    compression,
  ],
  positionals: [
    archive("name of the new archive"),
    { name: "tarfile", label: "TARFILE", help: "tar file, - for standard input" },
  ],
  examples: [{ line: "import-tar REPO::old-backups backup.tar.gz", what: "a tar file becomes an archive" }],
};

const serve: CommandSpec = {
  name: "serve",
  section: "admin",
  summary: "serve repositories over ssh (started by the client)",
  about: [
    "Speaks Borg's protocol on standard input and output. It is started over ssh by a client; to limit what a client may do, give it as the command of a key in ~/.ssh/authorized_keys.",
  ],
  options: [
    valued("--restrict-to-path", "PATH", "allow repositories below PATH only; repeatable", {
      repeat: "list",
    }),
    valued("--restrict-to-repository", "PATH", "allow the repository at PATH only; repeatable", {
      repeat: "list",
    }),
    flag("--append-only", "let clients only add; what they delete stays recoverable"),
    valued(
      "--storage-quota",
      "QUOTA",
      "largest size of a repository, e.g. 5G (before the repository's own setting)",
      { type: "quota" },
    ),
  ],
  positionals: [],
  examples: [
    {
      line: "serve --append-only --restrict-to-repository /srv/backup/laptop",
      what: "in authorized_keys: one client, one repository, nothing can be deleted",
    },
  ],
};

const version: CommandSpec = {
  name: "version",
  section: "more",
  summary: "versions of client and server",
  about: ["Prints the version of this program and of the server's, for a repository on another machine."],
  options: [],
  positionals: [repository("whose server", "?")],
  examples: [{ line: "version ssh://me@nas/./backup", what: "what the server runs" }],
};

const help: CommandSpec = {
  name: "help",
  section: "more",
  summary: "help on a command or topic",
  about: [
    "Topics: patterns, placeholders, compression. Commands of two words are asked for as in: key export --help.",
  ],
  options: [
    { ...flag("--epilog-only", "only the text that explains the command") },
    { ...flag("--usage-only", "only usage and options") },
  ],
  positionals: [{ name: "topic", label: "TOPIC", nargs: "?", help: "command or topic" }],
  examples: [
    { line: "help create", what: "a command" },
    { line: "help patterns", what: "a topic" },
  ],
};

const benchmark: readonly CommandSpec[] = [
  {
    name: "benchmark crud",
    section: "more",
    summary: "measure create, extract, update and delete",
    about: [
      "Measures how fast data is added, read back, found unchanged and deleted, with test files that are made below PATH and archives in the given repository, which should be empty or of no importance. Files and archives are removed afterwards.",
    ],
    options: [],
    positionals: [
      repository("repository to use; it must exist"),
      { name: "path", label: "PATH", help: "where to make the test files" },
    ],
    examples: [{ line: "benchmark crud REPO /tmp", what: "needs about 1 GB" }],
  },
  {
    name: "benchmark cpu",
    section: "more",
    summary: "measure chunking, hashing, encryption and compression",
    about: [
      "Measures every primitive in every implementation that this machine offers, and says which one is used.",
    ],
    options: [flag("--json", "as JSON")],
    positionals: [],
    examples: [{ line: "benchmark cpu", what: "how fast is this machine?" }],
    own: true,
  },
];

const completions: CommandSpec = {
  name: "completions",
  section: "more",
  summary: "print completions for a shell, or the manual page",
  about: [
    "Prints a completion script for bash, zsh or fish, or the manual page (man), made from the same table as this help.",
  ],
  options: [],
  positionals: [{ name: "shell", label: "SHELL", help: "bash, zsh, fish or man" }],
  examples: [
    { line: "completions bash > ~/.local/share/bash-completion/completions/alcove", what: "bash" },
    { line: "completions man | man -l -", what: "read the manual page" },
  ],
  own: true,
};

const installTimer: CommandSpec = {
  name: "install-timer",
  section: "admin",
  summary: "run a backup regularly, by systemd or cron",
  about: [
    "Writes a systemd service and timer that run COMMAND of this program, and starts the timer: for the whole system as root, otherwise for the user. The service has low CPU and IO priority, starts at a random moment within the delay, and catches up after the machine was off. With --cron a line for crontab -e is printed instead.",
    "The passphrase comes from a file that only its owner can read, or from a credential made by systemd-creds encrypt --name=passphrase. BORG_… variables that are set now are written into the service, passphrases are not.",
  ],
  options: [
    valued("--calendar", "WHEN", "when, as systemd's OnCalendar has it (default: daily)", {
      default: "daily",
    }),
    valued("--delay", "TIME", "start at a random moment within TIME after that (default: 1h)", {
      default: "1h",
    }),
    valued("--name", "NAME", "name of the units (default: alcove-backup)", { default: "alcove-backup" }),
    valued("--passphrase-file", "FILE", "file that holds the passphrase", { type: "path" }),
    valued("--passphrase-credential", "FILE", "encrypted systemd credential that holds it", { type: "path" }),
    valued("--on-failure", "UNIT", "unit to start when the backup fails"),
    valued("--then", "COMMAND", "command to run after it, in quotes; repeatable", { repeat: "list" }),
    valued("--directory", "DIR", "write the units to DIR and start nothing", { type: "path" }),
    flag("--cron", "print a crontab line instead"),
  ],
  positionals: [
    { name: "command", label: "COMMAND", help: "command of this program to run" },
    { name: "args", label: "ARGS", nargs: "...", help: "its options and arguments" },
  ],
  examples: [
    {
      line: "install-timer --passphrase-file /root/.backup-passphrase create /mnt/backup::{hostname}-{now} /home /etc",
      what: "every day",
    },
    {
      line: "install-timer --then 'prune --keep-daily 7 REPO' --then 'compact REPO' create --ping https://hc-ping.com/UUID REPO::{now} /home",
      what: "keep a week, and be told if it fails",
    },
  ],
  own: true,
};

export const admin: readonly CommandSpec[] = [
  ...keyCommands,
  exportTar,
  importTar,
  serve,
  version,
  help,
  ...benchmark,
  completions,
  installTimer,
];
