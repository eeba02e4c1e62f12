// One entry of the files cache as it lies in the file: msgpack [hash(32), [age, inode, size, time, [id(32), …]]].
// Read in place, integers as two 32-bit halves, because nanoseconds and inode numbers need 64 bits.
//
// A time that is written as a signed number of 64 bits instead of an unsigned one says that the file had no extended
// attributes and no ACLs when its ctime was that: they need not be listed as long as it is (src/cache/bare-files.ts). Any
// msgpack reads the same number; who writes the entry anew, as Borg does with all of them, writes the common form.

import { IntegrityError } from "../errors.ts";
import { writeUint } from "../format/msgpack-uint.ts";

const RAW32 = [0xda, 0x00, 0x20] as const;
/** Types of a time: the common one, and that of a bare file. */
const UINT64 = 0xcf;
const INT64 = 0xd3;
/** Distance of the 32-byte ids in a chunk list. */
export const ID_STRIDE = 35;

/** Walks over entries in a buffer. The fields are those of the entry that was scanned last. */
export class EntryReader {
  /** From an entry's start to its path hash. */
  static readonly HASH_AT = 4;
  /** From an entry's start to its age, one byte of its own below 128. */
  static readonly AGE_AT = 37;
  readonly bytes: Uint8Array;
  age = 0;
  inodeHi = 0;
  inodeLo = 0;
  sizeHi = 0;
  sizeLo = 0;
  timeHi = 0;
  timeLo = 0;
  idCount = 0;
  /** Offset of the first id's 32 bytes; further ones follow at a distance of ID_STRIDE. */
  idsAt = 0;
  /** Offsets of the encoded age, inode and time. */
  ageAt = 0;
  inodeAt = 0;
  timeAt = 0;
  #hi = 0;
  #lo = 0;
  #next = 0;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }

  /** Reads the age only, and where the time is, of an entry as most are: the position behind it. @throws as scan() */
  pass(at: number): number {
    const b = this.bytes;
    const age = b[at + EntryReader.AGE_AT]!;
    if (age >= 0x80) return this.scan(at);
    let p = at + EntryReader.AGE_AT + 1;
    for (let i = 0; i < 2; i++) {
      const type = b[p]!;
      if (type < 0x80) p++;
      else if (type >= 0xcc && type <= UINT64) p += 1 + (1 << (type - 0xcc));
      else return this.scan(at);
    }
    this.timeAt = p;
    if (b[p] !== UINT64 && !isBare(b, p)) return this.scan(at);
    p += 9;
    const type = b[p]!;
    // More than one chunk is rare, and has to be gone through; so has what is no entry.
    if (!(type === 0x90 || type === 0x91) || !isEntry(b, at)) return this.scan(at);
    const end = p + 1 + (type - 0x90) * ID_STRIDE;
    if (end > b.length) return this.scan(at);
    if (type === 0x91 && !isRaw32(b, p + 1)) return this.scan(at);
    this.age = age;
    return end;
  }

  /** Reads the entry at `at`; the position behind it. @throws IntegrityError where the bytes are no entry */
  scan(at: number): number {
    const b = this.bytes;
    if (!isEntry(b, at)) throw broken();
    this.ageAt = at + EntryReader.AGE_AT;
    this.#uint(this.ageAt);
    this.age = this.#hi > 0 ? 254 : Math.min(this.#lo, 254);
    this.inodeAt = this.#next;
    this.#uint(this.#next);
    this.inodeHi = this.#hi;
    this.inodeLo = this.#lo;
    this.#uint(this.#next);
    this.sizeHi = this.#hi;
    this.sizeLo = this.#lo;
    this.#time(this.#next);
    this.#list(this.#next);
    const end = this.#next + this.idCount * ID_STRIDE;
    if (end > b.length) throw broken();
    // Checked here, so that who uses the ids need not.
    for (let i = this.#next; i < end; i += ID_STRIDE) if (!isRaw32(b, i)) throw broken();
    this.idsAt = this.#next + 3;
    return end;
  }

  #uint(at: number): void {
    const b = this.bytes;
    const type = b[at]!;
    if (type < 0x80) {
      this.#hi = 0;
      this.#lo = type;
      this.#next = at + 1;
      return;
    }
    if (type < 0xcc || type > 0xcf) throw broken();
    const width = 1 << (type - 0xcc);
    this.#next = at + 1 + width;
    if (this.#next > b.length) throw broken();
    this.#hi = width === 8 ? u32(b, at + 1) : 0;
    this.#lo = width >= 4 ? u32(b, this.#next - 4) : width === 2 ? b[at + 1]! * 256 + b[at + 2]! : b[at + 1]!;
  }

  /** Whether the entry says that its file has no extended attributes. */
  get isBare(): boolean {
    return isBare(this.bytes, this.timeAt);
  }

  /** Lets it say so, where its time has the room for that, or no more. */
  setBare(bare: boolean): void {
    const { bytes, timeAt } = this;
    if (bare) markBare(bytes, timeAt);
    else if (isBare(bytes, timeAt)) bytes[timeAt] = UINT64;
  }

  /** A time is a number, or, beyond 63 bits, raw bytes: that one equals no file's time. */
  #time(at: number): void {
    const type = this.bytes[at]!;
    this.timeAt = at;
    if (isBare(this.bytes, at)) {
      this.#next = at + 9;
      if (this.#next > this.bytes.length) throw broken();
      this.timeHi = u32(this.bytes, at + 1);
      this.timeLo = u32(this.bytes, at + 5);
      return;
    }
    if (type >= 0xa0 && type < 0xc0) {
      this.#next = at + 1 + (type & 31);
      this.timeHi = this.timeLo = 0xffffffff;
      return;
    }
    this.#uint(at);
    this.timeHi = this.#hi;
    this.timeLo = this.#lo;
  }

  #list(at: number): void {
    const b = this.bytes;
    const type = b[at]!;
    if (type >= 0x90 && type < 0xa0) {
      this.idCount = type & 15;
      this.#next = at + 1;
    } else if (type === 0xdc || type === 0xdd) {
      this.#next = at + (type === 0xdc ? 3 : 5);
      if (this.#next > b.length) throw broken();
      this.idCount = type === 0xdc ? b[at + 1]! * 256 + b[at + 2]! : u32(b, at + 1);
    } else throw broken();
  }
}

function markBare(b: Uint8Array, at: number): void {
  if (b[at] === UINT64 && b[at + 1]! < 0x80) b[at] = INT64;
}

/** No negative number: that is no time. */
function isBare(b: Uint8Array, at: number): boolean {
  return b[at] === INT64 && b[at + 1]! < 0x80;
}

function isEntry(b: Uint8Array, at: number): boolean {
  return b[at] === 0x92 && isRaw32(b, at + 1) && b[at + 36] === 0x95;
}

function isRaw32(b: Uint8Array, at: number): boolean {
  return b[at] === RAW32[0] && b[at + 1] === RAW32[1] && b[at + 2] === RAW32[2];
}

/** Writes an entry of age 0; numbers are inode, size and time, upper and lower halves; ids lie `stride` apart from idsAt on;
 *  bare lets it say that its file has no extended attributes, where its time has the room for that. The position behind it. */
export function writeEntry(
  out: Uint8Array,
  at: number,
  hash: Uint8Array,
  hashOffset: number,
  numbers: Uint32Array,
  ids: Uint8Array,
  idsAt: number,
  stride: number,
  count: number,
  bare: boolean,
): number {
  out[at++] = 0x92;
  at = raw32(out, at, hash, hashOffset);
  out[at++] = 0x95;
  out[at++] = 0;
  for (let i = 0; i < 4; i += 2) at = writeUint(out, at, numbers[i]!, numbers[i + 1]!);
  const timeAt = at;
  at = writeUint(out, at, numbers[4]!, numbers[5]!);
  if (bare) markBare(out, timeAt);
  if (count < 16) out[at++] = 0x90 | count;
  else {
    const wide = count > 0xffff;
    out[at++] = wide ? 0xdd : 0xdc;
    for (let shift = wide ? 24 : 8; shift >= 0; shift -= 8) out[at++] = count >>> shift;
  }
  for (let i = 0; i < count; i++) at = raw32(out, at, ids, idsAt + i * stride);
  return at;
}

function raw32(out: Uint8Array, at: number, from: Uint8Array, offset: number): number {
  out[at] = RAW32[0];
  out[at + 1] = RAW32[1];
  out[at + 2] = RAW32[2];
  for (let i = 0; i < 32; i++) out[at + 3 + i] = from[offset + i]!;
  return at + 35;
}

function u32(b: Uint8Array, at: number): number {
  return ((b[at]! << 24) | (b[at + 1]! << 16) | (b[at + 2]! << 8) | b[at + 3]!) >>> 0;
}

function broken(): IntegrityError {
  return new IntegrityError("an entry of the files cache is not what it should be");
}
