// What is known of one file: the fields of struct statx (Linux, all architectures alike), or those of node:fs
// where statx cannot be called. Plain numbers, so that one object can be filled again and again in a loop.
import type { BigIntStats } from "node:fs";

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
export const isSocket = (mode: number): boolean => (mode & S_IFMT) === S_IFSOCK;
export const isBlockDevice = (mode: number): boolean => (mode & S_IFMT) === S_IFBLK;
export const isCharDevice = (mode: number): boolean => (mode & S_IFMT) === S_IFCHR;

/** Bits of `Stat.attributes` (linux/stat.h). They count only where `attributesMask` has them too. */
export const STATX_ATTR_COMPRESSED = 0x4;
export const STATX_ATTR_IMMUTABLE = 0x10;
export const STATX_ATTR_APPEND = 0x20;
export const STATX_ATTR_NODUMP = 0x40;

export const STATX_SIZE = 256;
const BASIC_AND_BIRTH = 0xfff;
const HAS_BIRTH = 0x800;
export const STATX_WANTED = BASIC_AND_BIRTH;

/** Places of a stat's numbers. An inode number beyond 53 bits is in two halves; else the upper one is negative. */
export const STAT = {
  mode: 0,
  uid: 1,
  gid: 2,
  nlink: 3,
  size: 4,
  ino: 5,
  inoHigh: 6,
  dev: 7,
  rdev: 8,
  blocks: 9,
  blksize: 10,
  mtimeSec: 11,
  mtimeNsec: 12,
  atimeSec: 13,
  atimeNsec: 14,
  ctimeSec: 15,
  ctimeNsec: 16,
  hasBirthtime: 17,
  birthtimeSec: 18,
  birthtimeNsec: 19,
  attributes: 20,
  attributesMask: 21,
} as const;
export const STAT_NUMBERS = 22;

export class Stat {
  /** Type and permissions, as st_mode. */
  mode = 0;
  uid = 0;
  gid = 0;
  nlink = 0;
  /** Bytes. */
  size = 0;
  /** A bigint above 2^53 only. */
  ino: number | bigint = 0;
  /** Device numbers in glibc's encoding, as Python's st_dev and st_rdev. */
  dev = 0;
  rdev = 0;
  /** Units of 512 bytes. */
  blocks = 0;
  blksize = 0;
  mtimeSec = 0;
  mtimeNsec = 0;
  atimeSec = 0;
  atimeNsec = 0;
  ctimeSec = 0;
  ctimeNsec = 0;
  /** Time of creation, where the file system knows it. */
  hasBirthtime = false;
  birthtimeSec = 0;
  birthtimeNsec = 0;
  /** STATX_ATTR_* bits, and which of them the file system answers for. */
  attributes = 0;
  attributesMask = 0;

  /** Fills this object from the words of a struct statx that begins at index `at` (little endian). */
  fromStatx(u32: Uint32Array, i32: Int32Array, u16: Uint16Array, at: number): this {
    numbersOfStatx(u32, i32, u16, at, scratch, 0);
    return this.fromNumbers(scratch, 0);
  }

  /** Fills this object from numbers by STAT that begin at index `at`. */
  fromNumbers(from: Float64Array, at: number): this {
    readStamp(from, at, this);
    this.mode = from[at + STAT.mode]!;
    this.uid = from[at + STAT.uid]!;
    this.gid = from[at + STAT.gid]!;
    this.nlink = from[at + STAT.nlink]!;
    this.dev = from[at + STAT.dev]!;
    this.rdev = from[at + STAT.rdev]!;
    this.blocks = from[at + STAT.blocks]!;
    this.blksize = from[at + STAT.blksize]!;
    this.atimeSec = from[at + STAT.atimeSec]!;
    this.atimeNsec = from[at + STAT.atimeNsec]!;
    this.hasBirthtime = from[at + STAT.hasBirthtime]! !== 0;
    this.birthtimeSec = from[at + STAT.birthtimeSec]!;
    this.birthtimeNsec = from[at + STAT.birthtimeNsec]!;
    this.attributes = from[at + STAT.attributes]!;
    this.attributesMask = from[at + STAT.attributesMask]!;
    return this;
  }

  /** Writes the numbers by STAT, from index `at` on. */
  toNumbers(out: Float64Array, at: number): void {
    out[at + STAT.mode] = this.mode;
    out[at + STAT.uid] = this.uid;
    out[at + STAT.gid] = this.gid;
    out[at + STAT.nlink] = this.nlink;
    out[at + STAT.size] = this.size;
    const big = typeof this.ino === "bigint" ? this.ino : undefined;
    out[at + STAT.ino] = big === undefined ? (this.ino as number) : Number(big & 0xffff_ffffn);
    out[at + STAT.inoHigh] = big === undefined ? -1 : Number(big >> 32n);
    out[at + STAT.dev] = this.dev;
    out[at + STAT.rdev] = this.rdev;
    out[at + STAT.blocks] = this.blocks;
    out[at + STAT.blksize] = this.blksize;
    out[at + STAT.mtimeSec] = this.mtimeSec;
    out[at + STAT.mtimeNsec] = this.mtimeNsec;
    out[at + STAT.atimeSec] = this.atimeSec;
    out[at + STAT.atimeNsec] = this.atimeNsec;
    out[at + STAT.ctimeSec] = this.ctimeSec;
    out[at + STAT.ctimeNsec] = this.ctimeNsec;
    out[at + STAT.hasBirthtime] = this.hasBirthtime ? 1 : 0;
    out[at + STAT.birthtimeSec] = this.birthtimeSec;
    out[at + STAT.birthtimeNsec] = this.birthtimeNsec;
    out[at + STAT.attributes] = this.attributes;
    out[at + STAT.attributesMask] = this.attributesMask;
  }

  fromNode(s: BigIntStats): this {
    this.mode = Number(s.mode);
    this.uid = Number(s.uid);
    this.gid = Number(s.gid);
    this.nlink = Number(s.nlink);
    this.size = Number(s.size);
    const ino = BigInt.asUintN(64, s.ino);
    this.ino = ino > 9007199254740992n ? ino : Number(ino);
    this.dev = Number(s.dev);
    this.rdev = Number(s.rdev);
    this.blocks = Number(s.blocks);
    this.blksize = Number(s.blksize);
    [this.mtimeSec, this.mtimeNsec] = splitNs(s.mtimeNs);
    [this.atimeSec, this.atimeNsec] = splitNs(s.atimeNs);
    [this.ctimeSec, this.ctimeNsec] = splitNs(s.ctimeNs);
    [this.birthtimeSec, this.birthtimeNsec] = splitNs(s.birthtimeNs);
    this.hasBirthtime = s.birthtimeNs !== 0n;
    this.attributes = 0;
    this.attributesMask = 0;
    return this;
  }

  /** Nanoseconds since the epoch. */
  get mtimeNs(): bigint {
    return joinNs(this.mtimeSec, this.mtimeNsec);
  }
  get atimeNs(): bigint {
    return joinNs(this.atimeSec, this.atimeNsec);
  }
  get ctimeNs(): bigint {
    return joinNs(this.ctimeSec, this.ctimeNsec);
  }
  get birthtimeNs(): bigint | undefined {
    return this.hasBirthtime ? joinNs(this.birthtimeSec, this.birthtimeNsec) : undefined;
  }

  copy(): Stat {
    return Object.assign(new Stat(), this);
  }
}

const scratch = new Float64Array(STAT_NUMBERS);

/** The words of a struct statx that begins at index `at` (little endian) as numbers by STAT, from index `to` on. */
export function numbersOfStatx(
  u32: Uint32Array,
  i32: Int32Array,
  u16: Uint16Array,
  at: number,
  out: Float64Array,
  to: number,
): void {
  out[to + STAT.blksize] = u32[at + 1]!;
  out[to + STAT.attributes] = u32[at + 2]!;
  out[to + STAT.nlink] = u32[at + 4]!;
  out[to + STAT.uid] = u32[at + 5]!;
  out[to + STAT.gid] = u32[at + 6]!;
  out[to + STAT.mode] = u16[(at + 7) * 2]!;
  const high = u32[at + 9]!;
  out[to + STAT.ino] = high < 0x200000 ? u32[at + 8]! + high * 4294967296 : u32[at + 8]!;
  out[to + STAT.inoHigh] = high < 0x200000 ? -1 : high;
  out[to + STAT.size] = u32[at + 10]! + u32[at + 11]! * 4294967296;
  out[to + STAT.blocks] = u32[at + 12]! + u32[at + 13]! * 4294967296;
  out[to + STAT.attributesMask] = u32[at + 14]!;
  out[to + STAT.atimeSec] = u32[at + 16]! + i32[at + 17]! * 4294967296;
  out[to + STAT.atimeNsec] = u32[at + 18]!;
  out[to + STAT.hasBirthtime] = (u32[at]! & HAS_BIRTH) !== 0 ? 1 : 0;
  out[to + STAT.birthtimeSec] = u32[at + 20]! + i32[at + 21]! * 4294967296;
  out[to + STAT.birthtimeNsec] = u32[at + 22]!;
  out[to + STAT.ctimeSec] = u32[at + 24]! + i32[at + 25]! * 4294967296;
  out[to + STAT.ctimeNsec] = u32[at + 26]!;
  out[to + STAT.mtimeSec] = u32[at + 28]! + i32[at + 29]! * 4294967296;
  out[to + STAT.mtimeNsec] = u32[at + 30]!;
  out[to + STAT.rdev] = makedev(u32[at + 32]!, u32[at + 33]!);
  out[to + STAT.dev] = makedev(u32[at + 34]!, u32[at + 35]!);
}

/** What of numbers by STAT tells whether a file is as it was. @param at where they begin */
export function readStamp(
  from: Float64Array,
  at: number,
  into: Pick<Stat, "size" | "ino" | "mtimeSec" | "mtimeNsec" | "ctimeSec" | "ctimeNsec">,
): void {
  const high = from[at + STAT.inoHigh]!;
  const low = from[at + STAT.ino]!;
  into.size = from[at + STAT.size]!;
  into.ino = high < 0 ? low : (BigInt(high) << 32n) | BigInt(low);
  into.mtimeSec = from[at + STAT.mtimeSec]!;
  into.mtimeNsec = from[at + STAT.mtimeNsec]!;
  into.ctimeSec = from[at + STAT.ctimeSec]!;
  into.ctimeNsec = from[at + STAT.ctimeNsec]!;
}

export function joinNs(sec: number, nsec: number): bigint {
  return BigInt(sec) * 1000000000n + BigInt(nsec);
}

/** Whole seconds (rounded down) and the nanoseconds on top of them. */
export function splitNs(ns: bigint): [sec: number, nsec: number] {
  let nsec = ns % 1000000000n;
  if (nsec < 0n) nsec += 1000000000n;
  return [Number((ns - nsec) / 1000000000n), Number(nsec)];
}

/** glibc's makedev: 12 bits of major above 8 bits of minor, the rest further up. Linux's own numbers fit 44 bits. */
export function makedev(major: number, minor: number): number {
  return (
    (minor & 0xff) + (major & 0xfff) * 0x100 + (minor >>> 8) * 0x100000 + (major >>> 12) * 0x100000000000
  );
}

export function devMajor(dev: number | bigint): number {
  const d = BigInt(dev);
  return Number(((d >> 8n) & 0xfffn) | ((d >> 32n) & 0xfffff000n));
}

export function devMinor(dev: number | bigint): number {
  const d = BigInt(dev);
  return Number((d & 0xffn) | ((d >> 12n) & 0xffffff00n));
}
