// Reading segments: entry by entry in large reads (check, compact, replay, scan), or one object at a known place.
// Nothing a file says is believed before it fits the file and its limits; the CRC is checked wherever data is used.

import { IntegrityError } from "../errors.ts";
import { crc32 } from "../runtime/crc32.ts";
import { MAX_OBJECT_SIZE } from "./constants.ts";
import {
  HEADER_SIZE,
  ID_SIZE,
  MAGIC,
  MAGIC_SIZE,
  PUT_HEADER_SIZE,
  TAG_COMMIT,
  TAG_DELETE,
  TAG_PUT,
  u32,
} from "./entry.ts";
import type { Segments } from "./segments.ts";

/** One entry. The object and its buffer are reused: they are valid until the iterator goes on. */
export interface SegmentEntry {
  tag: number;
  segment: number;
  /** Where the entry begins in the file. */
  offset: number;
  /** Of the whole entry. */
  size: number;
  /** Holds the entry from `at` on; only its first 41 bytes where the data was not asked for. */
  buffer: Uint8Array;
  at: number;
}

/** The id's place in entry.buffer is at + 9; this is a copy of it. Undefined for COMMIT. */
export function entryId(entry: SegmentEntry): Uint8Array {
  return entry.buffer.slice(entry.at + HEADER_SIZE, entry.at + HEADER_SIZE + ID_SIZE);
}

/** A view of a PUT's data. */
export function entryData(entry: SegmentEntry): Uint8Array {
  return entry.buffer.subarray(entry.at + PUT_HEADER_SIZE, entry.at + entry.size);
}

const WINDOW = 1 << 20;
// Where only headers are wanted, small objects still come many to a read, and large ones are skipped.
const HEADER_WINDOW = 16 << 10;

function damaged(why: string, segment: number, offset: number): IntegrityError {
  return new IntegrityError(`${why} [segment ${segment}, offset ${offset}]`);
}

/** Size and tag of a header, checked. */
function checkHeader(
  buffer: Uint8Array,
  at: number,
  segment: number,
  offset: number,
): { size: number; tag: number } {
  const size = u32(buffer, at + 4);
  const tag = buffer[at + 8]!;
  if (size > MAX_OBJECT_SIZE) throw damaged(`Segment entry too big (${size} bytes)`, segment, offset);
  if (size < HEADER_SIZE) throw damaged(`Segment entry too small (${size} bytes)`, segment, offset);
  return { size, tag };
}

function checkTag(tag: number, size: number, segment: number, offset: number): void {
  if (tag !== TAG_PUT && tag !== TAG_DELETE && tag !== TAG_COMMIT) {
    throw damaged(`Segment entry with unknown tag ${tag}`, segment, offset);
  }
  if (tag !== TAG_COMMIT && size < PUT_HEADER_SIZE) {
    throw damaged(`Segment entry too small for its id (${size} bytes)`, segment, offset);
  }
}

/**
 * The entries of a segment from an offset on (0: from the start, with the magic checked).
 * With `headersOnly`, data is neither read nor verified: what is told is informational.
 * @throws IntegrityError at the first damage; entries before it have been given
 */
export function* segmentEntries(
  segments: Segments,
  segment: number,
  options: { offset?: number; headersOnly?: boolean } = {},
): Generator<SegmentEntry> {
  const { headersOnly = false } = options;
  let handle = segments.handle(segment);
  const fileSize = handle.size();
  let buffer = new Uint8Array(Math.min(headersOnly ? HEADER_WINDOW : WINDOW, Math.max(fileSize, MAGIC_SIZE)));
  let start = options.offset ?? 0; // of the buffer's contents in the file
  let filled = handle.read(buffer, start);
  let at = 0;
  if (start === 0) {
    if (filled < MAGIC_SIZE || MAGIC.some((byte, i) => buffer[i] !== byte)) {
      throw damaged("Invalid segment magic", segment, 0);
    }
    at = MAGIC_SIZE;
  }
  /** Makes `need` bytes from `at` on available, if the file has them. */
  const ensure = (need: number): boolean => {
    if (filled - at >= need) return true;
    // The generator's user may have caused the handle to be closed meanwhile.
    handle = segments.handle(segment);
    const rest = Math.max(0, filled - at);
    if (need > buffer.length) {
      const larger = new Uint8Array(Math.max(need, buffer.length));
      larger.set(buffer.subarray(at, at + rest));
      buffer = larger;
    } else if (rest > 0) buffer.copyWithin(0, at, filled);
    start += at;
    at = 0;
    filled = rest + handle.read(buffer.subarray(rest), start + rest);
    return filled >= need;
  };
  const entry: SegmentEntry = { tag: 0, segment, offset: 0, size: 0, buffer, at: 0 };
  for (;;) {
    if (!ensure(1)) return;
    const offset = start + at;
    if (!ensure(HEADER_SIZE)) throw damaged("Segment ends inside an entry's header", segment, offset);
    const { size, tag } = checkHeader(buffer, at, segment, offset);
    if (headersOnly) {
      checkTag(tag, size, segment, offset);
      if (!ensure(Math.min(size, PUT_HEADER_SIZE)))
        throw damaged("Segment ends inside an entry's id", segment, offset);
    } else {
      if (!ensure(size)) throw damaged(`Segment ends inside an entry of ${size} bytes`, segment, offset);
      if (crc32(buffer.subarray(at + 4, at + size)) !== u32(buffer, at)) {
        throw damaged("Segment entry checksum mismatch", segment, offset);
      }
      checkTag(tag, size, segment, offset);
    }
    entry.tag = tag;
    entry.offset = offset;
    entry.size = size;
    entry.buffer = buffer;
    entry.at = at;
    yield entry;
    at += size;
  }
}

// Most objects of an archive are smaller than this: one read instead of two.
const GUESS = 64 << 10;
let scratch: Uint8Array | undefined;

/** The data of the object `id` at a place. @throws IntegrityError for anything but an intact PUT of this id there */
export function readObject(segments: Segments, segment: number, offset: number, id: Uint8Array): Uint8Array {
  scratch ??= new Uint8Array(GUESS);
  const handle = segments.handle(segment);
  const got = handle.read(scratch, offset);
  const size = checkPut(scratch, 0, got, segment, offset, id);
  let entry = scratch;
  if (size > got) {
    entry = new Uint8Array(size);
    entry.set(scratch.subarray(0, got));
    if (got + handle.read(entry.subarray(got), offset + got) < size) {
      throw damaged(`Segment ends inside an entry of ${size} bytes`, segment, offset);
    }
  }
  checkCrc(entry, 0, size, segment, offset);
  return entry === scratch ? entry.slice(PUT_HEADER_SIZE, size) : entry.subarray(PUT_HEADER_SIZE);
}

/** As readObject, from a buffer that holds the file from `base` on; undefined where the buffer ends too early. */
export function objectInBuffer(
  buffer: Uint8Array,
  base: number,
  segment: number,
  offset: number,
  id: Uint8Array,
): Uint8Array | undefined {
  const at = offset - base;
  if (at < 0 || buffer.length - at < PUT_HEADER_SIZE) return undefined;
  const size = checkPut(buffer, at, buffer.length - at, segment, offset, id);
  if (buffer.length - at < size) return undefined;
  checkCrc(buffer, at, size, segment, offset);
  return buffer.slice(at + PUT_HEADER_SIZE, at + size);
}

/** Size of the whole entry of `id` at a place, without reading its data. */
export function readEntrySize(segments: Segments, segment: number, offset: number, id: Uint8Array): number {
  const header = new Uint8Array(PUT_HEADER_SIZE);
  const got = segments.handle(segment).read(header, offset);
  return checkPut(header, 0, got, segment, offset, id);
}

function checkPut(
  buffer: Uint8Array,
  at: number,
  available: number,
  segment: number,
  offset: number,
  id: Uint8Array,
): number {
  if (available < PUT_HEADER_SIZE) throw damaged("Segment ends inside an entry's header", segment, offset);
  const { size, tag } = checkHeader(buffer, at, segment, offset);
  if (tag !== TAG_PUT) throw damaged(`Not an object (tag ${tag})`, segment, offset);
  if (size < PUT_HEADER_SIZE) throw damaged(`Segment entry too small (${size} bytes)`, segment, offset);
  for (let i = 0; i < ID_SIZE; i++) {
    if (buffer[at + HEADER_SIZE + i] !== id[i])
      throw damaged("Segment entry of another object", segment, offset);
  }
  return size;
}

function checkCrc(buffer: Uint8Array, at: number, size: number, segment: number, offset: number): void {
  if (crc32(buffer.subarray(at + 4, at + size)) !== u32(buffer, at)) {
    throw damaged("Segment entry checksum mismatch", segment, offset);
  }
}
