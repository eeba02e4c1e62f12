// What goes through a channel: jobs (files to read, as bytes) and records (what became of them). Both are
// written and read in place with a DataView; all numbers are little-endian, all records a multiple of 4 bytes.
import { fsEncode } from "../../format/bytes.ts";

/** What the main thread knows of a file when it hands it over. */
export interface FileRequest {
  path: string;
  /** For --read-special: follow symlinks, expect any type. */
  special: boolean;
  ino: number | bigint;
  mode: number;
  size: number;
  ctimeSec: number;
  ctimeNsec: number;
  /** A piece of a large file, from this offset on; it ends where the worker finds a boundary. */
  from?: number;
}

/** Which time decides whether a file changed while it was read. */
export type FilesChanged = "ctime" | "mtime" | "disabled";

/** Of the length of a piece: what is left of a file below this is not divided. */
export const LAST_PIECE = 1.5;

const TYPE_MASK = 0o170000;
// Bits below those of the file type.
const SPECIAL = 1;
const PIECE = 2;

/** Code of the error of a file that is no longer what the walk saw under its name. */
export const RACE = "RACE";

/** Writes requests into a job slot; `add` says whether it fits. */
export class JobWriter {
  readonly #slot: Uint8Array;
  readonly #view: DataView;
  #pos = 4;
  count = 0;

  constructor(slot: Uint8Array) {
    this.#slot = slot;
    this.#view = new DataView(slot.buffer, slot.byteOffset, slot.byteLength);
  }

  /** Bytes written. */
  get end(): number {
    return this.#pos;
  }

  /** Whether a request with a path of so many bytes fits. */
  hasRoom(path: number): boolean {
    return this.#pos + 52 + path <= this.#slot.length;
  }

  add(request: FileRequest): boolean {
    const { path, special, mode, ino, size, ctimeSec, ctimeNsec, from } = request;
    const bytes = fsEncode(path);
    return this.addBytes(bytes, 0, bytes.length, special, mode, ino, size, ctimeSec, ctimeNsec, from);
  }

  /** The same without an object; the path is [pathAt, pathEnd) of the bytes. */
  addBytes(
    bytes: Uint8Array,
    pathAt: number,
    pathEnd: number,
    special: boolean,
    mode: number,
    ino: number | bigint,
    size: number,
    ctimeSec: number,
    ctimeNsec: number,
    from?: number,
  ): boolean {
    const length = pathEnd - pathAt;
    if (!this.hasRoom(length)) return false;
    const v = this.#view;
    const p = this.#pos;
    const kind = (special ? SPECIAL : 0) | (from === undefined ? 0 : PIECE);
    v.setUint32(p, kind | (mode & TYPE_MASK), true);
    setIno(v, p + 4, ino);
    v.setFloat64(p + 12, size, true);
    v.setFloat64(p + 20, ctimeSec, true);
    v.setUint32(p + 28, ctimeNsec, true);
    v.setUint32(p + 32, length, true);
    for (let i = 0; i < length; i++) this.#slot[p + 36 + i] = bytes[pathAt + i]!;
    this.#pos = align4(p + 36 + length);
    if (from !== undefined) {
      v.setFloat64(this.#pos, from, true);
      this.#pos += 8;
    }
    this.count++;
    v.setUint32(0, this.count, true);
    return true;
  }
}

/** A request as the worker sees it. */
export interface ReadRequest {
  /** Its path is [pathAt, pathEnd) of these. */
  bytes: Uint8Array;
  pathAt: number;
  pathEnd: number;
  special: boolean;
  fileType: number;
  ino: number | bigint;
  size: number;
  ctimeSec: number;
  ctimeNsec: number;
  /** Where the piece begins; undefined for a whole file. */
  from: number | undefined;
}

export function* readJob(slot: Uint8Array): Generator<ReadRequest> {
  const v = new DataView(slot.buffer, slot.byteOffset, slot.byteLength);
  const n = v.getUint32(0, true);
  let p = 4;
  for (let i = 0; i < n; i++) {
    const flags = v.getUint32(p, true);
    const length = v.getUint32(p + 32, true);
    const end = align4(p + 36 + length);
    const isPiece = (flags & PIECE) !== 0;
    yield {
      special: (flags & SPECIAL) !== 0,
      fileType: flags & TYPE_MASK,
      ino: getIno(v, p + 4),
      size: v.getFloat64(p + 12, true),
      ctimeSec: v.getFloat64(p + 20, true),
      ctimeNsec: v.getUint32(p + 28, true),
      bytes: slot,
      pathAt: p + 36,
      pathEnd: p + 36 + length,
      from: isPiece ? v.getFloat64(end, true) : undefined,
    };
    p = isPiece ? end + 8 : end;
  }
}

// Inode numbers are bigints above 2^53 only, as in Stat: one made for each file is garbage for each file.
function setIno(v: DataView, p: number, ino: number | bigint): void {
  if (typeof ino === "bigint" || ino < 0) v.setBigUint64(p, BigInt(ino), true);
  else {
    v.setUint32(p, ino >>> 0, true);
    v.setUint32(p + 4, Math.floor(ino / 2 ** 32), true);
  }
}

function getIno(v: DataView, p: number): number | bigint {
  const high = v.getUint32(p + 4, true);
  return high < 0x200000 ? high * 2 ** 32 + v.getUint32(p, true) : v.getBigUint64(p, true);
}

export const RECORD_NEW = 1;
export const RECORD_KNOWN = 2;
export const RECORD_END = 3;
export const RECORD_ERROR = 4;
/** Where a piece of a large file ends and the next one begins; comes before the piece's end. */
export const RECORD_BOUNDARY = 5;

/** Bytes of a chunk record: kind, size, bytes of the entry (0 for a known chunk), id. */
export const CHUNK_RECORD_BYTES = 12 + 32;
/** Bytes of a boundary record: kind, nothing, offset in the file. */
export const BOUNDARY_RECORD_BYTES = 16;
/** Bytes of an end record: kind, flags, then the file's fresh metadata where FRESH_STAT is set. */
export const END_RECORD_BYTES = 8 + 64;
/** The file changed between stat and open, or while it was read: status C. */
export const CHANGED = 1;
/** The end record carries the metadata found at opening, because it differs from what was requested. */
export const FRESH_STAT = 2;

/** Metadata of a file as found when it was opened. */
export interface FreshStat {
  mode: number;
  uid: number;
  gid: number;
  nlink: number;
  size: number;
  mtimeSec: number;
  mtimeNsec: number;
  ctimeSec: number;
  ctimeNsec: number;
  atimeSec: number;
  atimeNsec: number;
}

export function writeFreshStat(v: DataView, p: number, s: FreshStat): void {
  v.setUint32(p, s.mode, true);
  v.setUint32(p + 4, s.uid, true);
  v.setUint32(p + 8, s.gid, true);
  v.setUint32(p + 12, s.nlink, true);
  v.setFloat64(p + 16, s.size, true);
  v.setBigInt64(p + 24, BigInt(s.mtimeSec) * 1_000_000_000n + BigInt(s.mtimeNsec), true);
  v.setBigInt64(p + 32, BigInt(s.ctimeSec) * 1_000_000_000n + BigInt(s.ctimeNsec), true);
  v.setBigInt64(p + 40, BigInt(s.atimeSec) * 1_000_000_000n + BigInt(s.atimeNsec), true);
}

export function readFreshStat(v: DataView, p: number): FreshStat {
  const time = (at: number): [number, number] => {
    const ns = v.getBigInt64(at, true);
    const nsec = ((ns % 1_000_000_000n) + 1_000_000_000n) % 1_000_000_000n;
    return [Number((ns - nsec) / 1_000_000_000n), Number(nsec)];
  };
  const [mtimeSec, mtimeNsec] = time(p + 24);
  const [ctimeSec, ctimeNsec] = time(p + 32);
  const [atimeSec, atimeNsec] = time(p + 40);
  return {
    mode: v.getUint32(p, true),
    uid: v.getUint32(p + 4, true),
    gid: v.getUint32(p + 8, true),
    nlink: v.getUint32(p + 12, true),
    size: v.getFloat64(p + 16, true),
    mtimeSec,
    mtimeNsec,
    ctimeSec,
    ctimeNsec,
    atimeSec,
    atimeNsec,
  };
}

export function align8(n: number): number {
  return (n + 7) & ~7;
}

export function align4(n: number): number {
  return (n + 3) & ~3;
}
