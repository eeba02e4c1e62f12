// The entries of a segment file (docs/internals/data-structures.rst, "Segments"): after the magic, each is
// crc32 u32, size u32 (of the whole entry), tag u8, then 32 bytes of id (PUT, DELETE), then the data (PUT).
// All little-endian; the CRC covers everything behind itself. Borg 1.1 to 1.4 write these three tags only.

import { IntegrityError } from "../errors.ts";
import { crc32 } from "../runtime/crc32.ts";
import { MAX_DATA_SIZE } from "./constants.ts";

export const MAGIC = Uint8Array.from("BORG_SEG", (c) => c.charCodeAt(0));
export const ATTIC_MAGIC = Uint8Array.from("ATTICSEG", (c) => c.charCodeAt(0));
export const MAGIC_SIZE = 8;

export const TAG_PUT = 0;
export const TAG_DELETE = 1;
export const TAG_COMMIT = 2;
/** A tag above this is damage, not the future. */
export const MAX_TAG = 15;

/** crc, size and tag. */
export const HEADER_SIZE = 9;
/** crc, size, tag and id. */
export const PUT_HEADER_SIZE = 41;
export const ID_SIZE = 32;

/** Size, tag and CRC of an entry of `size` bytes whose id and data are already in place behind them. */
export function sealEntry(buffer: Uint8Array, at: number, size: number, tag: number): void {
  buffer[at + 4] = size;
  buffer[at + 5] = size >>> 8;
  buffer[at + 6] = size >>> 16;
  buffer[at + 7] = size >>> 24;
  buffer[at + 8] = tag;
  const crc = crc32(buffer.subarray(at + 4, at + size));
  buffer[at] = crc;
  buffer[at + 1] = crc >>> 8;
  buffer[at + 2] = crc >>> 16;
  buffer[at + 3] = crc >>> 24;
}

/** A finished PUT entry. @throws IntegrityError for more data than an object may have */
export function putEntry(id: Uint8Array, data: Uint8Array): Uint8Array {
  checkDataSize(data.length);
  const entry = new Uint8Array(PUT_HEADER_SIZE + data.length);
  entry.set(id, HEADER_SIZE);
  entry.set(data, PUT_HEADER_SIZE);
  sealEntry(entry, 0, entry.length, TAG_PUT);
  return entry;
}

export function deleteEntry(id: Uint8Array): Uint8Array {
  const entry = new Uint8Array(PUT_HEADER_SIZE);
  entry.set(id, HEADER_SIZE);
  sealEntry(entry, 0, PUT_HEADER_SIZE, TAG_DELETE);
  return entry;
}

/** The COMMIT entry: always these 9 bytes, at the end of a committed segment. */
export const COMMIT = (() => {
  const entry = new Uint8Array(HEADER_SIZE);
  sealEntry(entry, 0, HEADER_SIZE, TAG_COMMIT);
  return entry;
})();

export function checkDataSize(size: number): void {
  if (size > MAX_DATA_SIZE)
    throw new IntegrityError(`Object too big: ${size} bytes, at most ${MAX_DATA_SIZE} are possible.`);
}

/** Little-endian u32 at any position. */
export function u32(bytes: Uint8Array, at: number): number {
  return (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)) >>> 0;
}
