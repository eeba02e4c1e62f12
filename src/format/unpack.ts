// Reading MessagePack, whole or from a stream; the types of the new specification (str 8, bin) are taken too.
// Nothing read is trusted: depth, lengths and the memory that a message may unfold to are limited.
import { IntegrityError } from "../errors.ts";
import { fsDecode } from "./bytes.ts";

export interface UnpackLimits {
  /** Nesting, default 512 (Python's msgpack has 1024 stack entries). */
  maxDepth?: number;
  /** Estimated bytes of JavaScript memory one message may unfold to, default 1 GiB: a one-byte empty map costs about 200. */
  maxMemory?: number;
}

/** What a decoder throws when the bytes end inside a value: one instance, because the stream unpacker meets it often. */
const outOfData = new IntegrityError("msgpack: the data ends inside a value");
const EMPTY = new Uint8Array(0);
/** Room behind a value whose length is known, for what arrives with its end. */
const NEXT_VALUE = 65536;

class Decoder {
  bytes: Uint8Array = EMPTY;
  at = 0;
  private view: DataView = new DataView(EMPTY.buffer);
  private budget = 0;
  private readonly maxDepth: number;
  private readonly maxMemory: number;

  constructor(limits: UnpackLimits) {
    this.maxDepth = limits.maxDepth ?? 512;
    this.maxMemory = limits.maxMemory ?? 2 ** 30;
  }

  set(bytes: Uint8Array, at: number): void {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.at = at;
  }

  message(): unknown {
    this.budget = this.maxMemory;
    return this.value(0);
  }

  private value(depth: number): unknown {
    const b = this.byte();
    if (b < 0x80) return b;
    if (b < 0x90) return this.map(b & 15, depth);
    if (b < 0xa0) return this.array(b & 15, depth);
    if (b < 0xc0) return this.raw(b & 31);
    if (b >= 0xe0) return b - 0x100;
    const at = this.at;
    switch (b) {
      case 0xc0:
        return null;
      case 0xc2:
        return false;
      case 0xc3:
        return true;
      case 0xca:
        this.skip(4);
        return this.view.getFloat32(at);
      case 0xcb:
        this.skip(8);
        return this.view.getFloat64(at);
      case 0xcc:
        return this.byte();
      case 0xcd:
        return this.u16();
      case 0xce:
        return this.u32();
      case 0xcf: {
        const high = this.u32();
        const low = this.u32();
        return high < 0x200000 ? high * 0x100000000 + low : this.view.getBigUint64(at);
      }
      case 0xd0:
        this.skip(1);
        return this.view.getInt8(at);
      case 0xd1:
        this.skip(2);
        return this.view.getInt16(at);
      case 0xd2:
        this.skip(4);
        return this.view.getInt32(at);
      case 0xd3: {
        this.skip(8);
        const n = this.view.getBigInt64(at);
        return n >= -0x1fffffffffffffn && n <= 0x1fffffffffffffn ? Number(n) : n;
      }
      case 0xc4:
      case 0xd9:
        return this.raw(this.byte());
      case 0xc5:
      case 0xda:
        return this.raw(this.u16());
      case 0xc6:
      case 0xdb:
        return this.raw(this.u32());
      case 0xdc:
        return this.array(this.u16(), depth);
      case 0xdd:
        return this.array(this.u32(), depth);
      case 0xde:
        return this.map(this.u16(), depth);
      case 0xdf:
        return this.map(this.u32(), depth);
      default:
        throw new IntegrityError(`msgpack: unexpected type 0x${b.toString(16)}`);
    }
  }

  private array(n: number, depth: number): unknown[] {
    this.enter(n, depth, 48 + 16 * n);
    const list: unknown[] = [];
    for (let i = 0; i < n; i++) list.push(this.value(depth + 1));
    return list;
  }

  private map(n: number, depth: number): Map<unknown, unknown> {
    this.enter(2 * n, depth, 200 + 48 * n);
    const map = new Map<unknown, unknown>();
    for (let i = 0; i < n; i++) map.set(this.key(), this.value(depth + 1));
    return map;
  }

  private key(): unknown {
    const key = this.value(this.maxDepth);
    if (key instanceof Uint8Array) return rawToString(key);
    // A JavaScript Map compares objects by identity, so only plain values can be keys.
    if (typeof key === "object" && key !== null)
      throw new IntegrityError("msgpack: a container as a map key");
    return key;
  }

  private enter(elements: number, depth: number, memory: number): void {
    if (depth >= this.maxDepth) throw new IntegrityError("msgpack: nested too deeply");
    this.charge(memory);
    // An element is at least one byte: a length that cannot be true is refused before anything is allocated.
    if (elements > this.bytes.length - this.at) throw outOfData;
  }

  private charge(memory: number): void {
    this.budget -= memory;
    if (this.budget < 0) throw new IntegrityError("msgpack: the message would need too much memory");
  }

  private raw(n: number): Uint8Array {
    if (n === 0) return EMPTY;
    const at = this.at;
    this.skip(n);
    this.charge(100);
    return new Uint8Array(this.bytes.buffer as ArrayBuffer, this.bytes.byteOffset + at, n);
  }

  private skip(n: number): void {
    this.at += n;
    if (this.at > this.bytes.length) throw outOfData;
  }

  private byte(): number {
    const b = this.bytes[this.at++];
    if (b === undefined) throw outOfData;
    return b;
  }

  private u16(): number {
    this.skip(2);
    return this.view.getUint16(this.at - 2);
  }

  private u32(): number {
    this.skip(4);
    return this.view.getUint32(this.at - 4);
  }
}

function rawToString(raw: Uint8Array): string {
  if (raw.length > 40) return fsDecode(raw);
  let text = "";
  for (let i = 0; i < raw.length; i++) {
    const c = raw[i]!;
    if (c >= 0x80) return fsDecode(raw);
    text += String.fromCharCode(c);
  }
  return text;
}

/**
 * Exactly one value. Raws are views into `bytes` (copy what outlives it), maps are Map with string keys (numbers
 * stay numbers), ints are numbers, or bigints beyond 2^53.
 * @throws IntegrityError for anything malformed, incomplete, trailing or beyond the limits
 */
export function unpack(bytes: Uint8Array, limits: UnpackLimits = {}): unknown {
  const decoder = new Decoder(limits);
  decoder.set(bytes, 0);
  const value = decoder.message();
  if (decoder.at !== bytes.length) throw new IntegrityError("msgpack: extra data after the value");
  return value;
}

/**
 * Values from a stream that arrives in pieces. A value split over many pieces costs linear time: what is there is
 * decoded once; if it is incomplete, a scan that only counts pending elements goes on where it stopped.
 */
export class Unpacker {
  private readonly decoder: Decoder;
  private buf: Uint8Array = EMPTY;
  private at = 0;
  private end = 0;
  /** Position of the scan, and the elements it still needs; 0 where no scan is under way. */
  private scanAt = 0;
  private pending = 0;
  /** Bytes from `at` on that the value needs as far as the scan knows. */
  private needed = 0;
  /** Whether buf is our own, so that bytes may be appended behind end. */
  private spare = false;
  private readonly maxBuffer: number;
  /** Bytes of the stream that were turned into values. */
  consumed = 0;

  /** maxBuffer: bytes that may wait for one value to become complete; default 2^32-1, as Python's msgpack has it. */
  constructor(limits: UnpackLimits & { maxBuffer?: number } = {}) {
    this.decoder = new Decoder(limits);
    this.maxBuffer = limits.maxBuffer ?? 0xffffffff;
  }

  /** Bytes fed and not yet consumed. */
  get buffered(): number {
    return this.end - this.at;
  }

  /** The bytes fed and not yet consumed, as a copy. */
  rest(): Uint8Array {
    return this.buf.slice(this.at, this.end);
  }

  /** Appends a piece. It is kept without copying if nothing is waiting, so it must not be overwritten afterwards. */
  feed(piece: Uint8Array): void {
    const waiting = this.end - this.at;
    if (waiting + piece.length > this.maxBuffer) throw new IntegrityError("msgpack: a value is too large");
    if (waiting === 0) {
      this.buf = piece;
      this.at = 0;
      this.end = piece.length;
      this.spare = false;
      return;
    }
    if (!this.spare || this.buf.length - this.end < piece.length) {
      // A new buffer whenever it has to grow, because values given out are views into the old one. Where a length
      // field has told how much is needed, there is one copy instead of one a doubling.
      const known = this.needed > this.maxBuffer - NEXT_VALUE ? 0 : this.needed + NEXT_VALUE;
      const grown = new Uint8Array(Math.max(waiting + piece.length, 2 * waiting, known));
      grown.set(this.buf.subarray(this.at, this.end));
      this.scanAt -= this.at;
      this.at = 0;
      this.end = waiting;
      this.buf = grown;
      this.spare = true;
    }
    this.buf.set(piece, this.end);
    this.end += piece.length;
  }

  /** The next value, or `Unpacker.INCOMPLETE` if more bytes are needed. @throws IntegrityError for malformed data */
  next(): unknown {
    if (this.at === this.end) return Unpacker.INCOMPLETE;
    if (this.pending > 0 && !this.scan()) return Unpacker.INCOMPLETE;
    this.decoder.set(this.end === this.buf.length ? this.buf : this.buf.subarray(0, this.end), this.at);
    let value: unknown;
    try {
      value = this.decoder.message();
    } catch (error) {
      if (error !== outOfData) throw error;
      this.pending = 1;
      this.scanAt = this.at;
      this.scan();
      return Unpacker.INCOMPLETE;
    }
    this.consumed += this.decoder.at - this.at;
    this.at = this.decoder.at;
    this.pending = 0;
    this.needed = 0;
    return value;
  }

  /** Every complete value that was fed. */
  *[Symbol.iterator](): Generator<unknown> {
    for (let value = this.next(); value !== Unpacker.INCOMPLETE; value = this.next()) yield value;
  }

  /** Counts elements from scanAt on; true if the value that starts at `at` is complete. */
  private scan(): boolean {
    const { buf, end } = this;
    while (this.pending > 0) {
      const at = this.scanAt;
      if (at >= end) return false;
      const b = buf[at]!;
      const width = HEADER[b]!;
      if (at + width > end) return false;
      let n = 0;
      for (let i = at + 1; i < at + width; i++) n = n * 256 + buf[i]!;
      const next =
        at + width + (b >= 0xa0 && b < 0xc0 ? b & 31 : SCALAR_BODY[b] === -1 ? n : SCALAR_BODY[b]!);
      // The body of a raw or number has to be there as a whole, or the scan would start anew within it.
      if (next > end) {
        this.needed = next - this.at;
        return false;
      }
      if (b >= 0x80 && b < 0xa0) this.pending += b < 0x90 ? 2 * (b & 15) : b & 15;
      else if (b === 0xdc || b === 0xdd) this.pending += n;
      else if (b === 0xde || b === 0xdf) this.pending += 2 * n;
      this.pending--;
      this.scanAt = next;
    }
    return true;
  }

  /** What next() gives while a value is not complete. */
  static readonly INCOMPLETE: unique symbol = Symbol("incomplete");
}

/** Bytes of the type code and of the length field behind it. */
const HEADER = new Uint8Array(256).fill(1);
/** Bytes of a scalar's body; -1 where the length field tells. Unknown codes have none: decoding then refuses them. */
const SCALAR_BODY = new Int8Array(256);
for (const [code, width] of [
  [0xc4, 2],
  [0xc5, 3],
  [0xc6, 5],
  [0xd9, 2],
  [0xda, 3],
  [0xdb, 5],
] as const) {
  HEADER[code] = width;
  SCALAR_BODY[code] = -1;
}
for (const code of [0xdc, 0xde]) HEADER[code] = 3;
for (const code of [0xdd, 0xdf]) HEADER[code] = 5;
for (const [code, size] of [
  [0xca, 4],
  [0xcb, 8],
  [0xcc, 1],
  [0xcd, 2],
  [0xce, 4],
  [0xcf, 8],
  [0xd0, 1],
  [0xd1, 2],
  [0xd2, 4],
  [0xd3, 8],
] as const) {
  SCALAR_BODY[code] = size;
}
