// Encoders and decoders of the FUSE wire structs over one DataView. A request is a 40-byte header and a body whose
// length must be believed only as far as the header's `len` and the bytes really read agree; each body decoder
// checks that length and throws ProtocolError (answered with EINVAL). Node ids and sizes are numbers below 2^53.
import {
  ATTR_OUT,
  DIRENT_HEAD,
  ENTRY_OUT,
  FUSE_MAJOR,
  FUSE_MINOR,
  FUSE_MINOR_LOWEST,
  IN_HEADER,
  initFlag,
  OUT_HEADER,
} from "./constants.ts";

const TWO32 = 2 ** 32;
const MAX_SAFE_HIGH = 2 ** 21;

/** A request that is not what its opcode says. */
export class ProtocolError extends Error {}

/** What stat(2) shows; times in nanoseconds since the epoch as high and low words of a signed 64-bit number. */
export interface Attributes {
  mode: number;
  nlink: number;
  uid: number;
  gid: number;
  rdev: number;
  size: number;
  mtime: bigint;
  atime: bigint;
  ctime: bigint;
}

export interface RequestHeader {
  length: number;
  opcode: number;
  uniqueLow: number;
  uniqueHigh: number;
  /** −1 for a number no inode of ours can have. */
  node: number;
  uid: number;
  gid: number;
  pid: number;
  /** Where the body ends: extensions (7.38) come after it. */
  bodyEnd: number;
}

const readU64 = (view: DataView, at: number): number => {
  const high = view.getUint32(at + 4, true);
  return high >= MAX_SAFE_HIGH ? -1 : high * TWO32 + view.getUint32(at, true);
};
const writeU64 = (view: DataView, at: number, value: number): void => {
  view.setUint32(at, value % TWO32, true);
  view.setUint32(at + 4, Math.floor(value / TWO32), true);
};

/** Header of the request in the first `got` bytes of the view. @throws ProtocolError */
export function readHeader(view: DataView, got: number): RequestHeader {
  if (got < IN_HEADER) throw new ProtocolError(`request of ${got} bytes`);
  const length = view.getUint32(0, true);
  if (length < IN_HEADER || length > got) throw new ProtocolError(`request of ${got} bytes says ${length}`);
  const extensions = view.getUint16(36, true) * 8;
  if (extensions > length - IN_HEADER) throw new ProtocolError("extensions longer than the request");
  return {
    length,
    opcode: view.getUint32(4, true),
    uniqueLow: view.getUint32(8, true),
    uniqueHigh: view.getUint32(12, true),
    node: readU64(view, 16),
    uid: view.getUint32(24, true),
    gid: view.getUint32(28, true),
    pid: view.getUint32(32, true),
    bodyEnd: length - extensions,
  };
}

function need(header: RequestHeader, bytes: number): void {
  if (header.bodyEnd < IN_HEADER + bytes) {
    throw new ProtocolError(`opcode ${header.opcode} with a body of ${header.bodyEnd - IN_HEADER} bytes`);
  }
}

/** The NUL-terminated name at the body's start, or after `skip` bytes of it. A view, valid until the next read. */
export function readName(buffer: Uint8Array, header: RequestHeader, skip = 0): Uint8Array {
  const from = IN_HEADER + skip;
  const end = buffer.indexOf(0, from);
  if (end < from || end >= header.bodyEnd) throw new ProtocolError("a name without its end");
  return buffer.subarray(from, end);
}

export interface InitRequest {
  major: number;
  minor: number;
  maxReadahead: number;
  flags: number;
}

export function readInit(view: DataView, header: RequestHeader): InitRequest {
  need(header, 8);
  const has = header.bodyEnd >= IN_HEADER + 16;
  return {
    major: view.getUint32(40, true),
    minor: view.getUint32(44, true),
    maxReadahead: has ? view.getUint32(48, true) : 0,
    flags: has ? view.getUint32(52, true) : 0,
  };
}

export interface ReadRequest {
  offset: number;
  size: number;
}

/** READ, READDIR and READDIRPLUS share one struct. */
export function readRead(view: DataView, header: RequestHeader): ReadRequest {
  need(header, 24);
  const offset = readU64(view, 48);
  if (offset < 0) throw new ProtocolError("offset above 2^53");
  return { offset, size: view.getUint32(56, true) };
}

/** GETXATTR and LISTXATTR: how many bytes the caller takes; 0 asks for the length. */
export function readXattrSize(view: DataView, header: RequestHeader): number {
  need(header, 8);
  return view.getUint32(40, true);
}

export interface Unique {
  low: number;
  high: number;
}

export function readInterrupt(view: DataView, header: RequestHeader): Unique {
  need(header, 8);
  return { low: view.getUint32(40, true), high: view.getUint32(44, true) };
}

export interface InitOptions {
  maxReadahead: number;
  maxWrite: number;
  /** Pages of one READ; 256 (1 MiB) is what kernels take without a sysctl. */
  maxPages: number;
  wanted: number;
}

export interface Negotiated {
  bytes: number;
  minor: number;
  flags: number;
}

/** Answer to INIT behind the out header: the common minor version, and those flags that both sides know.
 *  A kernel of another major version gets our number only, and asks again if it can. */
export function writeInit(view: DataView, init: InitRequest, options: InitOptions): Negotiated {
  const at = OUT_HEADER;
  for (let i = 0; i < 64; i += 4) view.setUint32(at + i, 0, true);
  view.setUint32(at, FUSE_MAJOR, true);
  view.setUint32(at + 4, FUSE_MINOR, true);
  if (init.major > FUSE_MAJOR) return { bytes: 8, minor: 0, flags: 0 };
  if (init.major < FUSE_MAJOR || init.minor < FUSE_MINOR_LOWEST) {
    throw new ProtocolError(`the kernel speaks FUSE ${init.major}.${init.minor}, which is too old`);
  }
  const flags = options.wanted & init.flags;
  view.setUint32(at + 8, Math.min(init.maxReadahead, options.maxReadahead), true);
  view.setUint32(at + 12, flags, true);
  view.setUint16(at + 16, 64, true); // max_background: asynchronous reads in flight
  view.setUint16(at + 18, 48, true); // congestion threshold
  view.setUint32(at + 20, options.maxWrite, true);
  view.setUint32(at + 24, 1, true); // time granularity: 1 ns
  if (flags & initFlag.MAX_PAGES) view.setUint16(at + 28, options.maxPages, true);
  return { bytes: init.minor < 23 ? 24 : 64, minor: Math.min(init.minor, FUSE_MINOR), flags };
}

export function writeOutHeader(
  view: DataView,
  length: number,
  error: number,
  low: number,
  high: number,
): void {
  view.setUint32(0, length, true);
  view.setInt32(4, -error, true);
  view.setUint32(8, low, true);
  view.setUint32(12, high, true);
}

const NS = 1_000_000_000n;
// Times repeat in blocks: most entries carry the same seconds in mtime, atime and ctime. One division is saved
// for each repetition, and a bigint division costs more than the rest of the struct.
let lastTime = 0n;
let lastSeconds = 0n;
let lastNanos = 0;

function writeTime(view: DataView, time: bigint, secondsAt: number, nanosAt: number): void {
  if (time !== lastTime) {
    let nanos = time % NS;
    if (nanos < 0n) nanos += NS;
    lastTime = time;
    lastSeconds = (time - nanos) / NS;
    lastNanos = Number(nanos);
  }
  view.setBigInt64(secondsAt, lastSeconds, true);
  view.setUint32(nanosAt, lastNanos, true);
}

/** struct fuse_attr at `at`. */
export function writeAttr(view: DataView, at: number, node: number, a: Attributes): void {
  writeU64(view, at, node);
  writeU64(view, at + 8, a.size);
  writeU64(view, at + 16, Math.ceil(a.size / 512));
  writeTime(view, a.atime, at + 24, at + 48);
  writeTime(view, a.mtime, at + 32, at + 52);
  writeTime(view, a.ctime, at + 40, at + 56);
  view.setUint32(at + 60, a.mode, true);
  view.setUint32(at + 64, a.nlink, true);
  view.setUint32(at + 68, a.uid, true);
  view.setUint32(at + 72, a.gid, true);
  view.setUint32(at + 76, a.rdev, true);
  view.setUint32(at + 80, 4096, true);
  view.setUint32(at + 84, 0, true);
}

/** struct fuse_attr_out at `at`; how long the kernel may believe it, in seconds. */
export function writeAttrOut(
  view: DataView,
  at: number,
  node: number,
  a: Attributes,
  validSeconds: number,
): number {
  writeU64(view, at, validSeconds);
  writeU64(view, at + 8, 0);
  writeAttr(view, at + 16, node, a);
  return ATTR_OUT;
}

/** struct fuse_entry_out at `at`. Node 0 says that there is no such name, and may be remembered too. */
export function writeEntryOut(
  view: DataView,
  at: number,
  node: number,
  a: Attributes | undefined,
  validSeconds: number,
): number {
  writeU64(view, at, node);
  writeU64(view, at + 8, 0); // generation
  writeU64(view, at + 16, validSeconds);
  writeU64(view, at + 24, a ? validSeconds : 0);
  writeU64(view, at + 32, 0);
  if (a) writeAttr(view, at + 40, node, a);
  else for (let i = 40; i < ENTRY_OUT; i += 4) view.setUint32(at + i, 0, true);
  return ENTRY_OUT;
}

/** Bytes of a directory entry with a name of that length, with the entry's attributes (plus) or without. */
export function direntSize(nameLength: number, plus: boolean): number {
  return ((plus ? ENTRY_OUT : 0) + DIRENT_HEAD + nameLength + 7) & ~7;
}

/** struct fuse_dirent at `at`; cookie is what the kernel gives back as offset to go on behind this entry. */
export function writeDirent(
  buffer: Uint8Array,
  view: DataView,
  at: number,
  node: number,
  cookie: number,
  type: number,
  name: Uint8Array,
): void {
  writeU64(view, at, node);
  writeU64(view, at + 8, cookie);
  view.setUint32(at + 16, name.length, true);
  view.setUint32(at + 20, type, true);
  buffer.set(name, at + DIRENT_HEAD);
  buffer.fill(0, at + DIRENT_HEAD + name.length, at + direntSize(name.length, false));
}

/** struct fuse_kstatfs behind the out header: a full file system of unknown size, as Borg reports it. */
export function writeStatfs(view: DataView, files: number): number {
  const at = OUT_HEADER;
  for (let i = 0; i < 80; i += 4) view.setUint32(at + i, 0, true);
  writeU64(view, at + 24, files);
  view.setUint32(at + 40, 512, true);
  view.setUint32(at + 44, 255, true);
  view.setUint32(at + 48, 512, true);
  return 80;
}

/** Device number as the kernel's new_encode_dev packs it, from the userspace makedev(3) form that archives hold. */
export function encodeDevice(rdev: number | bigint): number {
  const d = BigInt(rdev);
  const major = ((d >> 8n) & 0xfffn) | ((d >> 32n) & 0xfffff000n);
  const minor = (d & 0xffn) | ((d >> 12n) & 0xffffff00n);
  return Number(BigInt.asUintN(32, (minor & 0xffn) | (major << 8n) | ((minor & ~0xffn) << 12n)));
}
