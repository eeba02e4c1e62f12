// The 512-byte header of a tar archive (POSIX ustar, GNU and PAX agree on it) and its fields: octal or base-256
// numbers, zero-padded names. Names are bytes, as strings with lone surrogates for what is not UTF-8.
import { IntegrityError } from "../errors.ts";
import { fsDecode, fsEncode } from "./bytes.ts";

export const BLOCK = 512;
/** tar writes in records of 20 blocks; the last one is filled with zeros. */
export const RECORD = 20 * BLOCK;

export type TarType = "file" | "hardlink" | "symlink" | "char" | "block" | "dir" | "fifo" | "other";

const TYPES: Record<string, TarType> = {
  "\0": "file",
  "0": "file",
  "1": "hardlink",
  "2": "symlink",
  "3": "char",
  "4": "block",
  "5": "dir",
  "6": "fifo",
  // A contiguous file, and GNU's sparse file.
  "7": "file",
  S: "file",
};
export const FLAGS: Record<Exclude<TarType, "other">, string> = {
  file: "0",
  hardlink: "1",
  symlink: "2",
  char: "3",
  block: "4",
  dir: "5",
  fifo: "6",
};

export interface TarHeader {
  name: string;
  type: TarType;
  /** Permission bits. */
  mode: number;
  uid: number;
  gid: number;
  uname: string;
  gname: string;
  /** Bytes of content, holes included. */
  size: number;
  /** Nanoseconds since the epoch. */
  mtime: bigint;
  linkname: string;
  devmajor: number;
  devminor: number;
}

/** A header as it stands in its block, before extended headers are applied. */
export interface RawHeader extends TarHeader {
  flag: string;
  block: Uint8Array;
}

/** Sum of the bytes, those of the checksum itself taken as spaces; also as signed bytes, as old programs summed. */
function checksums(block: Uint8Array): [number, number] {
  let unsigned = 8 * 32;
  let signed = 8 * 32;
  for (let i = 0; i < BLOCK; i++) {
    if (i >= 148 && i < 156) continue;
    const b = block[i]!;
    unsigned += b;
    signed += b < 128 ? b : b - 256;
  }
  return [unsigned, signed];
}

export function text(block: Uint8Array, at: number, size: number): string {
  const end = block.subarray(at, at + size).indexOf(0);
  return fsDecode(block.subarray(at, at + (end < 0 ? size : end)));
}

/** A number: octal digits, or base 256 behind a byte 80 (positive) or FF (negative). @throws IntegrityError */
export function number(block: Uint8Array, at: number, size: number): number {
  const first = block[at]!;
  if (first === 0x80 || first === 0xff) {
    let n = first === 0xff ? -1n : 0n;
    for (let i = at + 1; i < at + size; i++) n = n * 256n + BigInt(block[i]!);
    if (n > 0x1fffffffffffffn || n < -0x1fffffffffffffn)
      throw new IntegrityError("tar: a number is out of range");
    return Number(n);
  }
  const digits = text(block, at, size).trim();
  if (!/^[0-7]*$/.test(digits)) throw new IntegrityError("tar: a header's number is not octal");
  return digits === "" ? 0 : Number.parseInt(digits, 8);
}

export const isZero = (block: Uint8Array) => block.every((b) => b === 0);

/** @throws IntegrityError */
export function parseHeader(block: Uint8Array): RawHeader {
  const [unsigned, signed] = checksums(block);
  const sum = number(block, 148, 8);
  if (sum !== unsigned && sum !== signed) throw new IntegrityError("tar: a header's checksum is wrong");
  const flag = String.fromCharCode(block[156]!);
  let name = text(block, 0, 100);
  // Only POSIX has a prefix there; GNU keeps other things in its place.
  const posix = text(block, 257, 6) === "ustar" && block[262] === 0;
  const prefix = posix ? text(block, 345, 155) : "";
  if (prefix) name = `${prefix}/${name}`;
  const size = number(block, 124, 12);
  if (size < 0) throw new IntegrityError("tar: a negative size");
  let type = TYPES[flag] ?? "other";
  // Before POSIX a directory was told by its trailing slash only.
  if (flag === "\0" && name.endsWith("/")) type = "dir";
  return {
    name,
    type,
    mode: number(block, 100, 8) & 0o7777,
    uid: number(block, 108, 8),
    gid: number(block, 116, 8),
    size,
    mtime: BigInt(number(block, 136, 12)) * 1_000_000_000n,
    linkname: text(block, 157, 100),
    uname: text(block, 265, 32),
    gname: text(block, 297, 32),
    devmajor: type === "char" || type === "block" ? number(block, 329, 8) : 0,
    devminor: type === "char" || type === "block" ? number(block, 337, 8) : 0,
    flag,
    block,
  };
}

function putNumber(block: Uint8Array, at: number, size: number, n: number): void {
  if (n >= 0 && n < 8 ** (size - 1)) {
    block.set(fsEncode(n.toString(8).padStart(size - 1, "0")), at);
    return;
  }
  let rest = BigInt(n);
  for (let i = at + size - 1; i > at; i--) {
    block[i] = Number(rest & 255n);
    rest >>= 8n;
  }
  block[at] = n < 0 ? 0xff : 0x80;
}

/** A header block as Python's tarfile writes it: magic "ustar  " (gnu) or "ustar\0" "00" (pax). */
export function formatHeader(
  h: Omit<TarHeader, "type" | "mtime"> & { mtime: number },
  flag: string,
  magic: "gnu" | "pax",
) {
  const block = new Uint8Array(BLOCK);
  block.set(fsEncode(h.name).subarray(0, 100), 0);
  putNumber(block, 100, 8, h.mode & 0o7777);
  putNumber(block, 108, 8, h.uid);
  putNumber(block, 116, 8, h.gid);
  putNumber(block, 124, 12, h.size);
  putNumber(block, 136, 12, h.mtime);
  block[156] = flag.charCodeAt(0);
  block.set(fsEncode(h.linkname).subarray(0, 100), 157);
  block.set(fsEncode(magic === "gnu" ? "ustar  \0" : "ustar\x0000"), 257);
  block.set(fsEncode(h.uname).subarray(0, 32), 265);
  block.set(fsEncode(h.gname).subarray(0, 32), 297);
  if (flag === FLAGS.char || flag === FLAGS.block) {
    putNumber(block, 329, 8, h.devmajor);
    putNumber(block, 337, 8, h.devminor);
  }
  block.set(fsEncode(`${checksums(block)[0].toString(8).padStart(6, "0")}\0 `), 148);
  return block;
}
