// Writing MessagePack as Borg does: the old specification, where there is one raw type (fixraw, raw 16, raw 32) and
// neither str 8 nor bin, so that repositories stay readable by every Borg 1.x.
import { fsEncode } from "./bytes.ts";

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
