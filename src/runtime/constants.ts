// Numbers of the Linux system call interface that differ between architectures or that node:fs does not name.
import { constants } from "node:fs";
import { is32bit, isLinux, runtime } from "./platform.ts";

const armLike = runtime.arch === "arm" || runtime.arch === "arm64";

export const AT_FDCWD = -100;
export const AT_SYMLINK_NOFOLLOW = 0x100;
export const AT_REMOVEDIR = 0x200;
export const AT_EMPTY_PATH = 0x1000;

export const O_RDONLY = constants.O_RDONLY;
export const O_WRONLY = constants.O_WRONLY;
export const O_RDWR = constants.O_RDWR;
export const O_CREAT = constants.O_CREAT;
export const O_EXCL = constants.O_EXCL;
export const O_TRUNC = constants.O_TRUNC;
export const O_APPEND = constants.O_APPEND;
export const O_NONBLOCK = constants.O_NONBLOCK ?? 0;
export const O_NOCTTY = constants.O_NOCTTY ?? 0;
export const O_DIRECTORY = isLinux ? (armLike ? 0o40000 : 0o200000) : (constants.O_DIRECTORY ?? 0);
export const O_NOFOLLOW = isLinux ? (armLike ? 0o100000 : 0o400000) : (constants.O_NOFOLLOW ?? 0);
export const O_NOATIME = isLinux ? 0o1000000 : 0;
export const O_CLOEXEC = isLinux ? 0o2000000 : 0;
export const O_PATH = isLinux ? 0o10000000 : 0;
/** Only 32-bit C libraries need it asked for. */
export const O_LARGEFILE = isLinux && is32bit ? (armLike ? 0o400000 : 0o100000) : 0;

/** d_type of a directory entry. */
export const DT_UNKNOWN = 0;
export const DT_FIFO = 1;
export const DT_CHR = 2;
export const DT_DIR = 4;
export const DT_BLK = 6;
export const DT_REG = 8;
export const DT_LNK = 10;
export const DT_SOCK = 12;

/** ioctl numbers are made from the size of a long, although the kernel moves an int. */
export const FS_IOC_GETFLAGS = is32bit ? 0x80046601 : 0x80086601;
export const FS_IOC_SETFLAGS = is32bit ? 0x40046602 : 0x40086602;
export const FS_COMPR_FL = 0x4;
export const FS_IMMUTABLE_FL = 0x10;
export const FS_APPEND_FL = 0x20;
export const FS_NODUMP_FL = 0x40;

export const SEEK_SET = 0;
export const SEEK_CUR = 1;
export const SEEK_END = 2;
export const SEEK_DATA = 3;
export const SEEK_HOLE = 4;

export const POSIX_FADV_SEQUENTIAL = 2;
export const POSIX_FADV_WILLNEED = 3;
export const POSIX_FADV_DONTNEED = 4;

export const SYNC_FILE_RANGE_WAIT_BEFORE = 1;
export const SYNC_FILE_RANGE_WRITE = 2;
export const SYNC_FILE_RANGE_WAIT_AFTER = 4;
