// Borg's constants for archives and manifests (constants.py, branch 1.4-maint).
import { isFifo, isRegular, S_IFBLK, S_IFCHR, S_IFMT } from "../runtime/stat.ts";

/** Largest object data a repository takes: 20 MiB less a PUT header. */
export const MAX_DATA_SIZE = 20_971_479;
export const MAX_ARCHIVES = 400_000;

/** Keys an item may have; the manifest names them so that older programs know what they may meet. */
export const ITEM_KEYS = [
  "acl_access",
  "acl_default",
  "acl_extended",
  "acl_nfs4",
  "atime",
  "birthtime",
  "bsdflags",
  "chunks",
  "chunks_healthy",
  "ctime",
  "gid",
  "group",
  "hardlink_master",
  "mode",
  "mtime",
  "part",
  "path",
  "rdev",
  "size",
  "source",
  "uid",
  "user",
  "xattrs",
] as const;

export {
  isDirectory,
  isFifo,
  isRegular,
  isSymlink,
  S_IFBLK,
  S_IFCHR,
  S_IFDIR,
  S_IFIFO,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
  S_IFSOCK,
} from "../runtime/stat.ts";

export const isDevice = (mode: number): boolean => (mode & S_IFMT) === S_IFBLK || (mode & S_IFMT) === S_IFCHR;
/** FIFOs and devices: read like files with --read-special. */
export const isSpecial = (mode: number): boolean => isFifo(mode) || isDevice(mode);
/** Types whose hard links an archive keeps. */
export const isHardlinkable = (mode: number): boolean => isRegular(mode) || isSpecial(mode);
