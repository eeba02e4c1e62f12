// Decodes the item stream of an archive: msgpack maps one after another, cut into chunks at any byte.
// Items are decoded straight from the bytes; values of keys the caller did not ask for are skipped, not built
// (a plain list of 90,000 items has no use for their chunk lists). Unknown keys are kept for rewriting.
import { IntegrityError } from "../errors.ts";
import { fsDecode } from "../format/bytes.ts";
import { unpack } from "../format/msgpack.ts";
import type { ChunkRef, Item } from "./item.ts";
import { FIELD, knownKey } from "./item-fields.ts";

/** Decides by name which fields are decoded; undefined decodes everything. */
export type Wanted = ReadonlySet<string> | undefined;

const TWO32 = 2 ** 32;
const MAX_ITEM_BYTES = 1 << 30;

class Truncated extends Error {}

/** Feed chunks of the stream, get the items that are complete. Throws IntegrityError on what is no item. */
export class ItemDecoder {
  readonly #wanted: Wanted;
  #buf: Uint8Array = new Uint8Array(0);
  #view = new DataView(this.#buf.buffer);
  #pos = 0;

  constructor(wanted?: Wanted) {
    this.#wanted = wanted;
  }

  /** Appends the next piece of the stream. The bytes are not copied where nothing was left over. */
  feed(data: Uint8Array): void {
    const rest = this.#buf.length - this.#pos;
    if (rest === 0) this.#buf = data;
    else {
      if (rest > MAX_ITEM_BYTES)
        throw new IntegrityError("an item of the archive is larger than any item can be");
      const joined = new Uint8Array(rest + data.length);
      joined.set(this.#buf.subarray(this.#pos));
      joined.set(data, rest);
      this.#buf = joined;
    }
    this.#view = new DataView(this.#buf.buffer, this.#buf.byteOffset, this.#buf.byteLength);
    this.#pos = 0;
  }

  /** Copies what is left of what was fed, whose memory will be used again. */
  keepRest(): void {
    this.#buf = this.#buf.slice(this.#pos);
    this.#pos = 0;
  }

  /** Bytes of an incomplete item at the end of what was fed. Must be 0 when the stream has ended. */
  get pending(): number {
    return this.#buf.length - this.#pos;
  }

  /** The next complete item, or undefined until more is fed. */
  next(): Item | undefined {
    if (this.#pos >= this.#buf.length) return undefined;
    const start = this.#pos;
    try {
      return this.#item();
    } catch (e) {
      if (!(e instanceof Truncated)) throw e;
      this.#pos = start;
      return undefined;
    }
  }

  /**
   * Passes over the next complete item and only tells where its values begin.
   * @param positions by FIELD: offset in `bytes`, or −1 for what the item does not have; valid until the next feed()
   * @returns where the item begins, or −1 until more is fed
   */
  locate(positions: Int32Array): number {
    const start = this.#pos;
    if (start >= this.#buf.length) return -1;
    positions.fill(-1);
    try {
      const n = this.#mapHeader();
      for (let i = 0; i < n; i++) {
        const kn = this.#rawLength();
        const kp = this.#need(kn);
        const key = knownKey(this.#buf, kp, kn);
        if (key) positions[key.code] = this.#pos;
        this.#skip(0);
      }
    } catch (e) {
      if (!(e instanceof Truncated)) throw e;
      this.#pos = start;
      return -1;
    }
    if (positions[FIELD.path]! < 0) throw new IntegrityError("an item of the archive has no path");
    return start;
  }

  /** Where in `bytes` the next item begins. */
  get position(): number {
    return this.#pos;
  }

  /** What was fed and is not taken, with what was taken of the last piece. */
  get bytes(): Uint8Array {
    return this.#buf;
  }

  /** The item at a place that locate() told, decoded; goes on behind it. */
  itemAt(start: number): Item {
    this.#pos = start;
    return this.#item();
  }

  #need(n: number): number {
    const p = this.#pos;
    if (p + n > this.#buf.length) throw new Truncated();
    this.#pos = p + n;
    return p;
  }

  #item(): Item {
    const n = this.#mapHeader();
    const item: Item = { path: "", mode: 0 };
    let hasPath = false;
    for (let i = 0; i < n; i++) {
      const kn = this.#rawLength();
      const kp = this.#need(kn);
      const name = knownKey(this.#buf, kp, kn)?.name;
      if (name === undefined) {
        const key = fsDecode(this.#buf.subarray(kp, kp + kn));
        const from = this.#pos;
        this.#skip(0);
        // Attic up to 0.13 put a meaningless "acl" into every item.
        if (key === "acl" || this.#wanted) continue;
        item.unknown ??= new Map();
        item.unknown.set(key, unpack(this.#buf.slice(from, this.#pos)));
        continue;
      }
      if (name === "path") hasPath = true;
      else if (this.#wanted && !this.#wanted.has(name)) {
        this.#skip(0);
        continue;
      }
      this.#field(item, name);
    }
    if (!hasPath) throw new IntegrityError("an item of the archive has no path");
    return item;
  }

  #field(item: Item, name: string): void {
    switch (name) {
      case "path":
        item.path = this.#string();
        break;
      case "source":
        item.source = this.#string();
        break;
      case "user":
        item.user = this.#stringOrNil();
        break;
      case "group":
        item.group = this.#stringOrNil();
        break;
      case "mode":
      case "uid":
      case "gid":
      case "bsdflags":
      case "nlink":
      case "size":
      case "part":
        item[name] = this.#number();
        break;
      case "rdev":
        item.rdev = this.#integer();
        break;
      case "mtime":
      case "atime":
      case "ctime":
      case "birthtime":
        item[name] = this.#time();
        break;
      case "acl_access":
      case "acl_default":
      case "acl_extended":
      case "acl_nfs4":
        item[name] = this.#bytes();
        break;
      case "hardlink_master":
        item.hardlink_master = this.#boolean();
        break;
      case "chunks":
      case "chunks_healthy": {
        const chunks = this.#chunks();
        if (chunks) item[name] = chunks;
        break;
      }
      case "xattrs":
        item.xattrs = this.#xattrs();
        break;
      default:
        this.#skip(0);
    }
  }

  #mapHeader(): number {
    const b = this.#buf[this.#need(1)]!;
    if ((b & 0xf0) === 0x80) return b & 15;
    if (b === 0xde) return this.#view.getUint16(this.#need(2));
    if (b === 0xdf) return this.#view.getUint32(this.#need(4));
    throw new IntegrityError("the item stream of the archive is damaged: a map was expected");
  }

  #arrayHeader(): number {
    const b = this.#buf[this.#need(1)]!;
    if ((b & 0xf0) === 0x90) return b & 15;
    if (b === 0xdc) return this.#view.getUint16(this.#need(2));
    if (b === 0xdd) return this.#view.getUint32(this.#need(4));
    if (b === 0xc0) return -1;
    throw new IntegrityError("the item stream of the archive is damaged: a list was expected");
  }

  #rawLength(): number {
    const b = this.#buf[this.#need(1)]!;
    if ((b & 0xe0) === 0xa0) return b & 31;
    if (b === 0xda || b === 0xc5) return this.#view.getUint16(this.#need(2));
    if (b === 0xdb || b === 0xc6) return this.#view.getUint32(this.#need(4));
    if (b === 0xd9 || b === 0xc4) return this.#buf[this.#need(1)]!;
    throw new IntegrityError("the item stream of the archive is damaged: bytes were expected");
  }

  #bytes(): Uint8Array {
    const n = this.#rawLength();
    const p = this.#need(n);
    return this.#buf.slice(p, p + n);
  }

  #string(): string {
    const n = this.#rawLength();
    const p = this.#need(n);
    const buf = this.#buf;
    if (n <= 16) {
      let s = "";
      for (let i = p; i < p + n; i++) {
        const c = buf[i]!;
        if (c > 127) return fsDecode(buf.subarray(p, p + n));
        s += String.fromCharCode(c);
      }
      return s;
    }
    return fsDecode(buf.subarray(p, p + n));
  }

  #stringOrNil(): string | null {
    if (this.#pos < this.#buf.length && this.#buf[this.#pos] === 0xc0) {
      this.#pos++;
      return null;
    }
    return this.#string();
  }

  #boolean(): boolean {
    const b = this.#buf[this.#need(1)]!;
    if (b === 0xc3) return true;
    if (b === 0xc2) return false;
    throw new IntegrityError("the item stream of the archive is damaged: a boolean was expected");
  }

  /** An integer; a bigint beyond 2^53. */
  #integer(): number | bigint {
    const b = this.#buf[this.#need(1)]!;
    if (b < 0x80) return b;
    if (b >= 0xe0) return b - 256;
    switch (b) {
      case 0xcc:
        return this.#buf[this.#need(1)]!;
      case 0xcd:
        return this.#view.getUint16(this.#need(2));
      case 0xce:
        return this.#view.getUint32(this.#need(4));
      case 0xcf: {
        const p = this.#need(8);
        const hi = this.#view.getUint32(p);
        return hi < 0x200000 ? hi * TWO32 + this.#view.getUint32(p + 4) : this.#view.getBigUint64(p);
      }
      case 0xd0:
        return this.#view.getInt8(this.#need(1));
      case 0xd1:
        return this.#view.getInt16(this.#need(2));
      case 0xd2:
        return this.#view.getInt32(this.#need(4));
      case 0xd3: {
        const v = this.#view.getBigInt64(this.#need(8));
        const n = Number(v);
        return Number.isSafeInteger(n) ? n : v;
      }
    }
    throw new IntegrityError("the item stream of the archive is damaged: a number was expected");
  }

  #number(): number {
    return Number(this.#integer());
  }

  // Nanoseconds: an integer, or Borg's bigint form, a raw of little-endian two's complement.
  #time(): bigint {
    const b = this.#buf[this.#pos];
    if (b === undefined) throw new Truncated();
    if (b === 0xcf) {
      const p = this.#need(9);
      return this.#view.getBigUint64(p + 1);
    }
    const isRaw = (b & 0xe0) === 0xa0 || (b >= 0xc4 && b <= 0xc6) || (b >= 0xd9 && b <= 0xdb);
    if (!isRaw) return BigInt(this.#integer());
    const raw = this.#bytes();
    if (raw.length > 16)
      throw new IntegrityError("the item stream of the archive is damaged: an impossible time");
    let v = 0n;
    for (let i = raw.length - 1; i >= 0; i--) v = (v << 8n) | BigInt(raw[i]!);
    return BigInt.asIntN(raw.length * 8, v);
  }

  #chunks(): ChunkRef[] | undefined {
    const n = this.#arrayHeader();
    if (n < 0) return undefined;
    const out: ChunkRef[] = [];
    for (let i = 0; i < n; i++) {
      if (this.#arrayHeader() !== 3)
        throw new IntegrityError("the item stream of the archive is damaged: a chunk entry");
      const id = this.#bytes();
      if (id.length !== 32) throw new IntegrityError("the item stream of the archive is damaged: a chunk id");
      out.push({ id, size: this.#number(), csize: this.#number() });
    }
    return out;
  }

  #xattrs(): Map<string, Uint8Array | null> {
    const n = this.#mapHeader();
    const out = new Map<string, Uint8Array | null>();
    for (let i = 0; i < n; i++) {
      const name = this.#string();
      if (this.#pos < this.#buf.length && this.#buf[this.#pos] === 0xc0) {
        this.#pos++;
        out.set(name, null);
      } else out.set(name, this.#bytes());
    }
    return out;
  }

  #skip(depth: number): void {
    if (depth > 16) throw new IntegrityError("the item stream of the archive is damaged: nested too deeply");
    const b = this.#buf[this.#need(1)]!;
    if (b < 0x80 || b >= 0xe0) return;
    if (b < 0x90) return this.#skipMany((b & 15) * 2, depth);
    if (b < 0xa0) return this.#skipMany(b & 15, depth);
    if (b < 0xc0) return void this.#need(b & 31);
    switch (b) {
      case 0xc0:
      case 0xc2:
      case 0xc3:
        return;
      case 0xc4:
      case 0xd9:
        return void this.#need(this.#buf[this.#need(1)]!);
      case 0xc5:
      case 0xda:
        return void this.#need(this.#view.getUint16(this.#need(2)));
      case 0xc6:
      case 0xdb:
        return void this.#need(this.#view.getUint32(this.#need(4)));
      case 0xcc:
      case 0xd0:
        return void this.#need(1);
      case 0xcd:
      case 0xd1:
        return void this.#need(2);
      case 0xca:
      case 0xce:
      case 0xd2:
        return void this.#need(4);
      case 0xcb:
      case 0xcf:
      case 0xd3:
        return void this.#need(8);
      case 0xdc:
        return this.#skipMany(this.#view.getUint16(this.#need(2)), depth);
      case 0xdd:
        return this.#skipMany(this.#view.getUint32(this.#need(4)), depth);
      case 0xde:
        return this.#skipMany(this.#view.getUint16(this.#need(2)) * 2, depth);
      case 0xdf:
        return this.#skipMany(this.#view.getUint32(this.#need(4)) * 2, depth);
    }
    throw new IntegrityError("the item stream of the archive is damaged: an unknown type of value");
  }

  #skipMany(n: number, depth: number): void {
    for (let i = 0; i < n; i++) this.#skip(depth + 1);
  }
}
