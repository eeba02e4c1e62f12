// From a file's status to the fields of its item, as Borg's MetadataCollector does it (archive.py,
// platform/linux.pyx): mode, ids and names, times, flags, extended attributes, POSIX ACLs.
import { closeSync } from "node:fs";
import { isSystemError } from "../runtime/errno.ts";
import { descriptorsAreReal, openRead } from "../runtime/fs.ts";
import { libc } from "../runtime/libc.ts";
import { fsEncode } from "../runtime/pathbytes.ts";
import { isLinux } from "../runtime/platform.ts";
import {
  isDirectory,
  isRegular,
  isSymlink,
  STATX_ATTR_APPEND,
  STATX_ATTR_IMMUTABLE,
  STATX_ATTR_NODUMP,
  type Stat,
} from "../runtime/stat.ts";
import { metadataLimits, ToolReader } from "../runtime/tools.ts";
import { groupName, userName } from "../runtime/users.ts";
import { getInodeFlags, getXattr, listXattrs, type Target } from "../runtime/xattr.ts";
import { ACL_ACCESS_XATTR, ACL_DEFAULT_XATTR, aclFromMode, aclToText, parseAclXattr } from "./acl.ts";
import type { Item } from "./item.ts";
import {
  aclNamesAreListed,
  changeTimeTellsOfAttributes,
  UF_APPEND,
  UF_IMMUTABLE,
  UF_NODUMP,
} from "./metadata-flags.ts";

export interface CaptureOptions {
  /** Save the access time (--atime). Default off. */
  atime?: boolean;
  /** Save the inode change time (not with --noctime). Default on. */
  ctime?: boolean;
  /** Save the time of creation where Borg knows it (not with --nobirthtime). Default on. */
  birthtime?: boolean;
  /** Leave names out (--numeric-ids). */
  numericIds?: boolean;
  /** Default on: not with --noflags, --noxattrs, --noacls. */
  flags?: boolean;
  xattrs?: boolean;
  acls?: boolean;
  /** One attribute of one file could not be read; the rest of the file goes on. */
  onProblem?: (path: string, what: string, error: Error) => void;
  /** Called at most once: what this machine cannot save at all. */
  onLimits?: (sentence: string) => void;
}

/** What statAttrs finds. */
export type CapturedAttrs = Pick<
  Item,
  "mode" | "uid" | "gid" | "user" | "group" | "mtime" | "atime" | "ctime" | "birthtime"
> &
  ExtendedAttrs;

export type ExtendedAttrs = Pick<Item, "bsdflags" | "xattrs" | "acl_access" | "acl_default">;

const FLAG_BITS = STATX_ATTR_IMMUTABLE | STATX_ATTR_APPEND | STATX_ATTR_NODUMP;
const INT64_MAX = 0x7fffffffffffffffn;

export class MetadataCollector {
  private readonly options: CaptureOptions;
  private readonly tools: ToolReader | undefined;

  constructor(options: CaptureOptions = {}) {
    this.options = options;
    const wanted = options.flags !== false || options.xattrs !== false || options.acls !== false;
    if (isLinux && wanted && !libc()) this.tools = new ToolReader();
    const limits = wanted ? metadataLimits("save", options) : undefined;
    if (limits !== undefined) options.onLimits?.(limits);
  }

  /** Everything. `fd` is an open descriptor of the file, where there is one. @throws system errors, as Borg */
  statAttrs(stat: Stat, path: string, fd?: number): CapturedAttrs {
    return Object.assign(this.statSimpleAttrs(stat), this.statExtAttrs(stat, path, fd));
  }

  get keepsChangeTime(): boolean {
    return this.options.ctime !== false;
  }
  get keepsAccessTime(): boolean {
    return this.options.atime === true;
  }
  user(uid: number): string | null {
    return this.options.numericIds ? null : userName(uid);
  }
  group(gid: number): string | null {
    return this.options.numericIds ? null : groupName(gid);
  }

  /** Whether names of attributes are looked for. */
  get asksForNames(): boolean {
    return this.options.xattrs !== false || this.options.acls !== false;
  }

  /** Bits of `Stat.attributes` that must be known, and not set, for a regular file's item to get nothing but what
   *  statSimpleAttrs gives if it has no extended attributes. */
  get plainFlagBits(): number {
    return this.options.flags === false ? 0 : FLAG_BITS;
  }

  /** Whether that is so for files of a device. @param at its path, for the first file of a device */
  isPlainDevice(dev: number, at: { readonly path: string }): boolean {
    return isLinux && (this.options.acls === false || aclNamesAreListed(dev, at));
  }

  /** Whether it may be kept in the files cache that a file of a device has no attributes, after all kinds were looked for. */
  tellsBareFiles(dev: number, at: { readonly path: string }): boolean {
    return isLinux && this.asksForNames && changeTimeTellsOfAttributes(dev, at);
  }

  /** What the status alone tells. */
  statSimpleAttrs(stat: Stat): CapturedAttrs {
    const { options } = this;
    // Borg bounds times to 1970..2038. It reads and restores any, so they are kept as they are.
    const attrs: CapturedAttrs = {
      mode: stat.mode,
      uid: stat.uid,
      gid: stat.gid,
      mtime: bound(stat.mtimeNs),
    };
    if (options.atime === true) attrs.atime = bound(stat.atimeNs);
    if (options.ctime !== false) attrs.ctime = bound(stat.ctimeNs);
    // On Linux Borg has no birthtime, as Python's stat does not give one.
    if (options.birthtime !== false && !isLinux) {
      const birthtime = stat.birthtimeNs;
      if (birthtime !== undefined) attrs.birthtime = bound(birthtime);
    }
    attrs.user = this.user(stat.uid);
    attrs.group = this.group(stat.gid);
    return attrs;
  }

  /**
   * Flags, extended attributes and ACLs. `names` are the attribute names if a scanner has listed them already
   * (`Directory.xattrNames`); an empty list saves the calls.
   */
  statExtAttrs(stat: Stat, path: string, fd?: number, names?: readonly string[]): ExtendedAttrs {
    const attrs: ExtendedAttrs = {};
    const { options } = this;
    if (options.flags !== false) {
      const flags = this.flags(stat, path, fd);
      if (flags !== 0) attrs.bsdflags = flags;
    }
    if (options.xattrs === false && options.acls === false) return attrs;
    if (this.tools) this.fromTools(attrs, this.tools, stat, path);
    else if (libc()) this.fromLibc(attrs, stat, path, fd, names);
    return attrs;
  }

  /** Borg's flag bits (UF_*) of a file; 0 where there are none or they cannot be read. Also for --exclude-nodump. */
  flags(stat: Stat, path: string, fd?: number): number {
    // Of fifos, sockets and devices Borg cannot read them, and of symlinks there are none.
    if (!isLinux || !(isRegular(stat.mode) || isDirectory(stat.mode))) return 0;
    if ((stat.attributesMask & FLAG_BITS) === FLAG_BITS) {
      const { attributes } = stat;
      return (
        (attributes & STATX_ATTR_NODUMP ? UF_NODUMP : 0) |
        (attributes & STATX_ATTR_IMMUTABLE ? UF_IMMUTABLE : 0) |
        (attributes & STATX_ATTR_APPEND ? UF_APPEND : 0)
      );
    }
    const flags = this.tools ? (this.tools.flagsOf(path) ?? 0) : readFlags(path, fd);
    // FS_*_FL and STATX_ATTR_* have the same values.
    return (
      (flags & STATX_ATTR_NODUMP ? UF_NODUMP : 0) |
      (flags & STATX_ATTR_IMMUTABLE ? UF_IMMUTABLE : 0) |
      (flags & STATX_ATTR_APPEND ? UF_APPEND : 0)
    );
  }

  private fromLibc(
    attrs: ExtendedAttrs,
    stat: Stat,
    path: string,
    fd: number | undefined,
    listed: readonly string[] | undefined,
  ): void {
    const { options } = this;
    const target: Target = fd !== undefined && descriptorsAreReal() ? fd : path;
    const names = listed ?? listOrNothing(target, path);
    if (options.xattrs !== false && names.length > 0) this.xattrs(attrs, names, target, path);
    if (options.acls === false) return;
    if (isSymlink(stat.mode) || (names.length === 0 && aclNamesAreListed(stat.dev, { path }))) return;
    this.acls(attrs, stat, (name) => {
      try {
        return getXattr(target, name);
      } catch (error) {
        if (isSystemError(error, "ENOTSUP", "EOPNOTSUPP")) return undefined;
        throw error;
      }
    });
  }

  private xattrs(attrs: ExtendedAttrs, names: readonly string[], target: Target, path: string): void {
    const values = new Map<string, Uint8Array | null>();
    for (const name of sortNames(names)) {
      if (name.startsWith("system.posix_acl_")) continue;
      try {
        const value = getXattr(target, name);
        if (value !== undefined) values.set(name, value.length === 0 ? null : value);
      } catch (error) {
        if (!isSystemError(error)) throw error;
        this.options.onProblem?.(path, `extended attribute ${name}`, error);
      }
    }
    if (values.size > 0) attrs.xattrs = values;
  }

  /** As libacl's acl_extended_file decides and Borg stores: both texts as soon as one of the ACLs says anything. */
  private acls(attrs: ExtendedAttrs, stat: Stat, read: (name: string) => Uint8Array | undefined): void {
    const BASE = 4 + 3 * 8;
    const access = read(ACL_ACCESS_XATTR);
    const inherited = isDirectory(stat.mode) ? read(ACL_DEFAULT_XATTR) : undefined;
    if ((access?.length ?? 0) <= BASE && (inherited?.length ?? 0) < BASE) return;
    const numeric = this.options.numericIds === true;
    attrs.acl_access = aclToText(access ? parseAclXattr(access) : aclFromMode(stat.mode), numeric);
    if (isDirectory(stat.mode))
      attrs.acl_default = aclToText(inherited ? parseAclXattr(inherited) : [], numeric);
  }

  private fromTools(attrs: ExtendedAttrs, tools: ToolReader, stat: Stat, path: string): void {
    const found = tools.xattrsOf(path);
    if (this.options.xattrs !== false) {
      const values = new Map<string, Uint8Array | null>();
      for (const name of sortNames([...found.keys()])) {
        const value = found.get(name)!;
        if (!name.startsWith("system.posix_acl_")) values.set(name, value.length === 0 ? null : value);
      }
      if (values.size > 0) attrs.xattrs = values;
    }
    if (this.options.acls !== false) this.acls(attrs, stat, (name) => found.get(name));
  }
}

function bound(ns: bigint): bigint {
  return ns > INT64_MAX ? INT64_MAX : ns < -INT64_MAX ? -INT64_MAX : ns;
}

/** Where attributes are not supported or not for us to see, Borg goes on without; other errors are the file's. */
function listOrNothing(target: Target, path: string): string[] {
  try {
    return listXattrs(target);
  } catch (error) {
    if (isSystemError(error, "ENOTSUP", "EOPNOTSUPP", "EPERM")) return [];
    if (isSystemError(error)) error.path = path;
    throw error;
  }
}

/** In the order of their bytes, as Borg's StableDict packs them. */
function sortNames(names: readonly string[]): string[] {
  if (names.length < 2) return [...names];
  return [...names].sort((a, b) => Buffer.compare(fsEncode(a), fsEncode(b)));
}

/** By ioctl, for file systems that do not answer through statx; 0 where that fails, as in Borg. */
function readFlags(path: string, fd: number | undefined): number {
  if (!libc() || !descriptorsAreReal()) return 0;
  let own: number | undefined;
  try {
    own = fd ?? openRead(path);
    return getInodeFlags(own);
  } catch (error) {
    if (isSystemError(error)) return 0;
    throw error;
  } finally {
    if (fd === undefined && own !== undefined) closeSync(own);
  }
}
