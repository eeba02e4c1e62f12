// MessagePack as Borg writes it: the old specification, where there is one raw type (fixraw, raw 16, raw 32) and
// neither str 8 nor bin, so that repositories stay readable by every Borg 1.x. Reading accepts the new types too.
// Nothing read is trusted: depth, lengths and the memory that a message may unfold to are limited.
import { IntegrityError } from "../errors.ts";
import { fsDecode, fsEncode } from "./bytes.ts";

/** A number to be written as float 64, also where it has no fraction. */
export class Float {
  readonly value: number;
  constructor(value: number) {
    this.value = value;
  }
}

export interface PackOptions {
  /** Write maps with their keys in code point order, as Borg's StableDict does (items, archives, manifests, keys). */
  sortKeys?: boolean;
}

export interface UnpackLimits {
  /** Nesting, default 512 (Python's msgpack has 1024 stack entries). */
  maxDepth?: number;
  /** Estimated bytes of JavaScript memory one message may unfold to, default 1 GiB: a one-byte empty map costs about 200. */
  maxMemory?: number;
}

/** Appends values to one growable buffer. */
export class Packer {
  private buf: Uint8Array;
  private view: DataView;
  private at = 0;
  private readonly sortKeys: boolean;

  constructor(options: PackOptions = {}, capacity = 1024) {
    this.buf = new Uint8Array(capacity);
    this.view = new DataView(this.buf.buffer);
    this.sortKeys = options.sortKeys ?? false;
  }

  /** Bytes written since the last reset or take. */
  get length(): number {
    return this.at;
  }

  /** A view of what was written, valid until the next call of any method. */
  peek(): Uint8Array {
    return this.buf.subarray(0, this.at);
  }

  /** A copy of what was written; the packer starts anew. */
  take(): Uint8Array {
    const out = this.buf.slice(0, this.at);
    this.at = 0;
    return out;
  }

  reset(): void {
    this.at = 0;
  }

  /** Appends one value. @throws TypeError for what has no representation (undefined, functions, fractions without Float) */
  pack(value: unknown): this {
    switch (typeof value) {
      case "string":
        this.string(value);
        break;
      case "number":
        this.int(value);
        break;
      case "bigint":
        this.bigint(value);
        break;
      case "boolean":
        this.byte(value ? 0xc3 : 0xc2);
        break;
      case "object":
        this.object(value);
        break;
      default:
        throw new TypeError(`msgpack: cannot pack a value of type ${typeof value}`);
    }
    return this;
  }

  private object(value: object | null): void {
    if (value === null) this.byte(0xc0);
    else if (value instanceof Uint8Array) this.raw(value);
    else if (Array.isArray(value)) {
      this.arrayHeader(value.length);
      for (let i = 0; i < value.length; i++) this.pack(value[i]);
    } else if (value instanceof Map) this.map(value);
    else if (value instanceof Float) {
      this.reserve(9);
      this.buf[this.at++] = 0xcb;
      this.view.setFloat64(this.at, value.value);
      this.at += 8;
    } else {
      const proto = Object.getPrototypeOf(value);
      if (proto !== Object.prototype && proto !== null)
        throw new TypeError("msgpack: cannot pack a class instance");
      // Optional properties of our records are simply absent from the map.
      this.map(new Map(Object.entries(value).filter(([, v]) => v !== undefined)));
    }
  }

  private map(map: Map<unknown, unknown>): void {
    this.mapHeader(map.size);
    let entries: Iterable<[unknown, unknown]> = map;
    if (this.sortKeys && map.size > 1) entries = [...map].sort((a, b) => compareKeys(a[0], b[0]));
    for (const [key, value] of entries) {
      this.pack(key);
      this.pack(value);
    }
  }

  arrayHeader(n: number): void {
    this.container(n, 0x90, 0xdc);
  }

  mapHeader(n: number): void {
    this.container(n, 0x80, 0xde);
  }

  private container(n: number, fix: number, wide: number): void {
    this.reserve(5);
    if (n < 16) this.buf[this.at++] = fix | n;
    else this.length16or32(n, wide);
  }

  private length16or32(n: number, code16: number): void {
    if (n < 0x10000) {
      this.buf[this.at] = code16;
      this.view.setUint16(this.at + 1, n);
      this.at += 3;
    } else {
      if (n > 0xffffffff) throw new TypeError("msgpack: too long");
      this.buf[this.at] = code16 + 1;
      this.view.setUint32(this.at + 1, n);
      this.at += 5;
    }
  }

  private rawHeader(n: number): void {
    this.reserve(5 + n);
    if (n < 32) this.buf[this.at++] = 0xa0 | n;
    else this.length16or32(n, 0xda);
  }

  raw(bytes: Uint8Array): void {
    const n = bytes.length;
    this.rawHeader(n);
    // Below some 24 bytes a loop is quicker than the call of set().
    if (n < 24) for (let i = 0; i < n; i++) this.buf[this.at + i] = bytes[i]!;
    else this.buf.set(bytes, this.at);
    this.at += n;
  }

  string(text: string): void {
    const n = text.length;
    this.rawHeader(n);
    const { buf, at } = this;
    for (let i = 0; i < n; i++) {
      const c = text.charCodeAt(i);
      if (c >= 0x80) {
        this.at = at - (n < 32 ? 1 : n < 0x10000 ? 3 : 5);
        this.raw(fsEncode(text));
        return;
      }
      buf[at + i] = c;
    }
    this.at = at + n;
  }

  int(n: number): void {
    if (!Number.isSafeInteger(n)) throw new TypeError(`msgpack: ${n} is not an exact integer`);
    this.reserve(9);
    const { buf, view } = this;
    let { at } = this;
    if (n >= 0) {
      if (n < 0x80) buf[at++] = n;
      else if (n < 0x100) {
        buf[at++] = 0xcc;
        buf[at++] = n;
      } else if (n < 0x10000) {
        buf[at++] = 0xcd;
        view.setUint16(at, n);
        at += 2;
      } else if (n < 0x100000000) {
        buf[at++] = 0xce;
        view.setUint32(at, n);
        at += 4;
      } else {
        buf[at++] = 0xcf;
        view.setUint32(at, Math.floor(n / 0x100000000));
        view.setUint32(at + 4, n >>> 0);
        at += 8;
      }
    } else if (n >= -0x20) buf[at++] = n & 0xff;
    else if (n >= -0x80) {
      buf[at++] = 0xd0;
      buf[at++] = n & 0xff;
    } else if (n >= -0x8000) {
      buf[at++] = 0xd1;
      view.setInt16(at, n);
      at += 2;
    } else if (n >= -0x80000000) {
      buf[at++] = 0xd2;
      view.setInt32(at, n);
      at += 4;
    } else {
      buf[at++] = 0xd3;
      view.setBigInt64(at, BigInt(n));
      at += 8;
    }
    this.at = at;
  }

  bigint(n: bigint): void {
    if (n >= -0x1fffffffffffffn && n <= 0x1fffffffffffffn) {
      this.int(Number(n));
      return;
    }
    if (n > 0xffffffffffffffffn || n < -0x8000000000000000n) {
      throw new TypeError(`msgpack: ${n} does not fit into 64 bits`);
    }
    this.reserve(9);
    if (n >= 0n) {
      this.buf[this.at] = 0xcf;
      this.view.setBigUint64(this.at + 1, n);
    } else {
      this.buf[this.at] = 0xd3;
      this.view.setBigInt64(this.at + 1, n);
    }
    this.at += 9;
  }

  private byte(b: number): void {
    this.reserve(1);
    this.buf[this.at++] = b;
  }

  private reserve(more: number): void {
    const need = this.at + more;
    if (need <= this.buf.length) return;
    const grown = new Uint8Array(Math.max(need, this.buf.length * 2));
    grown.set(this.buf.subarray(0, this.at));
    this.buf = grown;
    this.view = new DataView(grown.buffer);
  }
}

/** Order of Python's str (code points) and bytes; the two kinds do not occur mixed in Borg's maps. */
function compareKeys(a: unknown, b: unknown): number {
  if (typeof a === "number" && typeof b === "number") return a - b;
  const x = typeof a === "string" ? fsEncode(a) : (a as Uint8Array);
  const y = typeof b === "string" ? fsEncode(b) : (b as Uint8Array);
  return Buffer.compare(x, y);
}

/** One value as bytes: string and Uint8Array → raw, number and bigint → int, Float → float 64, Map and plain object → map. */
export function pack(value: unknown, options?: PackOptions): Uint8Array {
  return new Packer(options, 256).pack(value).take();
}

/** What a decoder throws when the bytes end inside a value: one instance, because the stream unpacker meets it often. */
const outOfData = new IntegrityError("msgpack: the data ends inside a value");
const EMPTY = new Uint8Array(0);

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
      // A new buffer whenever it has to grow, because values given out are views into the old one.
      const grown = new Uint8Array(Math.max(waiting + piece.length, 2 * waiting));
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
      if (next > end) return false;
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
