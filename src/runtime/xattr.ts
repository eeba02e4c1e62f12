// Extended attributes and inode flags of one path (never following a symlink) or one open file, through libc.
// Without FFI these functions give undefined or throw ENOSYS; src/runtime/tools.ts has the slow way.
import { FS_IOC_GETFLAGS, FS_IOC_SETFLAGS } from "./constants.ts";
import { systemError } from "./errno.ts";
import {
  type Libc,
  libc,
  listAttributes,
  NAME,
  PATH_A,
  SMALL,
  splitNames,
  VALUE,
  VALUE_SIZE,
} from "./libc.ts";
import { fsEncode } from "./pathbytes.ts";

/** A path, or a file descriptor. */
export type Target = string | number;

const ENODATA = 61;
const NAME_ROOM = 1023;

export function where(target: Target): string {
  return typeof target === "string" ? target : `<fd ${target}>`;
}

function need(syscall: string, target: Target): Libc {
  const c = libc();
  if (!c) throw systemError(syscall, 38 /* ENOSYS */, where(target));
  return c;
}

/** All names that the kernel lists, POSIX ACLs (`system.posix_acl_*`) among them. @throws system errors */
export function listXattrs(target: Target): string[] {
  const c = need("listxattr", target);
  const length =
    typeof target === "number"
      ? listAttributes(c, "flistxattr", target)
      : listAttributes(c, "llistxattr", c.path(target));
  if (length < 0) throw systemError("listxattr", c.ffi.errno(), where(target));
  return length === 0 ? [] : splitNames(c, length);
}

/** A value (copied); undefined if there is no such attribute. @throws other system errors */
export function getXattr(target: Target, name: string): Uint8Array | undefined {
  const c = need("getxattr", target);
  c.bytes(fsEncode(name), NAME, NAME_ROOM, where(target));
  const value = c.address + VALUE;
  const length =
    typeof target === "number"
      ? c.get("fgetxattr")(target, c.address + NAME, value, VALUE_SIZE)
      : c.get("lgetxattr")(c.path(target), c.address + NAME, value, VALUE_SIZE);
  if (length < 0) {
    const errno = c.ffi.errno();
    if (errno === ENODATA) return undefined;
    throw systemError("getxattr", errno, where(target));
  }
  return c.memory.slice(VALUE, VALUE + length);
}

export function setXattr(target: Target, name: string, value: Uint8Array): void {
  const c = need("setxattr", target);
  c.bytes(fsEncode(name), NAME, NAME_ROOM, where(target));
  if (value.length > VALUE_SIZE) throw systemError("setxattr", 7 /* E2BIG */, where(target));
  c.memory.set(value, VALUE);
  const result =
    typeof target === "number"
      ? c.get("fsetxattr")(target, c.address + NAME, c.address + VALUE, value.length, 0)
      : c.get("lsetxattr")(c.path(target), c.address + NAME, c.address + VALUE, value.length, 0);
  if (result !== 0) throw systemError("setxattr", c.ffi.errno(), where(target));
}

/** Removes an attribute; that there is none is no error. */
export function removeXattr(target: Target, name: string): void {
  const c = need("removexattr", target);
  c.bytes(fsEncode(name), NAME, NAME_ROOM, where(target));
  const result =
    typeof target === "number"
      ? c.get("fremovexattr")(target, c.address + NAME)
      : c.get("lremovexattr")(c.path(target, PATH_A), c.address + NAME);
  if (result === 0) return;
  const errno = c.ffi.errno();
  if (errno !== ENODATA) throw systemError("removexattr", errno, where(target));
}

/** FS_*_FL flags of an open file. @throws ENOTTY, ENOTSUP where the file system has none */
export function getInodeFlags(fd: number): number {
  const c = need("ioctl", fd);
  c.i32[SMALL >> 2] = 0;
  if (c.get("ioctl")(fd, FS_IOC_GETFLAGS, c.address + SMALL) === -1) {
    throw systemError("ioctl", c.ffi.errno(), where(fd));
  }
  return c.i32[SMALL >> 2]!;
}

export function setInodeFlags(fd: number, flags: number): void {
  const c = need("ioctl", fd);
  c.i32[SMALL >> 2] = flags;
  c.i32[(SMALL >> 2) + 1] = 0;
  if (c.get("ioctl")(fd, FS_IOC_SETFLAGS, c.address + SMALL) === -1) {
    throw systemError("ioctl", c.ffi.errno(), where(fd));
  }
}
