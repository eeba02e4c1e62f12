// From the fields of an item to a file's attributes, in Borg's order (archive.py, restore_attrs): owner, mode, ACLs,
// extended attributes (a change of owner drops capabilities), times, and flags last, as immutable forbids the rest.
import { closeSync } from "node:fs";
import process from "node:process";
import { FS_APPEND_FL, FS_IMMUTABLE_FL, FS_NODUMP_FL, O_RDONLY } from "../runtime/constants.ts";
import { isSystemError, type SystemError } from "../runtime/errno.ts";
import * as fs from "../runtime/fs.ts";
import { libc } from "../runtime/libc.ts";
import { isLinux } from "../runtime/platform.ts";
import type { Directory } from "../runtime/scanner.ts";
import { isDirectory, isRegular, isSymlink, S_IFMT } from "../runtime/stat.ts";
import { makeNode, metadataLimits, ToolWriter } from "../runtime/tools.ts";
import { groupId, userId } from "../runtime/users.ts";
import { getInodeFlags, setInodeFlags, setXattr, type Target } from "../runtime/xattr.ts";
import { ACL_ACCESS_XATTR, ACL_DEFAULT_XATTR, aclFromText, formatAclXattr } from "./acl.ts";
import type { Item } from "./item.ts";
import { UF_APPEND, UF_IMMUTABLE, UF_NODUMP } from "./metadata-flags.ts";

/** One attribute that could not be set. */
export interface RestoreProblem {
  path: string;
  /** "owner", "mode", "ACL", "extended attribute NAME", "times", "flags". */
  what: string;
  error: Error;
  /** Borg says nothing of this one (an owner that only root may set, say): worth no exit code, but a note. */
  quiet: boolean;
}

export interface RestoreOptions {
  /** Use stored ids, not names (--numeric-ids). */
  numericIds?: boolean;
  /** Default on: not with --noflags, --noxattrs, --noacls. */
  flags?: boolean;
  xattrs?: boolean;
  acls?: boolean;
  onProblem?: (problem: RestoreProblem) => void;
  /** Called at most once: what this machine cannot restore at all. */
  onLimits?: (sentence: string) => void;
}

/** The file to work on. */
export interface RestoreTarget {
  /** Path, for messages and for everything that has no better way. */
  path: string;
  /** Open descriptor, where there is one. */
  fd?: number;
  /** The open parent directory and the name in it: nothing can be redirected by a symlink in the path then. */
  dir?: Directory;
  name?: string;
}

/** Owner for an item: the local id of its name, else the stored one; negative ids count as 0, as in Borg. */
export function itemOwner(item: Item, numericIds = false): { uid: number; gid: number } {
  const uid = (numericIds || !item.user ? null : userId(item.user)) ?? item.uid ?? 0;
  const gid = (numericIds || !item.group ? null : groupId(item.group)) ?? item.gid ?? 0;
  return { uid: Math.max(uid, 0), gid: Math.max(gid, 0) };
}

const BATCH = 400;
const SECOND = 1000000000n;

/** What a user may not do or a file system does not have. Anything else (EIO, EMFILE, EROFS) is a fault and is told. */
const FORBIDDEN = [
  "EPERM",
  "EACCES",
  "ENOTSUP",
  "EOPNOTSUPP",
  "ENOTTY",
  "EINVAL",
  "ENOSYS",
  "EOVERFLOW",
  "ERANGE",
];

export class MetadataRestorer {
  private readonly options: RestoreOptions;
  private readonly writer: ToolWriter | undefined;

  constructor(options: RestoreOptions = {}) {
    this.options = options;
    if (isLinux && !libc()) this.writer = new ToolWriter();
    const limits = metadataLimits("restore", options);
    if (limits !== undefined) options.onLimits?.(limits);
  }

  /** Sets everything the item has. Never throws for an attribute: each failure goes to `onProblem`. */
  restoreAttrs(target: RestoreTarget, item: Item): void {
    const { options } = this;
    const { path, fd, dir } = target;
    const name = dir ? target.name! : path;
    const link = isSymlink(item.mode);
    // A directory may lose its x bit now: what waits for the tools below it has to be done before.
    if (this.writer && (isDirectory(item.mode) || this.writer.size >= BATCH)) this.flush();

    const { uid, gid } = itemOwner(item, options.numericIds);
    this.attempt(path, "owner", true, () => {
      if (fd !== undefined) fs.fchown(fd, uid, gid);
      else fs.lchown(name, uid, gid, dir);
    });
    if (!link) {
      this.attempt(path, "mode", false, () => {
        if (fd !== undefined) fs.fchmod(fd, item.mode);
        else fs.chmod(name, item.mode, dir);
      });
    }
    const place = attributePlace(target);
    // Elsewhere there is no way to them: the sentence about the limits says so, once.
    if (options.acls !== false && !link && isLinux) this.acls(place, path, item);
    if (options.xattrs !== false && isLinux) {
      for (const [key, value] of item.xattrs ?? []) {
        this.setXattr(place, path, key, value ?? new Uint8Array(0), `extended attribute ${key}`, () => false);
      }
    }
    this.times(target, item);
    if (options.flags !== false && item.bsdflags !== undefined) this.flags(target, item);
  }

  /** Without FFI attributes are set in batches: call this when all files are done, before the directories' times. */
  flush(): void {
    for (const complaint of this.writer?.flush() ?? []) {
      this.problem("", "attributes", new Error(complaint), false);
    }
  }

  private acls(place: Target, path: string, item: Item): void {
    for (const [text, name] of [
      [item.acl_access, ACL_ACCESS_XATTR],
      [item.acl_default, ACL_DEFAULT_XATTR],
    ] as const) {
      if (!text || text.length === 0) continue;
      let value: Uint8Array;
      try {
        value = formatAclXattr(aclFromText(text, this.options.numericIds === true));
      } catch (error) {
        if (!(error instanceof RangeError)) throw error;
        this.problem(path, "ACL", error, false);
        continue;
      }
      // Borg gives up without a word where the file system has no ACLs.
      this.setXattr(place, path, name, value, "ACL", (error) =>
        isSystemError(error, "ENOTSUP", "EOPNOTSUPP"),
      );
    }
    for (const key of ["acl_extended", "acl_nfs4"] as const) {
      if (item[key]) this.problem(path, "ACL", new Error(`${key} is of another operating system`), true);
    }
  }

  private setXattr(
    place: Target,
    path: string,
    name: string,
    value: Uint8Array,
    what: string,
    quiet: (error: Error) => boolean,
  ): void {
    if (this.writer) {
      this.writer.xattr(path, name, value);
      return;
    }
    try {
      setXattr(place, name, value);
    } catch (error) {
      if (!isSystemError(error)) throw error;
      if (error.code === "E2BIG" || error.code === "ENOSPC") {
        error.message += ` (${value.length} bytes: the file system is full, or takes no attributes of this size)`;
      }
      this.problem(path, what, error, quiet(error));
    }
  }

  private times({ path, fd, dir, name }: RestoreTarget, item: Item): void {
    if (item.mtime === undefined) return;
    const { mtime } = item;
    const atime = item.atime ?? mtime;
    const set = (modified: bigint) => {
      if (fd !== undefined && fs.descriptorsAreReal()) fs.futimens(fd, atime, modified);
      else fs.utimens(dir ? name! : path, atime, modified, dir);
    };
    const { birthtime } = item;
    // On the BSDs and macOS an mtime before the birthtime moves the latter.
    if (birthtime !== undefined && !isLinux) this.attempt(path, "times", true, () => set(birthtime));
    this.attempt(path, "times", true, () => set(mtime));
    // A double has whole seconds exactly, and of microseconds the nearest nanosecond or the next.
    if (this.writer && (atime % SECOND !== 0n || mtime % SECOND !== 0n))
      this.writer.times(path, atime, mtime);
  }

  private flags({ path, fd, dir, name }: RestoreTarget, item: Item): void {
    const { mode, bsdflags = 0 } = item;
    if (!isLinux || !(isRegular(mode) || isDirectory(mode))) return;
    const wanted =
      (bsdflags & UF_NODUMP ? FS_NODUMP_FL : 0) |
      (bsdflags & UF_IMMUTABLE ? FS_IMMUTABLE_FL : 0) |
      (bsdflags & UF_APPEND ? FS_APPEND_FL : 0);
    if (this.writer) {
      this.writer.flags(path, wanted);
      return;
    }
    this.attempt(path, "flags", true, () => {
      const usable = fd !== undefined && fs.descriptorsAreReal();
      // noatime off: opening must not be refused to somebody who may read.
      const own = usable ? fd : fs.openFd(dir ? name! : path, O_RDONLY | fs.NONBLOCK_NOFOLLOW, 0, dir);
      try {
        let current: number;
        try {
          current = getInodeFlags(own);
        } catch (error) {
          if (wanted === 0 && isSystemError(error, "ENOTTY", "ENOTSUP", "EOPNOTSUPP")) return;
          throw error;
        }
        // Only these three may be changed; others are the file system's own business (extents, encryption, …).
        const mask = FS_NODUMP_FL | FS_IMMUTABLE_FL | FS_APPEND_FL;
        const next = (current & ~mask) | wanted;
        if (next !== current) setInodeFlags(own, next);
      } finally {
        if (!usable) closeSync(own);
      }
    });
  }

  private attempt(path: string, what: string, quiet: boolean, action: () => void): void {
    try {
      action();
    } catch (error) {
      if (!isSystemError(error)) throw error;
      this.problem(path, what, error, quiet && isSystemError(error, ...FORBIDDEN));
    }
  }

  private problem(path: string, what: string, error: Error | SystemError, quiet: boolean): void {
    this.options.onProblem?.({ path, what, error, quiet });
  }
}

/** Attribute calls know no directory descriptors; /proc leads to the very directory that is open. */
function attributePlace({ path, fd, dir, name }: RestoreTarget): Target {
  if (fd !== undefined && fs.descriptorsAreReal()) return fd;
  return dir && dir.fd >= 0 ? `/proc/self/fd/${dir.fd}/${name}` : path;
}

/** Makes a fifo or device as the item says, readable by its owner only; restoreAttrs does the rest. */
export function createNode(path: string, item: Item, dir?: Directory): void {
  const mode = (item.mode & S_IFMT) | 0o600;
  if (libc()) fs.mknod(path, mode, item.rdev ?? 0, dir);
  else makeNode(dir ? toolPath(dir, path) : path, mode, item.rdev ?? 0);
}

/** A name in an open directory for another program, which finds this one's descriptors by its number. */
function toolPath(dir: Directory, name: string): string {
  return dir.fd >= 0 ? `/proc/${process.pid}/fd/${dir.fd}/${name}` : `${dir.path}/${name}`;
}
