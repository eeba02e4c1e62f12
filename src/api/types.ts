// What the public API takes and gives: plain objects, documented here once. Paths are strings in which bytes that
// are no UTF-8 stand as lone surrogates (U+DC80..U+DCFF), as Python's surrogateescape has them.
import type { ChunkRef } from "../archive/item.ts";

export type EncryptionMode =
  | "none"
  | "authenticated"
  | "authenticated-blake2"
  | "repokey"
  | "repokey-blake2"
  | "keyfile"
  | "keyfile-blake2";

/** Told while something long is done. */
export interface ProgressEvent {
  /** "create", "extract", or Borg's msgid of the operation ("check.segments", "cache.sync", …). */
  operation: string;
  /** What has been done and what there is to do, in the operation's own unit; the total where it is known. */
  current: number;
  total?: number;
  /** The path or archive being worked on. */
  path?: string;
  /** Totals of the archive being made so far. */
  stats?: ArchiveStats;
}

export interface OperationOptions {
  /** Ends the operation: nothing is committed, and the call rejects with the signal's reason. */
  signal?: AbortSignal;
  onProgress?: (event: ProgressEvent) => void;
}

export interface OpenOptions {
  /** The passphrase, or what asks for it. Without it BORG_PASSPHRASE, BORG_PASSCOMMAND and the like apply. */
  passphrase?: string | ((prompt: string) => string | undefined | Promise<string | undefined>);
  /** "read" (the default) takes a shared lock, "write" an exclusive one; "unlocked" reads without any. */
  mode?: "read" | "write" | "unlocked";
  /** Seconds to wait for the lock (default 1). */
  lockWait?: number;
  /** The variables that Borg documents (directories, BORG_RSH, answers to questions); process.env by default. */
  env?: Readonly<Record<string, string | undefined>>;
  /** Messages for people. Nothing is printed by the library. */
  onLog?: (level: "debug" | "info" | "warning" | "error", message: string) => void;
  /** For repositories behind ssh: how to start it, and the program there. */
  rsh?: string;
  remotePath?: string;
}

export interface InitOptions extends Omit<OpenOptions, "mode"> {
  encryption: EncryptionMode;
  appendOnly?: boolean;
  /** Bytes; no limit by default. */
  storageQuota?: number;
  makeParentDirs?: boolean;
}

/** A line of the repository's list of archives. */
export interface ArchiveSummary {
  name: string;
  /** 64 hex digits. */
  id: string;
  start: Date;
}

/** Sizes in bytes. */
export interface ArchiveStats {
  files: number;
  originalSize: number;
  compressedSize: number;
  /** What the archive added to the repository. */
  deduplicatedSize: number;
}

export interface ArchiveInfo extends ArchiveSummary {
  end: Date;
  comment: string;
  hostname: string;
  username: string;
  commandLine: readonly string[];
}

export type ItemType = "file" | "directory" | "symlink" | "fifo" | "char-device" | "block-device" | "socket";

/** An entry of an archive. */
export interface ArchiveItem {
  path: string;
  type: ItemType;
  /** Permission bits, 0o7777 at most. */
  mode: number;
  /** Bytes of a regular file. A further name of a hard-linked file has those of its first name. */
  size: number;
  uid?: number;
  gid?: number;
  user?: string;
  group?: string;
  /** Nanoseconds since the epoch. */
  mtime?: bigint;
  /** Target of a symlink. */
  target?: string;
  /** Of a device. */
  device?: DeviceNumbers;
  /** First name of a hard-linked file, for its further names. */
  hardlinkOf?: string;
  xattrs?: ReadonlyMap<string, Uint8Array>;
  /** The pieces that a file's contents are stored in. */
  chunks?: readonly ChunkRef[];
}

export interface ItemsOptions {
  /** Only these: Borg patterns ("sh:home/*\/.ssh", "re:…", "fm:…", or a path and what is under it). */
  paths?: readonly string[];
  signal?: AbortSignal;
}

/** Contents of a file that is put into an archive. */
export type Content =
  | string
  | Uint8Array
  | Iterable<Uint8Array>
  | AsyncIterable<Uint8Array>
  | ReadableStream<Uint8Array>;

/** As stat shows them. */
export interface DeviceNumbers {
  major: number;
  minor: number;
}

interface EntryBase {
  /** Relative, with "/" between names; leading "/" and "../" are taken off. */
  path: string;
  /** Permission bits; 0o755 for directories, 0o777 for symlinks, 0o644 for the others by default. */
  mode?: number;
  /** 0 by default. */
  uid?: number;
  gid?: number;
  user?: string;
  group?: string;
  /** Now by default. A bigint is nanoseconds since the epoch. */
  mtime?: Date | bigint;
  xattrs?: ReadonlyMap<string, Uint8Array>;
}

/**
 * What an archive can be made of. A "hard-link" is a further name of a file that came before with `linked: true`, whose
 * path is its target; it has that file's attributes, whatever its own say.
 */
export type Entry =
  | (EntryBase & { type?: "file"; content: Content; linked?: boolean })
  | (EntryBase & { type: "hard-link"; target: string })
  | (EntryBase & { type: "directory" })
  | (EntryBase & { type: "symlink"; target: string })
  | (EntryBase & { type: "fifo" })
  | (EntryBase & { type: "char-device" | "block-device"; device: DeviceNumbers });

export interface CreateOptions extends OperationOptions {
  comment?: string;
  /** As for the command line: "none", "lz4" (default), "zstd,3", "zlib,6", "lzma,6", "auto,zstd", … */
  compression?: string;
  /** As for the command line; "buzhash,19,23,21,4095" by default. */
  chunkerParams?: string;
  /** The time to record instead of now. */
  timestamp?: Date;
}

export interface BackupOptions extends CreateOptions {
  /** Borg patterns of what is left out. */
  exclude?: readonly string[];
  excludeCaches?: boolean;
  oneFileSystem?: boolean;
  /** Worker threads; 0 works in this thread. One a core, up to four, by default. */
  workers?: number;
  /** Problems with single files; the backup goes on. */
  onWarning?: (warning: Error) => void;
}

export interface ExtractOptions extends OperationOptions {
  /** Borg patterns of what to extract; everything by default. */
  paths?: readonly string[];
  stripComponents?: number;
  /** Zeros become holes. */
  sparse?: boolean;
  workers?: number;
  onWarning?: (warning: Error) => void;
}

export interface CheckOptions extends OperationOptions {
  /** Decrypt and verify all data too. */
  verifyData?: boolean;
  /** Every problem that is found. */
  onProblem?: (message: string) => void;
}
