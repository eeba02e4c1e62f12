// Errors across the wire: what a server tells about a failed call becomes a local error, and the other way round.
// Borg sends a class's bare name and its arguments; the client puts its own location where the server named its path.
import {
  AlcoveError,
  DecompressionError,
  describeSystemError,
  errorFromRemote,
  InsufficientFreeSpace,
  IntegrityError,
  InvalidRepositoryConfig,
  InvalidRPCMethod,
  LockFailed,
  ObjectNotFound,
  StorageQuotaExceeded,
} from "../errors.ts";
import type { RemoteFailure } from "./framing.ts";

/** A failure of a class that has no counterpart here: a Python exception of a borg server, say. */
export class RemoteCallError extends AlcoveError {
  /** The server's traceback and system information, for debug logs only. */
  readonly details: string;
  constructor(failure: RemoteFailure) {
    const short = (failure.short ?? []).join("\n").trim() || failure.exceptionClass;
    super(
      `The server reports: ${short}`,
      failure.exceptionClass,
      2,
      [short],
      "The server's own log may tell more.",
    );
    this.details = [...(failure.full ?? []), failure.sysinfo ?? ""].join("\n").trim();
  }
}

const UNKNOWN = "(not available)";

/** The local error for a failed call. location: the repository as the user named it. */
export function errorFromFailure(failure: RemoteFailure, location: string): AlcoveError {
  const args = (failure.args ?? []).map((arg) => (arg === null || arg === undefined ? UNKNOWN : String(arg)));
  const first = args[0] ?? UNKNOWN;
  const second = args[1] ?? "";
  switch (failure.exceptionClass) {
    case "Error":
    case "ErrorWithTraceback":
      return new AlcoveError(first);
    case "IntegrityError":
      return new IntegrityError(first);
    case "DecompressionError":
      return new DecompressionError(first);
    case "InvalidRepository":
    case "DoesNotExist":
    case "AlreadyExists":
    case "CheckNeeded":
      return errorFromRemote(failure.exceptionClass, [location])!;
    case "ObjectNotFound":
      return new ObjectNotFound(first, location);
    case "InvalidRepositoryConfig":
      return new InvalidRepositoryConfig(location, second);
    case "LockFailed":
      return new LockFailed(first, second);
    case "InsufficientFreeSpaceError":
      return new InsufficientFreeSpace(first, second);
    case "StorageQuotaExceeded":
      return new StorageQuotaExceeded(first, second);
    case "InvalidRPCMethod":
      return new InvalidRPCMethod(first);
    case "LockTimeout":
    case "LockError":
    case "LockErrorT":
    case "NotLocked":
    case "NotMyLock":
    case "PathNotAllowed":
    case "PathAlreadyExists":
    case "PathPermissionDenied":
    case "ParentPathDoesNotExist":
    case "AtticRepository":
      return errorFromRemote(failure.exceptionClass, args.length > 0 ? args : [UNKNOWN])!;
    default:
      return new RemoteCallError(failure);
  }
}

/** What a server tells its client about an error of its own. */
export function failureFromError(error: unknown, sysinfo: string): RemoteFailure {
  if (error instanceof AlcoveError) {
    return {
      exceptionClass: error.msgid.slice(error.msgid.lastIndexOf(".") + 1),
      args: [...error.args],
      short: [error.message],
      full: [`${error.message}\n`],
      trace: false,
      sysinfo,
    };
  }
  const cause: NodeJS.ErrnoException = error instanceof Error ? error : new Error(String(error));
  const exceptionClass =
    cause.code && cause.errno !== undefined ? (OS_ERRORS[cause.code] ?? "OSError") : cause.name;
  const message = cause.code ? describeSystemError(cause) : cause.message;
  const line = `${exceptionClass}: ${message}\n`;
  return { exceptionClass, args: [message], short: [line], full: [line], trace: false, sysinfo };
}

/** Python's subclasses of OSError, which frontends of Borg know. */
const OS_ERRORS: Record<string, string> = {
  ENOENT: "FileNotFoundError",
  EEXIST: "FileExistsError",
  EACCES: "PermissionError",
  EPERM: "PermissionError",
  ENOTDIR: "NotADirectoryError",
  EISDIR: "IsADirectoryError",
};
