// The file system as the rest of the program sees it: paths are surrogate-escaped strings on every runtime,
// times have nanoseconds, errors look like node:fs's. With FFI the C library is called; without it node:fs.
// Functions that take `dir` work relative to an open directory, so that no symlink put into a parent in the
// meantime can lead them elsewhere. File descriptors can be used with node:fs's readSync, writeSync, closeSync.
import nodeFs from "node:fs";
import {
  AT_FDCWD,
  AT_REMOVEDIR,
  AT_SYMLINK_NOFOLLOW,
  O_CLOEXEC,
  O_CREAT,
  O_EXCL,
  O_LARGEFILE,
  O_NOATIME,
  O_NOCTTY,
  O_NOFOLLOW,
  O_NONBLOCK,
  O_RDONLY,
  O_RDWR,
  O_TRUNC,
  O_WRONLY,
} from "./constants.ts";
import type { FsEntry } from "./entry.ts";
import { isSystemError, systemError } from "./errno.ts";
import { type Libc, type LibcName, libc, listAttributes, PATH_A, PATH_B, STATX, VALUE } from "./libc.ts";
import { fsDecode, fsEncode, nodePath } from "./pathbytes.ts";
import { is32bit, isLinux, runtime } from "./platform.ts";
import { Directory, fstatInto, openDirectory, openDirectoryBeneath, openTarget, statx } from "./scanner.ts";
import { numbersOfStatx, S_IFDIR, S_IFIFO, S_IFLNK, S_IFMT, STATX_WANTED, Stat, splitNs } from "./stat.ts";

export interface OpenReadOptions {
  /** Follow a symlink in the last component (--read-special); otherwise it is ELOOP. */
  follow?: boolean;
  /** Wait for data of fifos and devices (--read-special) instead of O_NONBLOCK. */
  blocking?: boolean;
  /** Leave the access time alone where that is permitted; the default. */
  noatime?: boolean;
}

const full = (path: string, dir?: Directory): string =>
  !dir || path.startsWith("/") ? path : dir.path.endsWith("/") ? dir.path + path : `${dir.path}/${path}`;
const at = (dir?: Directory): number => dir?.fd ?? AT_FDCWD;
/** For node:fs, where there is no FFI. */
const plain = (path: string, dir?: Directory): string | Buffer =>
  nodePath(!dir || path.startsWith("/") ? path : dir.at(path));

function call(c: Libc, name: LibcName, syscall: string, path: string, ...args: number[]): void {
  if (c.get(name)(...args) !== 0) throw systemError(syscall, c.ffi.errno(), path);
}

// --- looking ---

/** Status of the path itself, symlinks not followed. Pass `into` to reuse an object. */
export function lstat(path: string, into: Stat = new Stat(), dir?: Directory): Stat {
  return statPath(path, into, AT_SYMLINK_NOFOLLOW, dir);
}

/** Status of what the path leads to. */
export function stat(path: string, into: Stat = new Stat(), dir?: Directory): Stat {
  return statPath(path, into, 0, dir);
}

/** Status of one name of an open directory, symlinks not followed. */
export function lstatAt(dir: Directory, name: string, into: Stat = new Stat()): Stat {
  return dir.lstat(name, into);
}

function statPath(path: string, into: Stat, flags: number, dir?: Directory): Stat {
  const c = libc();
  if (!c) {
    const look = flags === 0 ? nodeFs.statSync : nodeFs.lstatSync;
    return into.fromNode(look(plain(path, dir), { bigint: true }));
  }
  if (statx(c)(at(dir), c.path(path), flags, STATX_WANTED, c.address + STATX) !== 0) {
    throw systemError(flags === 0 ? "stat" : "lstat", c.ffi.errno(), full(path, dir));
  }
  return into.fromStatx(c.u32, c.i32, c.u16, STATX >> 2);
}

/** Status of an open file. */
export function fstat(fd: number, into: Stat = new Stat()): Stat {
  const c = libc();
  return c && descriptorsAreReal()
    ? fstatInto(c, fd, into)
    : into.fromNode(nodeFs.fstatSync(fd, { bigint: true }));
}

/** Status of a path given as bytes, as numbers by STAT from index `into` on; false where the system refuses it. */
export function lookAt(
  bytes: Uint8Array,
  from: number,
  to: number,
  numbers: Float64Array,
  into: number,
): boolean {
  const c = libc();
  const address = c?.pathOfBytes(bytes, from, to);
  if (c === undefined || address === undefined) return false;
  if (statx(c)(AT_FDCWD, address, AT_SYMLINK_NOFOLLOW, STATX_WANTED, c.address + STATX) !== 0) return false;
  numbersOfStatx(c.u32, c.i32, c.u16, STATX >> 2, numbers, into);
  return true;
}

/** Whether a path, given as bytes, has no extended attribute and no ACL; false where that cannot be told. */
export function hasNoXattrs(bytes: Uint8Array, from: number, to: number): boolean {
  const c = libc();
  const address = c?.pathOfBytes(bytes, from, to);
  return c !== undefined && address !== undefined && listAttributes(c, "llistxattr", address) === 0;
}

/** The names of a directory with their inode numbers, ordered by these. */
export function scanDir(path: string): FsEntry[] {
  const directory = openDirectory(path);
  try {
    return directory.entries();
  } finally {
    directory.close();
  }
}

/** Whether lstat finds something; errors other than "not there" are thrown. */
export function exists(path: string): boolean {
  try {
    lstat(path, scratch);
    return true;
  } catch (error) {
    if (isSystemError(error, "ENOENT", "ENOTDIR")) return false;
    throw error;
  }
}

const scratch = new Stat();

export function readlink(path: string, dir?: Directory): string {
  const c = libc();
  if (!c) return fsDecode(nodeFs.readlinkSync(plain(path, dir), "buffer"));
  const room = 65536;
  const length = c.get("readlinkat")(at(dir), c.path(path), c.address + VALUE, room);
  if (length < 0) throw systemError("readlink", c.ffi.errno(), full(path, dir));
  return c.decode(VALUE, length);
}

// --- opening ---

/** A descriptor for reading. Final symlinks are not followed, fifos and devices do not block, unless asked for. */
export function openRead(path: string, options: OpenReadOptions = {}, dir?: Directory): number {
  const flags = readFlags(options);
  if (options.noatime === false || O_NOATIME === 0) return openFd(path, flags, 0, dir);
  try {
    return openFd(path, flags | O_NOATIME, 0, dir);
  } catch (error) {
    // Only its owner and root may read a file unnoticed; EROFS comes from some virtual file systems.
    if (!isSystemError(error, "EPERM", "EROFS")) throw error;
    return openFd(path, flags, 0, dir);
  }
}

function readFlags(options: OpenReadOptions): number {
  let flags = O_RDONLY | O_NOCTTY | O_CLOEXEC;
  if (!options.follow) flags |= O_NOFOLLOW;
  if (!options.blocking) flags |= O_NONBLOCK;
  return flags;
}

/** As openRead, of a path that is [from, to) of some bytes, at less cost; undefined where that is not possible, or fails:
 *  openRead will tell why. */
export function openReadBytes(
  bytes: Uint8Array,
  from: number,
  to: number,
  options: OpenReadOptions,
): number | undefined {
  const c = libc();
  const address = runtime.name === "deno" ? undefined : c?.pathOfBytes(bytes, from, to);
  if (!c || address === undefined) return undefined;
  const flags = readFlags(options) | O_LARGEFILE;
  const open = c.get("openat");
  let fd = open(AT_FDCWD, address, flags | O_NOATIME, 0);
  // As in openRead.
  if (fd < 0 && O_NOATIME !== 0) fd = open(AT_FDCWD, address, flags, 0);
  return fd < 0 ? undefined : fd;
}

/** A new file for writing (and reading); EEXIST if anything has that name already, be it a dangling symlink. */
export function createExclusive(path: string, mode = 0o600, dir?: Directory): number {
  return openFd(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode, dir);
}

/** open(2) with flags of constants.ts. */
export function openFd(path: string, flags: number, mode = 0, dir?: Directory): number {
  const c = libc();
  // Deno keeps its own table of descriptors: it has to open a file itself to let readSync use it.
  if (!c || (runtime.name === "deno" && !dir && typeof nodePath(path) === "string")) {
    return nodeFs.openSync(plain(path, dir), flags, mode);
  }
  const fd = c.get("openat")(at(dir), c.path(path), flags | O_LARGEFILE, mode);
  if (fd < 0) throw systemError("open", c.ffi.errno(), full(path, dir));
  if (runtime.name !== "deno") return fd;
  try {
    return nodeFs.openSync(`/proc/self/fd/${fd}`, flags & ~(O_CREAT | O_EXCL | O_TRUNC | O_NOFOLLOW));
  } finally {
    c.get("close")(fd);
  }
}

/** Closes what openFd, openRead or createExclusive opened. */
export function closeFd(fd: number): void {
  const c = libc();
  // (Deno opened it itself.)
  if (!c || runtime.name === "deno") nodeFs.closeSync(fd);
  else if (c.get("close")(fd) !== 0) throw systemError("close", c.ffi.errno(), `<fd ${fd}>`);
}

let real: boolean | undefined;

/** Whether node:fs's descriptors are the kernel's, so that FFI calls may use them. Not so in early Deno 2. */
export function descriptorsAreReal(): boolean {
  if (real === undefined) {
    real = true;
    if (runtime.name === "deno" && isLinux) {
      const fd = nodeFs.openSync("/dev/null", "r");
      try {
        real = nodeFs.readlinkSync(`/proc/self/fd/${fd}`) === "/dev/null";
      } catch {
        real = false;
      } finally {
        nodeFs.closeSync(fd);
      }
    }
  }
  return real;
}

// --- making and removing names ---

export function mkdir(path: string, mode = 0o777, dir?: Directory): void {
  const c = libc();
  if (c) call(c, "mkdirat", "mkdir", full(path, dir), at(dir), c.path(path), mode);
  else nodeFs.mkdirSync(plain(path, dir), { mode });
}

/** Makes a directory and its missing parents. An existing one (or a symlink to one) is fine. */
export function mkdirp(path: string, mode = 0o777): void {
  try {
    mkdir(path, mode);
  } catch (error) {
    if (isSystemError(error, "ENOENT")) {
      const parent = path.replace(/\/+[^/]*\/*$/, "");
      if (parent === "" || parent === path) throw error;
      mkdirp(parent, mode);
      mkdir(path, mode);
    } else if (!isSystemError(error, "EEXIST") || (stat(path, scratch).mode & S_IFMT) !== S_IFDIR)
      throw error;
  }
}

export function rmdir(path: string, dir?: Directory): void {
  const c = libc();
  if (c) call(c, "unlinkat", "rmdir", full(path, dir), at(dir), c.path(path), AT_REMOVEDIR);
  else nodeFs.rmdirSync(plain(path, dir));
}

export function unlink(path: string, dir?: Directory): void {
  const c = libc();
  if (c) call(c, "unlinkat", "unlink", full(path, dir), at(dir), c.path(path), 0);
  else nodeFs.unlinkSync(plain(path, dir));
}

export function rename(from: string, to: string, fromDir?: Directory, toDir?: Directory): void {
  const c = libc();
  if (c) {
    const [a, b] = [c.path(from, PATH_A), c.path(to, PATH_B)];
    call(c, "renameat", "rename", full(from, fromDir), at(fromDir), a, at(toDir), b);
  } else nodeFs.renameSync(plain(from, fromDir), plain(to, toDir));
}

/** Makes `path` a symlink with the text `target`. */
export function symlink(target: string, path: string, dir?: Directory): void {
  const c = libc();
  if (c)
    call(c, "symlinkat", "symlink", full(path, dir), c.path(target, PATH_A), at(dir), c.path(path, PATH_B));
  else nodeFs.symlinkSync(nodePath(target), plain(path, dir));
}

/** Makes `path` another name of `existing`; a symlink there gets a second name itself and is not followed. */
export function link(existing: string, path: string, existingDir?: Directory, dir?: Directory): void {
  const c = libc();
  if (c) {
    const [a, b] = [c.path(existing, PATH_A), c.path(path, PATH_B)];
    call(c, "linkat", "link", full(path, dir), at(existingDir), a, at(dir), b, 0);
  } else nodeFs.linkSync(plain(existing, existingDir), plain(path, dir));
}

/** A fifo, socket or device: `mode` with its type bits, `rdev` as in `Stat.rdev`. @throws ENOSYS without FFI */
export function mknod(path: string, mode: number, rdev: number | bigint = 0, dir?: Directory): void {
  const c = libc();
  const where = full(path, dir);
  if (!c) throw systemError("mknod", 38 /* ENOSYS */, where);
  if ((mode & S_IFMT) === S_IFIFO) call(c, "mkfifoat", "mkfifo", where, at(dir), c.path(path), mode & 0o7777);
  else call(c, "mknodat", "mknod", where, at(dir), c.path(path), mode, Number(rdev));
}

// --- attributes ---

/** Sets owner and group of the path itself. */
export function lchown(path: string, uid: number, gid: number, dir?: Directory): void {
  const c = libc();
  if (!c) nodeFs.lchownSync(plain(path, dir), uid, gid);
  else call(c, "fchownat", "lchown", full(path, dir), at(dir), c.path(path), uid, gid, AT_SYMLINK_NOFOLLOW);
}

export function fchown(fd: number, uid: number, gid: number): void {
  const c = descriptorsAreReal() ? libc() : undefined;
  if (c) call(c, "fchown", "fchown", `<fd ${fd}>`, fd, uid, gid);
  else nodeFs.fchownSync(fd, uid, gid);
}

/** Sets permissions; ENOTSUP for a symlink, which has none of its own on Linux. Without FFI it is followed. */
export function chmod(path: string, mode: number, dir?: Directory): void {
  const c = libc();
  if (!c) {
    nodeFs.chmodSync(plain(path, dir), mode & 0o7777);
    return;
  }
  const set = (flags: number): void =>
    call(c, "fchmodat", "chmod", full(path, dir), at(dir), c.path(path), mode & 0o7777, flags);
  try {
    set(AT_SYMLINK_NOFOLLOW);
  } catch (error) {
    // glibc before 2.32 cannot; later ones need /proc for it on kernels before 6.6.
    if (!isSystemError(error, "ENOTSUP", "EOPNOTSUPP", "EINVAL")) throw error;
    if ((lstat(path, scratch, dir).mode & S_IFMT) === S_IFLNK) throw error;
    set(0);
  }
}

export function fchmod(fd: number, mode: number): void {
  const c = descriptorsAreReal() ? libc() : undefined;
  if (c) call(c, "fchmod", "fchmod", `<fd ${fd}>`, fd, mode & 0o7777);
  else nodeFs.fchmodSync(fd, mode & 0o7777);
}

/** Access and modification time in nanoseconds, of the path itself. Without FFI microseconds get through. */
export function utimens(path: string, atimeNs: bigint, mtimeNs: bigint, dir?: Directory): void {
  const c = libc();
  if (c) {
    const times = putTimes(c, atimeNs, mtimeNs);
    call(c, "utimensat", "utimensat", full(path, dir), at(dir), c.path(path), times, AT_SYMLINK_NOFOLLOW);
  } else nodeFs.lutimesSync(plain(path, dir), seconds(atimeNs), seconds(mtimeNs));
}

export function futimens(fd: number, atimeNs: bigint, mtimeNs: bigint): void {
  const c = libc();
  if (c && descriptorsAreReal()) {
    const times = putTimes(c, atimeNs, mtimeNs);
    // glibc's utimensat refuses a null path; on 32-bit machines it is the bare system call, and futimens is not 64-bit.
    const result = is32bit ? c.get("utimensat")(fd, 0, times, 0) : c.get("futimens")(fd, times);
    if (result !== 0) throw systemError("futimens", c.ffi.errno(), `<fd ${fd}>`);
  } else nodeFs.futimesSync(fd, seconds(atimeNs), seconds(mtimeNs));
}

/** What node:fs takes; a double holds today's seconds to a quarter of a microsecond. */
function seconds(ns: bigint): number {
  return Number(ns / 1000n) / 1e6;
}

/** Two struct timespec with 64-bit fields, which is also what utimensat_time64 takes on 32-bit machines. */
function putTimes(c: Libc, atimeNs: bigint, mtimeNs: bigint): number {
  const view = new DataView(c.memory.buffer);
  let offset = VALUE;
  for (const ns of [atimeNs, mtimeNs]) {
    const [sec, nsec] = splitNs(ns);
    view.setBigInt64(offset, BigInt(sec), true);
    view.setBigInt64(offset + 8, BigInt(nsec), true);
    offset += 16;
  }
  return c.address + VALUE;
}

/** For opening something only to look at it. */
export const NONBLOCK_NOFOLLOW = O_NONBLOCK | O_NOFOLLOW | O_NOCTTY | O_CLOEXEC;

/** The path as bytes, for those who measure or hash it. */
export const pathBytes = fsEncode;

export { Directory, O_RDONLY, O_TRUNC, O_WRONLY, openDirectory, openDirectoryBeneath, openTarget };
