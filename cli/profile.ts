// Execution profiles as Borg writes them (msgpack of cProfile's statistics: a map from (file, line, function) to
// figures and callers) turned into what Python's pstats reads (marshal). A reader of its own, since the map's keys are
// arrays; a writer for the few marshal types that occur.
import { IntegrityError } from "../src/errors.ts";

type Value = number | string | null | boolean | Value[] | [Value, Value][] | ProfileMap;
class ProfileMap {
  readonly entries: [Value, Value][] = [];
}

export function convertProfile(profile: Uint8Array): Uint8Array {
  const reader = new Reader(profile);
  const value = reader.value(0);
  if (!(value instanceof ProfileMap)) throw new IntegrityError("This is no profile that Borg has written.");
  const out: number[] = [];
  marshal(value, out);
  return Uint8Array.from(out);
}

class Reader {
  private readonly bytes: Uint8Array;
  private readonly view: DataView;
  private at = 0;
  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  value(depth: number): Value {
    if (depth > 64) throw new IntegrityError("The profile is nested too deeply.");
    const tag = this.bytes[this.need(1)]!;
    if (tag < 0x80) return tag;
    if (tag < 0x90) return this.map(tag & 15, depth);
    if (tag < 0xa0) return this.array(tag & 15, depth);
    if (tag < 0xc0) return this.text(tag & 31);
    if (tag >= 0xe0) return tag - 256;
    switch (tag) {
      case 0xc0:
        return null;
      case 0xc2:
        return false;
      case 0xc3:
        return true;
      case 0xca:
        return this.view.getFloat32(this.need(4));
      case 0xcb:
        return this.view.getFloat64(this.need(8)) || 0;
      case 0xcc:
        return this.view.getUint8(this.need(1));
      case 0xcd:
        return this.view.getUint16(this.need(2));
      case 0xce:
        return this.view.getUint32(this.need(4));
      case 0xd0:
        return this.view.getInt8(this.need(1));
      case 0xd1:
        return this.view.getInt16(this.need(2));
      case 0xd2:
        return this.view.getInt32(this.need(4));
      case 0xcf:
      case 0xd3:
        return Number(this.view.getBigInt64(this.need(8)));
      case 0xd9:
      case 0xc4:
        return this.text(this.view.getUint8(this.need(1)));
      case 0xda:
      case 0xc5:
        return this.text(this.view.getUint16(this.need(2)));
      case 0xdb:
      case 0xc6:
        return this.text(this.view.getUint32(this.need(4)));
      case 0xdc:
        return this.array(this.view.getUint16(this.need(2)), depth);
      case 0xdd:
        return this.array(this.view.getUint32(this.need(4)), depth);
      case 0xde:
        return this.map(this.view.getUint16(this.need(2)), depth);
      case 0xdf:
        return this.map(this.view.getUint32(this.need(4)), depth);
      default:
        throw new IntegrityError(`The profile holds something unknown (0x${tag.toString(16)}).`);
    }
  }

  private need(n: number): number {
    const at = this.at;
    if (at + n > this.bytes.length) throw new IntegrityError("The profile is truncated.");
    this.at += n;
    return at;
  }

  private text(n: number): string {
    const at = this.need(n);
    return new TextDecoder().decode(this.bytes.subarray(at, at + n));
  }

  private array(n: number, depth: number): Value[] {
    const out: Value[] = [];
    for (let i = 0; i < n; i++) out.push(this.value(depth + 1));
    return out;
  }

  private map(n: number, depth: number): ProfileMap {
    const out = new ProfileMap();
    for (let i = 0; i < n; i++) out.entries.push([this.value(depth + 1), this.value(depth + 1)]);
    return out;
  }
}

/** Python's marshal, version 2: the subset that every version of Python reads. */
function marshal(value: Value, out: number[]): void {
  const int32 = (n: number) => out.push(n & 255, (n >> 8) & 255, (n >> 16) & 255, (n >> 24) & 255);
  const tag = (c: string) => out.push(c.charCodeAt(0));
  if (value === null) tag("N");
  else if (typeof value === "boolean") tag(value ? "T" : "F");
  else if (typeof value === "string") {
    const bytes = new TextEncoder().encode(value);
    tag("u");
    int32(bytes.length);
    for (const b of bytes) out.push(b);
  } else if (typeof value === "number") {
    if (Number.isInteger(value) && Math.abs(value) < 2 ** 31) {
      tag("i");
      int32(value);
    } else {
      tag("g");
      out.push(...new Uint8Array(new Float64Array([value]).buffer));
    }
  } else if (value instanceof ProfileMap) {
    tag("{");
    for (const [k, v] of value.entries) {
      marshal(k, out);
      marshal(v, out);
    }
    tag("0");
  } else {
    tag("(");
    int32(value.length);
    for (const v of value) marshal(v as Value, out);
  }
}
