// Borg's constants for archives and manifests (constants.py, branch 1.4-maint).

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

export const S_IFMT = 0o170000;
export const S_IFSOCK = 0o140000;
export const S_IFLNK = 0o120000;
export const S_IFREG = 0o100000;
export const S_IFBLK = 0o060000;
export const S_IFDIR = 0o040000;
export const S_IFCHR = 0o020000;
export const S_IFIFO = 0o010000;

export const isRegular = (mode: number): boolean => (mode & S_IFMT) === S_IFREG;
export const isDirectory = (mode: number): boolean => (mode & S_IFMT) === S_IFDIR;
export const isSymlink = (mode: number): boolean => (mode & S_IFMT) === S_IFLNK;
export const isFifo = (mode: number): boolean => (mode & S_IFMT) === S_IFIFO;
export const isDevice = (mode: number): boolean => (mode & S_IFMT) === S_IFBLK || (mode & S_IFMT) === S_IFCHR;
/** FIFOs and devices: read like files with --read-special. */
export const isSpecial = (mode: number): boolean => isFifo(mode) || isDevice(mode);
/** Types whose hard links an archive keeps. */
export const isHardlinkable = (mode: number): boolean => isRegular(mode) || isSpecial(mode);
