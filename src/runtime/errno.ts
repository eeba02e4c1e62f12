// System errors as node:fs gives them (code, errno, syscall, path), made from the errno of a libc call, so that
// callers need not know which way a call went.
import os from "node:os";

/** Linux numbers. */
export const EACCES = 13;
export const ENOTDIR = 20;
export const ERANGE = 34;

const names = new Map<number, string>();
for (const [name, value] of Object.entries(os.constants.errno ?? {}))
  if (!names.has(value)) names.set(value, name);
// Two names for one number: keep the one that node:fs reports.
for (const name of ["ENOTSUP", "EAGAIN", "EDEADLK"] as const) {
  const value = (os.constants.errno as Record<string, number> | undefined)?.[name];
  if (value !== undefined) names.set(value, name);
}

const texts: Record<string, string> = {
  EACCES: "permission denied",
  EBADF: "bad file descriptor",
  EBUSY: "resource busy or locked",
  EDQUOT: "disk quota exceeded",
  EEXIST: "file already exists",
  EFBIG: "file too large",
  EINVAL: "invalid argument",
  EIO: "i/o error",
  EISDIR: "illegal operation on a directory",
  ELOOP: "too many symbolic links encountered",
  EMFILE: "too many open files",
  ENAMETOOLONG: "name too long",
  ENFILE: "file table overflow",
  ENODATA: "no data available",
  ENODEV: "no such device",
  ENOENT: "no such file or directory",
  ENOSPC: "no space left on device",
  ENOSYS: "function not implemented",
  ENOTDIR: "not a directory",
  ENOTEMPTY: "directory not empty",
  ENOTSUP: "operation not supported",
  ENOTTY: "inappropriate ioctl for device",
  ENXIO: "no such device or address",
  EPERM: "operation not permitted",
  ERANGE: "result too large",
  EROFS: "read-only file system",
  ESTALE: "stale file handle",
  EXDEV: "cross-device link not permitted",
};

export type SystemError = NodeJS.ErrnoException;

/** "ENOENT" for 2; "E2000" for a number this system does not name. */
export function errnoName(errno: number): string {
  return names.get(errno) ?? `E${errno}`;
}

/** An error for a failed call: `errno` positive, as in C. */
export function systemError(syscall: string, errno: number, path?: string): SystemError {
  return systemErrorByName(syscall, errnoName(errno), path, errno);
}

/** The same from the name of the error code, where only that is known (an external tool's answer). */
export function systemErrorByName(syscall: string, code: string, path?: string, errno?: number): SystemError {
  const where = path === undefined ? "" : ` '${path}'`;
  const error = new Error(`${code}: ${texts[code] ?? "system error"}, ${syscall}${where}`) as SystemError;
  error.code = code;
  error.syscall = syscall;
  const number = errno ?? (os.constants.errno as Record<string, number> | undefined)?.[code];
  if (number !== undefined) error.errno = -number;
  if (path !== undefined) error.path = path;
  return error;
}

export function isSystemError(error: unknown, ...codes: string[]): error is SystemError {
  const code = (error as SystemError | undefined)?.code;
  return typeof code === "string" && (codes.length === 0 || codes.includes(code));
}
