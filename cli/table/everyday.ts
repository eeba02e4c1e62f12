// Table of the commands people use every day: init, create, list, info, extract, diff, mount, umount.
import {
  ARCHIVE,
  archive,
  archiveFilters,
  checkpointInterval,
  chunkerHelp,
  chunkerParams,
  compression,
  dryRun,
  FILESYSTEM,
  filter,
  flag,
  INCLUDE_EXCLUDE,
  list,
  noFlags,
  numericIds,
  paths,
  patternOptions,
  quickStats,
  repository,
  repositoryOrArchive,
  stats,
  stripComponents,
  tagOptions,
  timestamp,
  valued,
} from "./groups.ts";
import type { CommandSpec } from "./spec.ts";

export const encryptionModes = [
  "none",
  "keyfile",
  "repokey",
  "authenticated",
  "keyfile-blake2",
  "repokey-blake2",
  "authenticated-blake2",
] as const;

const init: CommandSpec = {
  name: "init",
  section: "everyday",
  summary: "make a new repository",
  about: [
    "Makes an empty repository: a directory in which archives are stored, deduplicated against each other.",
    "The encryption mode cannot be changed later. repokey and repokey-blake2 keep the key inside the repository, protected by your passphrase; keyfile and keyfile-blake2 keep it in ~/.config/borg/keys on this machine, so that both the file and the passphrase are needed. The authenticated modes do not hide the data but notice every change to it; none does neither. The blake2 modes are faster on processors without SHA-256 instructions.",
    'Save the key: without it and the passphrase nobody can read the backups. See "key export".',
  ],
  options: [
    valued("-e --encryption", "MODE", "how to encrypt; required", {
      required: true,
      choices: encryptionModes,
    }),
    flag("--append-only", "make the repository append-only: what is deleted stays recoverable"),
    valued(
      "--storage-quota",
      "QUOTA",
      "largest size of the repository, e.g. 5G or 1.5T (default: no limit)",
      { type: "quota" },
    ),
    flag("--make-parent-dirs", "make missing parent directories too"),
    valued(
      "--import-related-secrets",
      "PATH",
      "take the secrets that make chunk ids from PATH, as another repository exported them",
      {
        type: "path",
      },
    ),
  ],
  positionals: [repository("where to make it", "?")],
  examples: [
    { line: "init -e repokey-blake2 /mnt/usb/backup", what: "a repository on a disk, the key inside it" },
    { line: "init -e repokey ssh://me@nas/./backup", what: "one on another machine, over ssh" },
    { line: "init -e none --storage-quota 50G /srv/backup", what: "not encrypted, at most 50 GB" },
  ],
};

const create: CommandSpec = {
  name: "create",
  section: "everyday",
  summary: "back up files into a new archive",
  about: [
    "Makes an archive of the given paths. Only data the repository does not hold yet is stored, whoever stored it before. Files that have not changed since the last run are not read again.",
    'The archive\'s name may hold placeholders such as {hostname} and {now:%Y-%m-%d}; see "help placeholders". PATH - reads from standard input.',
    "With --list every item is shown with a status: A added, M modified, U unchanged, C changed while being read, E error, d directory, b block device, c character device, h hard link, s symlink, f FIFO, i standard input, x excluded, - dry run, ? unknown.",
    "If it is interrupted, the last checkpoint is kept as NAME.checkpoint, and the next run continues from its data.",
  ],
  options: [
    dryRun("only show what would be done"),
    stats("print statistics of the archive"),
    quickStats("print statistics of the archive only, not of the whole repository"),
    list("list the items with their status"),
    filter,
    flag("--json", "statistics as JSON; implies --stats"),
    flag(
      "--no-cache-sync",
      "do not bring the chunks cache up to date; the files cache is not used either (experimental)",
    ),
    valued("--stdin-name", "NAME", "name in the archive for data from standard input (default: stdin)", {
      default: "stdin",
    }),
    valued("--stdin-user", "USER", "owner for such data (default: root)", { default: "root" }),
    valued("--stdin-group", "GROUP", "group for such data (default: root)", { default: "root" }),
    valued("--stdin-mode", "M", "octal mode for such data (default: 0660)", {
      type: "octal",
      default: 0o660,
    }),
    flag("--content-from-command", "run PATH … as a command and store what it prints"),
    flag(
      "--paths-from-stdin",
      "read the paths to back up from standard input: exactly these, nothing below them",
    ),
    flag("--paths-from-command", "run PATH … as a command and take its output as with --paths-from-stdin"),
    valued("--paths-delimiter", "DELIM", "separator of such paths (default: \\n)"),
    ...patternOptions,
    ...tagOptions,
    flag("--exclude-nodump", "leave out files with the nodump flag", { group: INCLUDE_EXCLUDE }),
    flag("--exclude-dataless", "leave out files whose content is not on this machine (macOS cloud files)", {
      group: INCLUDE_EXCLUDE,
    }),
    flag("-x --one-file-system", "stay on the file systems of the given paths", { group: FILESYSTEM }),
    ...numericIds("store numeric user and group ids only", FILESYSTEM),
    flag("--noatime", "without effect: access times are not stored unless --atime is given", {
      deprecated: 'Warning: "--noatime" has been deprecated because it is the default now.',
      group: FILESYSTEM,
    }),
    flag("--atime", "store access times", { group: FILESYSTEM }),
    flag("--noctime", "do not store change times", { group: FILESYSTEM }),
    flag("--nobirthtime", "do not store creation times", { group: FILESYSTEM }),
    ...noFlags("do not store flags (nodump, immutable, …)", FILESYSTEM),
    flag("--noacls", "do not store ACLs", { group: FILESYSTEM }),
    flag("--noxattrs", "do not store extended attributes", { group: FILESYSTEM }),
    flag("--sparse", "find holes of sparse files (fixed chunker only)", { group: FILESYSTEM }),
    valued("--files-cache", "MODE", "how unchanged files are recognised (default: ctime,size,inode)", {
      type: "files-cache",
      default: "ctime,size,inode",
      once: true,
      group: FILESYSTEM,
    }),
    valued(
      "--files-changed",
      "MODE",
      "how a change during the backup is noticed: ctime, mtime or disabled (default: ctime)",
      {
        default: "ctime",
        choices: ["ctime", "mtime", "disabled"],
        once: true,
        group: FILESYSTEM,
      },
    ),
    flag("--read-special", "read devices and FIFOs as if they were files, also through symlinks", {
      group: FILESYSTEM,
    }),
    valued("--comment", "COMMENT", "comment stored with the archive", {
      type: "placeholders",
      default: "",
      group: ARCHIVE,
    }),
    timestamp,
    checkpointInterval(ARCHIVE),
    chunkerParams(chunkerHelp, true),
    compression,
  ],
  positionals: [archive("name of the new archive"), paths("what to back up")],
  examples: [
    {
      line: "create --stats --progress /mnt/usb/backup::{hostname}-{now} ~/Documents ~/Pictures",
      what: "two directories",
    },
    {
      line: "create -C zstd,6 -e '*.iso' -e '*/node_modules' REPO::home-{now} ~",
      what: "smaller, without some files",
    },
    { line: "create -x REPO::system-{now} / -e /proc -e /sys -e /tmp", what: "a whole system, as root" },
    { line: "mysqldump --all-databases | alcove create REPO::db-{now} -", what: "the output of a program" },
  ],
};

const extract: CommandSpec = {
  name: "extract",
  section: "everyday",
  summary: "restore files from an archive",
  about: [
    "Writes the files of an archive into the current directory, all of them or those under the given paths. Paths in archives have no leading slash.",
    "Restore a whole system as root, so that owners, devices and capabilities come back, and with --numeric-ids if the users of the running system are other ones.",
  ],
  options: [
    list("list the items"),
    dryRun("read and verify everything, write nothing"),
    ...numericIds("restore numeric user and group ids, whatever their names are here"),
    ...noFlags("do not set flags (nodump, immutable, …)"),
    flag("--noacls", "do not set ACLs"),
    flag("--noxattrs", "do not set extended attributes"),
    flag("--stdout", "write the content of all files to standard output"),
    flag("--sparse", "make holes where the data is zeros"),
    ...patternOptions,
    stripComponents,
  ],
  positionals: [archive("archive to restore from"), paths("what to restore; patterns are understood")],
  examples: [
    { line: "extract REPO::monday", what: "everything, into the current directory" },
    { line: "extract --list REPO::monday home/me/letter.odt", what: "one file" },
    { line: "extract --stdout REPO::monday etc/fstab | less", what: "only look at a file" },
    { line: "extract --dry-run REPO::monday", what: "prove that the archive can be read" },
  ],
  bypassLock: true,
};

const listCommand: CommandSpec = {
  name: "list",
  section: "everyday",
  summary: "list archives, or the files in one",
  about: [
    "Lists the archives of a repository, or the items of an archive.",
    "FORMAT is text with {keys}, each with an optional width as in {user:6}: {NL}, {NUL}, {TAB}, {SPACE}, {CR}, {LF}, {NEWLINE}.",
    "Keys for archives: {archive} {name} {barchive} {comment} {bcomment} {id} {start} {time} {end} {command_line} {hostname} {username} {tam}.",
    "Keys for items: {type} {mode} {uid} {gid} {user} {group} {path} {bpath} {source} {linktarget} {flags} {size} {csize} {dsize} {dcsize} {num_chunks} {unique_chunks} {mtime} {ctime} {atime} {isomtime} {isoctime} {isoatime} {blake2b} {blake2s} {md5} {sha1} {sha224} {sha256} {sha384} {sha512} {sha3_224} {sha3_256} {sha3_384} {sha3_512} {xxh64} {archiveid} {archivename} {extra} {health} {dataless}.",
  ],
  options: [
    flag("--consider-checkpoints", "show checkpoint archives too"),
    flag("--short", "names only"),
    valued("--format", "FORMAT", "how to print an archive or an item (see above)"),
    flag("--json", "archives as JSON; the keys of --format are added"),
    flag("--json-lines", "items as JSON, one a line; the keys of --format are added"),
    ...archiveFilters,
    ...patternOptions,
  ],
  positionals: [repositoryOrArchive("what to list", "?"), paths("only these; patterns are understood")],
  examples: [
    { line: "list REPO", what: "the archives" },
    { line: "list --last 3 --short REPO", what: "the names of the newest three" },
    { line: "list REPO::monday home/me", what: "the files below one path" },
    { line: "list --format '{size:>12} {path}{NL}' REPO::monday", what: "sizes and paths" },
  ],
  bypassLock: true,
};

const info: CommandSpec = {
  name: "info",
  section: "everyday",
  summary: "sizes and details of a repository or its archives",
  about: [
    "Shows the sizes of a repository, or the details of archives: original, compressed and deduplicated. An archive's deduplicated size is what deleting only this archive would free.",
  ],
  options: [flag("--json", "as JSON"), ...archiveFilters],
  positionals: [repositoryOrArchive("what to look at", "?")],
  examples: [
    { line: "info REPO", what: "the repository" },
    { line: "info REPO::monday", what: "one archive" },
    { line: "info --last 1 REPO", what: "the newest archive" },
  ],
  bypassLock: true,
};

const diff: CommandSpec = {
  name: "diff",
  section: "everyday",
  summary: "what changed between two archives",
  about: [
    "Shows which files were added, removed or changed between two archives of one repository, without restoring them. Contents are compared by their chunks; if the archives were made with different chunker parameters they are read, unless --same-chunker-params says that this is not needed.",
    "Fields of --sort-by: path, size_added, size_removed, size_diff, size, user, group, uid, gid, ctime, mtime, ctime_diff, mtime_diff.",
  ],
  options: [
    ...numericIds("compare numeric user and group ids only"),
    flag("--same-chunker-params", "take it that both archives were chunked alike"),
    flag("--sort", "sort by path", {
      deprecated: 'Warning: "--sort" is deprecated. Use "--sort-by=path" instead.',
    }),
    valued("--sort-by", "FIELDS", "sort by these fields; > before a field for descending", {
      type: "diff-sort",
      once: true,
    }),
    flag("--content-only", "compare contents, not metadata"),
    flag("--json-lines", "one JSON object a line"),
    ...patternOptions,
  ],
  positionals: [
    archive("repository and first archive", "REPO::ARCHIVE1"),
    { name: "archive2", label: "ARCHIVE2", type: "archive-name", help: "name of the second archive" },
    paths("only these; patterns are understood"),
  ],
  examples: [
    { line: "diff REPO::monday tuesday", what: "all changes" },
    {
      line: "diff --content-only --sort-by '>size_diff' REPO::monday tuesday home",
      what: "what grew most, below home",
    },
  ],
  bypassLock: true,
};

const mount: CommandSpec = {
  name: "mount",
  section: "everyday",
  summary: "mount an archive or a repository as a file system",
  about: [
    "Mounts an archive, or a repository with one directory an archive, read-only. It runs in the background until it is unmounted; -f keeps it in the foreground.",
    "With --webdav nothing is mounted, and no MOUNTPOINT is given: the same files are served read-only over WebDAV, which file managers and davfs2 open, also where there is no FUSE. ADDR is HOST:PORT, or one of the two; the default is 127.0.0.1 and any free port. The address is printed. It holds a secret unless ALCOVE_WEBDAV_PASSWORD is set to the password of the user alcove; addresses that other machines can reach need the password. It ends with SIGINT or SIGTERM.",
    "Mount options (-o, comma-separated): ro, allow_other, uid=N, gid=N, umask=M; versions merges all archives into one tree with a directory of versions for each file; allow_damaged_files lets files with lost parts be read; ignore_permissions turns off permission checks.",
  ],
  options: [
    flag("--consider-checkpoints", "show checkpoint archives too"),
    flag("-f --foreground", "stay in the foreground"),
    valued("-o", "OPTIONS", "mount options", { once: true }),
    valued("--webdav", "ADDR", "serve over WebDAV instead, --webdav=ADDR at an address of your choice", {
      implied: "",
      own: true,
      group: "Only in Alcove",
    }),
    ...numericIds("use the numeric user and group ids of the archive"),
    ...archiveFilters,
    ...patternOptions,
    stripComponents,
  ],
  positionals: [
    repositoryOrArchive("what to mount"),
    {
      name: "mountpoint",
      label: "MOUNTPOINT",
      nargs: "?",
      unless: "webdav",
      help: "an empty directory (none with --webdav)",
    },
    paths("only these; patterns are understood"),
  ],
  examples: [
    { line: "mount REPO /mnt/backup", what: "all archives" },
    { line: "mount REPO::monday /mnt/backup home/me", what: "a part of one archive" },
    { line: "umount /mnt/backup", what: "the end of it" },
    { line: "mount --webdav -f REPO", what: "all archives over WebDAV, until Ctrl-C" },
  ],
  bypassLock: true,
};

const umount: CommandSpec = {
  name: "umount",
  section: "everyday",
  summary: "unmount what mount has mounted",
  about: [
    "Unmounts a file system that the mount command has mounted. The system's umount and fusermount -u do the same.",
  ],
  options: [],
  positionals: [{ name: "mountpoint", label: "MOUNTPOINT", help: "where it is mounted" }],
  examples: [{ line: "umount /mnt/backup", what: "end the mount" }],
  bypassLock: true,
};

export const everyday: readonly CommandSpec[] = [
  init,
  create,
  listCommand,
  info,
  extract,
  diff,
  mount,
  umount,
];
