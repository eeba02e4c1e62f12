// The errors and warnings of Alcove: one class for each of Borg's message ids, with its "modern" exit code.
// Ids, arguments and codes are those of Borg's docs/internals/frontends.rst (branch 1.4-maint), because
// programs that drive Borg act on them; the wording is ours. An error from a server arrives as (id, args)
// and is rebuilt with `errorFromRemote`, so the constructor's arguments are kept in `args`.

/** Base of everything a user may see. `exitCode` is Borg's modern code; in legacy mode every error ends with 2. */
export class AlcoveError extends Error {
  readonly msgid: string;
  readonly exitCode: number;
  /** The constructor's arguments, as they travel over the remote protocol. */
  readonly args: readonly unknown[];
  /** What the user can do now, where that helps. */
  hint: string | undefined;
  constructor(
    message: string,
    msgid = "Error",
    exitCode = 2,
    args: readonly unknown[] = [message],
    hint?: string,
  ) {
    super(message);
    this.name = msgid;
    this.msgid = msgid;
    this.exitCode = exitCode;
    this.args = args;
    this.hint = hint;
  }
}

/** A problem with one file or pattern: the operation goes on, and the exit code becomes a warning (1 or 100–127). */
export class AlcoveWarning extends AlcoveError {}

/** A value on the command line or in a pattern file that cannot be used: a usage error, exit code 2 in either mode. */
export class ArgumentError extends AlcoveError {}

/** Data that fails a checksum, MAC, id or format check. It is never returned as data. */
export class IntegrityError extends AlcoveError {
  constructor(
    message: string,
    msgid = "IntegrityError",
    exitCode = 90,
    args: readonly unknown[] = [message],
    hint?: string,
  ) {
    super(message, msgid, exitCode, args, hint);
  }
}

type Base = new (
  message: string,
  msgid: string,
  code: number,
  args: readonly unknown[],
  hint?: string,
) => AlcoveError;
type ErrorClass<A extends unknown[]> = {
  new (...args: A): AlcoveError;
  readonly msgid: string;
  readonly exitCode: number;
};

const registry = new Map<string, ErrorClass<never[]>>();

function define<A extends unknown[]>(
  base: Base,
  msgid: string,
  exitCode: number,
  text: (...args: A) => string,
  hint?: (...args: A) => string,
): ErrorClass<A> {
  const cls = class extends base {
    static readonly msgid = msgid;
    static readonly exitCode = exitCode;
    constructor(...args: A) {
      super(text(...args), msgid, exitCode, args, hint?.(...args));
    }
  };
  registry.set(msgid, cls as unknown as ErrorClass<never[]>);
  return cls as unknown as ErrorClass<A>;
}

const error = <A extends unknown[]>(
  msgid: string,
  code: number,
  text: (...args: A) => string,
  hint?: (...args: A) => string,
) => define(AlcoveError, msgid, code, text, hint);
const integrity = <A extends unknown[]>(
  msgid: string,
  code: number,
  text: (...args: A) => string,
  hint?: (...args: A) => string,
) => define(IntegrityError as unknown as Base, msgid, code, text, hint);
const warning = <A extends unknown[]>(msgid: string, code: number, text: (...args: A) => string) =>
  define(AlcoveWarning, msgid, code, text);

// General
export const CancelledByUser = error("CancelledByUser", 3, () => "Cancelled by user.");
export const CommandError = error("CommandError", 4, (what: string) => `Command error: ${what}`);
export const PlaceholderError = error(
  "PlaceholderError",
  5,
  (format: string, reason: string) => `Cannot expand the placeholders of "${format}": ${reason}`,
);
export const InvalidPlaceholder = error(
  "InvalidPlaceholder",
  6,
  (name: string, format: string) => `Unknown placeholder "${name}" in: ${format}`,
);
export const MemoryLimitExceeded = error(
  "Buffer.MemoryLimitExceeded",
  2,
  (size: number, limit: number) => `A buffer of ${size} bytes was asked for, but the limit is ${limit}.`,
);

// Repository
export const RepositoryAlreadyExists = error(
  "Repository.AlreadyExists",
  10,
  (location: string) => `A repository already exists at ${location}.`,
);
export const AtticRepository = error(
  "Repository.AtticRepository",
  11,
  (location: string) => `${location} is an Attic repository, which has to be converted first.`,
  () => "Convert it with an original Borg 1.x (borg upgrade) and come back.",
);
export const CheckNeeded = error(
  "Repository.CheckNeeded",
  12,
  (location: string) => `The repository ${location} is inconsistent.`,
  (location: string) => `Look at it with: alcove check ${location}`,
);
export const RepositoryDoesNotExist = error(
  "Repository.DoesNotExist",
  13,
  (location: string) => `Repository ${location} does not exist.`,
  () => "Check the path, or make a new repository there with: alcove init",
);
export const InsufficientFreeSpace = error(
  "Repository.InsufficientFreeSpaceError",
  14,
  (required: string, available: string) =>
    `Not enough free space to complete the transaction (needed: ${required}, available: ${available}).`,
);
export const InvalidRepository = error(
  "Repository.InvalidRepository",
  15,
  (location: string) => `${location} is not a valid repository. Check its config file.`,
);
export const InvalidRepositoryConfig = error(
  "Repository.InvalidRepositoryConfig",
  16,
  (location: string, what: string) => `The configuration of repository ${location} is not valid [${what}].`,
);
export const ObjectNotFound = error(
  "Repository.ObjectNotFound",
  17,
  (id: string, location: string) => `Object ${id} not found in repository ${location}.`,
);
export const ParentPathDoesNotExist = error(
  "Repository.ParentPathDoesNotExist",
  18,
  (path: string) => `The parent directory of the repository [${path}] does not exist.`,
  () => "Create it first, or add --make-parent-dirs.",
);
export const PathAlreadyExists = error(
  "Repository.PathAlreadyExists",
  19,
  (path: string) => `There is already something at ${path}.`,
);
export const StorageQuotaExceeded = error(
  "Repository.StorageQuotaExceeded",
  20,
  (quota: string, used: string) => `The storage quota (${quota}) has been exceeded (${used}).`,
  () => "Delete some archives and compact, or raise the quota.",
);
export const PathPermissionDenied = error(
  "Repository.PathPermissionDenied",
  21,
  (path: string) => `Permission denied: ${path}`,
);
export const MandatoryFeatureUnsupported = error(
  "MandatoryFeatureUnsupported",
  25,
  (features: string) => `The repository needs feature(s) this program does not know: ${features}.`,
);
export const NoManifestError = error("NoManifestError", 26, () => "The repository has no manifest.");
export const UnsupportedManifestError = error(
  "UnsupportedManifestError",
  27,
  () => "The envelope of the manifest is not supported; a newer version is needed.",
);

// Archive
export const ArchiveAlreadyExists = error(
  "Archive.AlreadyExists",
  30,
  (name: string) => `Archive ${name} already exists`,
);
export const ArchiveDoesNotExist = error(
  "Archive.DoesNotExist",
  31,
  (name: string) => `Archive ${name} does not exist`,
);
export const IncompatibleFilesystemEncoding = error(
  "Archive.IncompatibleFilesystemEncodingError",
  32,
  (name: string, encoding: string) =>
    `The file name "${name}" cannot be expressed in the file system's encoding ${encoding}.`,
);

// Key
export const KeyfileInvalid = error(
  "KeyfileInvalidError",
  40,
  (location: string, where: string) => `Invalid key data for repository ${location} in ${where}.`,
);
export const KeyfileMismatch = error(
  "KeyfileMismatchError",
  41,
  (location: string, where: string) => `The key file ${where} does not belong to repository ${location}.`,
);
export const KeyfileNotFound = error(
  "KeyfileNotFoundError",
  42,
  (location: string, where: string) => `No key file for repository ${location} found in ${where}.`,
);
export const NotABorgKeyFile = error(
  "NotABorgKeyFile",
  43,
  () => "This file is not a Borg key backup, aborting.",
);
export const RepoKeyNotFound = error(
  "RepoKeyNotFoundError",
  44,
  (location: string) => `No key in the config of repository ${location}.`,
);
export const RepoIdMismatch = error(
  "RepoIdMismatch",
  45,
  () => "This key backup belongs to another repository, aborting.",
);
export const UnencryptedRepo = error(
  "UnencryptedRepo",
  46,
  () => "An unencrypted repository has no key to manage.",
);
export const UnknownKeyType = error("UnknownKeyType", 47, (type: string) => `Key type ${type} is unknown.`);
export const UnsupportedPayloadError = error(
  "UnsupportedPayloadError",
  48,
  (type: string | number) =>
    `Unsupported payload type ${type}; a newer version is needed for this repository.`,
);
export const NoPassphraseFailure = error(
  "NoPassphraseFailure",
  50,
  (why: string) => `Cannot get a passphrase: ${why}`,
);
export const PasscommandFailure = error(
  "PasscommandFailure",
  51,
  (why: string) => `BORG_PASSCOMMAND failed: ${why}`,
);
export const PassphraseWrong = error(
  "PassphraseWrong",
  52,
  () => "The passphrase from BORG_PASSPHRASE, BORG_PASSCOMMAND or BORG_PASSPHRASE_FD is not the right one.",
);
export const PasswordRetriesExceeded = error(
  "PasswordRetriesExceeded",
  53,
  () => "Too many wrong passphrases.",
);

// Cache and security directory
export const CacheInitAborted = error(
  "Cache.CacheInitAbortedError",
  60,
  () => "Cache initialization aborted",
);
export const EncryptionMethodMismatch = error(
  "Cache.EncryptionMethodMismatch",
  61,
  () => "The repository's encryption method has changed since the last access, refusing to continue",
);
export const RepositoryAccessAborted = error(
  "Cache.RepositoryAccessAborted",
  62,
  () => "Repository access aborted",
);
export const RepositoryIDNotUnique = error(
  "Cache.RepositoryIDNotUnique",
  63,
  () =>
    "The cache is newer than the repository: are there several repositories with the same id, updated independently?",
);
export const RepositoryReplay = error(
  "Cache.RepositoryReplay",
  64,
  () =>
    "The cache or the security directory is newer than the repository: either this is an attack, or there are several repositories with the same id",
);

// Locks
export const LockError = error("LockError", 70, (path: string) => `Failed to acquire the lock ${path}.`);
export const LockErrorT = error("LockErrorT", 71, (path: string) => `Failed to acquire the lock ${path}.`);
export const LockFailed = error(
  "LockFailed",
  72,
  (path: string, why: string) => `Failed to create the lock ${path} (${why}).`,
);
export const LockTimeout = error(
  "LockTimeout",
  73,
  (path: string, holder?: string) =>
    `Failed to acquire the lock ${path} (timeout)${holder ? `: ${holder}` : ""}.`,
  () =>
    "Wait for the other program (--lock-wait SECONDS). If it is surely gone: alcove break-lock REPOSITORY",
);
export const NotLocked = error(
  "NotLocked",
  74,
  (path: string) => `Failed to release the lock ${path} (it was not locked).`,
);
export const NotMyLock = error(
  "NotMyLock",
  75,
  (path: string) => `Failed to release the lock ${path} (it is held, but not by me).`,
);

// Remote
export const ConnectionClosed = error(
  "ConnectionClosed",
  80,
  () => "The connection was closed by the remote host.",
);
export const ConnectionClosedWithHint = error(
  "ConnectionClosedWithHint",
  81,
  (hint: string) => `The connection was closed by the remote host. ${hint}`,
);
export const InvalidRPCMethod = error(
  "InvalidRPCMethod",
  82,
  (name: string) => `RPC method ${name} is not valid.`,
);
export const PathNotAllowed = error(
  "PathNotAllowed",
  83,
  (path: string) => `Repository path not allowed: ${path}`,
);
export const RPCServerOutdated = error(
  "RemoteRepository.RPCServerOutdated",
  84,
  (what: string, needed: string) => `The server's Borg is too old for ${what}; version ${needed} is needed.`,
);
export const UnexpectedRPCDataFormatFromClient = error(
  "UnexpectedRPCDataFormatFromClient",
  85,
  (version: string) => `Borg ${version}: unexpected RPC data format from the client.`,
);
export const UnexpectedRPCDataFormatFromServer = error(
  "UnexpectedRPCDataFormatFromServer",
  86,
  (data: string) => `Unexpected RPC data format from the server:\n${data}`,
);
export const ConnectionBrokenWithHint = error(
  "ConnectionBrokenWithHint",
  87,
  (hint: string) => `The connection to the remote host is broken. ${hint}`,
);

// Integrity
export const FileIntegrityError = integrity(
  "FileIntegrityError",
  91,
  (path: string) => `File failed its integrity check: ${path}`,
);
export const DecompressionError = integrity(
  "DecompressionError",
  92,
  (why: string) => `Decompression error: ${why}`,
);
export const ArchiveTAMInvalid = integrity(
  "ArchiveTAMInvalid",
  95,
  (why: string) => `Data integrity error: ${why}`,
);
export const ArchiveTAMRequired = integrity(
  "ArchiveTAMRequiredError",
  96,
  (name: string) => `Archive '${name}' is not authenticated, but this repository requires it.`,
  () => "If you trust the repository's content, run: alcove upgrade --archives-tam REPOSITORY",
);
export const TAMInvalid = integrity("TAMInvalid", 97, (why: string) => `Data integrity error: ${why}`);
export const TAMRequired = integrity(
  "TAMRequiredError",
  98,
  () => "The manifest is not authenticated, but this repository requires it.",
);
export const TAMUnsupportedSuite = integrity(
  "TAMUnsupportedSuiteError",
  99,
  (suite: string) =>
    `The manifest cannot be verified: unsupported suite ${suite}; a newer version is needed.`,
);

// Warnings
export const FileChangedWarning = warning(
  "FileChangedWarning",
  100,
  (path: string) => `${path}: file changed while we backed it up`,
);
export const IncludePatternNeverMatched = warning(
  "IncludePatternNeverMatchedWarning",
  101,
  (pattern: string) => `Include pattern '${pattern}' never matched.`,
);
export const BackupError = warning(
  "BackupError",
  102,
  (path: string, why?: string) => `${path}: ${why ?? "backup error"}`,
);
export const BackupRaceCondition = warning(
  "BackupRaceConditionError",
  103,
  (path: string) =>
    `${path}: file type or inode changed while we backed it up (race condition, skipped file)`,
);
export const BackupOSError = warning("BackupOSError", 104, (path: string, why: string) => `${path}: ${why}`);
export const BackupPermissionError = warning(
  "BackupPermissionError",
  105,
  (path: string, why: string) => `${path}: ${why}`,
);
export const BackupIOError = warning("BackupIOError", 106, (path: string, why: string) => `${path}: ${why}`);
export const BackupFileNotFound = warning(
  "BackupFileNotFoundError",
  107,
  (path: string, why: string) => `${path}: ${why}`,
);
export const BackupSymlinkParent = warning(
  "BackupSymlinkParentError",
  108,
  (path: string) =>
    `${path}: not extracted, a parent directory is a symlink (malicious or corrupted archive)`,
);
export const BackupPathTraversal = warning(
  "BackupPathTraversalError",
  109,
  (path: string) => `${path}: not extracted, the path contains "../" (malicious or corrupted archive)`,
);
export const BackupHardlinkSource = warning(
  "BackupHardlinkSourceError",
  110,
  (path: string) =>
    `${path}: not extracted, the hard link's source path is unsafe (malicious or corrupted archive)`,
);

/** The warning Borg gives for a failed system call on one file: by errno, one of the BackupOSError family. */
export function backupOSError(path: string, cause: NodeJS.ErrnoException): AlcoveWarning {
  const why = describeSystemError(cause);
  switch (cause.code) {
    case "EPERM":
    case "EACCES":
      return new BackupPermissionError(path, why);
    case "EIO":
      return new BackupIOError(path, why);
    case "ENOENT":
      return new BackupFileNotFound(path, why);
    default:
      return new BackupOSError(path, why);
  }
}

const errnoText: Record<string, string> = {
  EACCES: "Permission denied",
  EPERM: "Operation not permitted",
  ENOENT: "No such file or directory",
  EIO: "Input/output error",
  ENOSPC: "No space left on device",
  EDQUOT: "Disk quota exceeded",
  EROFS: "Read-only file system",
  EMFILE: "Too many open files",
  ENOTDIR: "Not a directory",
  EISDIR: "Is a directory",
  EEXIST: "File exists",
  ELOOP: "Too many levels of symbolic links",
  ENAMETOOLONG: "File name too long",
  ENOTEMPTY: "Directory not empty",
  EXDEV: "Invalid cross-device link",
  EBUSY: "Device or resource busy",
  ENOTSUP: "Operation not supported",
  EPIPE: "Broken pipe",
};

/** "open: [Errno ENOENT] No such file or directory" from an error of any runtime; never a stack trace. */
export function describeSystemError(cause: NodeJS.ErrnoException): string {
  const text = cause.code ? (errnoText[cause.code] ?? cause.message) : cause.message;
  return `${cause.syscall ? `${cause.syscall}: ` : ""}${cause.code ? `[${cause.code}] ` : ""}${text}`;
}

/** Rebuilds a local error from what a server sent: Borg's class name and arguments. Unknown names give undefined. */
export function errorFromRemote(name: string, args: readonly unknown[]): AlcoveError | undefined {
  const qualified = remoteNames[name] ?? name;
  const cls = registry.get(qualified) as (new (...args: unknown[]) => AlcoveError) | undefined;
  return cls && new cls(...args);
}

// Over the wire Borg sends a class's bare name, without the class it is nested in.
const remoteNames: Record<string, string> = {
  AlreadyExists: "Repository.AlreadyExists",
  AtticRepository: "Repository.AtticRepository",
  CheckNeeded: "Repository.CheckNeeded",
  DoesNotExist: "Repository.DoesNotExist",
  InsufficientFreeSpaceError: "Repository.InsufficientFreeSpaceError",
  InvalidRepository: "Repository.InvalidRepository",
  InvalidRepositoryConfig: "Repository.InvalidRepositoryConfig",
  ObjectNotFound: "Repository.ObjectNotFound",
  ParentPathDoesNotExist: "Repository.ParentPathDoesNotExist",
  PathAlreadyExists: "Repository.PathAlreadyExists",
  PathPermissionDenied: "Repository.PathPermissionDenied",
  StorageQuotaExceeded: "Repository.StorageQuotaExceeded",
};

/** Every message id this program can give, with its modern exit code. */
export function knownMessageIds(): ReadonlyMap<string, number> {
  return new Map([...registry].map(([id, cls]) => [id, cls.exitCode]));
}
