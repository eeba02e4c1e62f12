// Encodes items into the item stream of an archive, byte for byte as Borg's Item.as_dict() goes through
// msgpack: a map with sorted keys, old-spec raw strings, integers in their shortest form. The same bytes as
// Borg's matter beyond compatibility: metadata chunks of unchanged directories then deduplicate against
// chunks that Borg wrote. Everything goes into one growing buffer; no object is made per item.
import { fsEncode } from "../format/bytes.ts";
import { pack } from "../format/msgpack.ts";
import type { ChunkRef, Item } from "./item.ts";
import { type ConstantFields, encodePlain, type PlainFile, plainBytes, rawKey } from "./plain-item.ts";

const keys = {
  acl_access: rawKey("acl_access"),
  acl_default: rawKey("acl_default"),
  acl_extended: rawKey("acl_extended"),
  acl_nfs4: rawKey("acl_nfs4"),
  atime: rawKey("atime"),
  birthtime: rawKey("birthtime"),
  bsdflags: rawKey("bsdflags"),
  chunks: rawKey("chunks"),
  chunks_healthy: rawKey("chunks_healthy"),
  ctime: rawKey("ctime"),
  gid: rawKey("gid"),
  group: rawKey("group"),
  hardlink_master: rawKey("hardlink_master"),
  mode: rawKey("mode"),
  mtime: rawKey("mtime"),
  nlink: rawKey("nlink"),
  part: rawKey("part"),
  path: rawKey("path"),
  rdev: rawKey("rdev"),
  size: rawKey("size"),
  source: rawKey("source"),
  uid: rawKey("uid"),
  user: rawKey("user"),
  xattrs: rawKey("xattrs"),
} as const;

const TWO32 = 2 ** 32;
const ID_BYTES = 32;

/** Appends encoded items to one buffer. `take()` gives what was encoded so far and starts over. */
export class ItemEncoder {
  #buf: Uint8Array;
  #view: DataView;
  #pos = 0;
  #constant: ConstantFields | undefined;

  constructor(capacity = 1 << 20) {
    this.#buf = new Uint8Array(capacity);
    this.#view = new DataView(this.#buf.buffer);
  }

  /** Bytes encoded since the last take() or consume(). */
  get length(): number {
    return this.#pos;
  }

  /** View of the encoded bytes; valid until the next call of encode(). */
  bytes(): Uint8Array {
    return this.#buf.subarray(0, this.#pos);
  }

  /** Encodes an item to byte `at`, before what is there. */
  insert(at: number, item: Item): void {
    const behind = this.#buf.slice(at, this.#pos);
    this.#pos = at;
    this.encode(item);
    this.append(behind);
  }

  /** Drops the first n bytes. */
  consume(n: number): void {
    this.#buf.copyWithin(0, n, this.#pos);
    this.#pos -= n;
  }

  encode(item: Item): void {
    const start = this.#pos;
    this.#reserve(512);
    this.#pos += 3; // room for a map header of up to 16 bits; nearly always one byte is needed
    const bodyStart = this.#pos;
    let n = 0;
    if (item.unknown?.size) {
      n = this.#withUnknown(item);
    } else {
      n += this.#bytesField(keys.acl_access, item.acl_access);
      n += this.#bytesField(keys.acl_default, item.acl_default);
      n += this.#bytesField(keys.acl_extended, item.acl_extended);
      n += this.#bytesField(keys.acl_nfs4, item.acl_nfs4);
      n += this.#intField(keys.atime, item.atime);
      n += this.#intField(keys.birthtime, item.birthtime);
      n += this.#intField(keys.bsdflags, item.bsdflags);
      n += this.#chunksField(keys.chunks, item.chunks);
      n += this.#chunksField(keys.chunks_healthy, item.chunks_healthy);
      n += this.#intField(keys.ctime, item.ctime);
      n += this.#intField(keys.gid, item.gid);
      n += this.#stringField(keys.group, item.group);
      if (item.hardlink_master !== undefined) {
        this.#raw(keys.hardlink_master);
        this.#byte(item.hardlink_master ? 0xc3 : 0xc2);
        n++;
      }
      n += this.#intField(keys.mode, item.mode);
      n += this.#intField(keys.mtime, item.mtime);
      n += this.#intField(keys.nlink, item.nlink);
      n += this.#intField(keys.part, item.part);
      n += this.#stringField(keys.path, item.path);
      n += this.#intField(keys.rdev, item.rdev);
      n += this.#intField(keys.size, item.size);
      n += this.#stringField(keys.source, item.source);
      n += this.#intField(keys.uid, item.uid);
      n += this.#stringField(keys.user, item.user);
      if (item.xattrs?.size) {
        this.#raw(keys.xattrs);
        this.#xattrs(item.xattrs);
        n++;
      }
    }
    this.#closeMap(start, bodyStart, n);
  }

  /** As encode() of an item with these fields, without an object for it. */
  plain(file: PlainFile): void {
    let constant = this.#constant;
    if (
      constant?.mode !== file.mode ||
      constant.uid !== file.uid ||
      constant.gid !== file.gid ||
      constant.user !== file.user ||
      constant.group !== file.group
    )
      constant = this.#constant = this.constantOf(file);
    this.#reserve(plainBytes(file, constant));
    this.#pos = encodePlain(this.#buf, this.#pos, file, constant);
  }

  /** Encodes what most files have in common, or directories: all of one owner and mode. */
  constantOf(
    { mode, uid, gid, user, group }: Omit<ConstantFields, "middle" | "end">,
    directory = false,
  ): ConstantFields {
    const start = this.#pos;
    this.#intField(keys.gid, gid);
    this.#stringField(keys.group, group);
    if (!directory) {
      this.#raw(keys.hardlink_master);
      this.#byte(0xc2);
    }
    this.#intField(keys.mode, mode);
    const end = this.#pos;
    this.#intField(keys.uid, uid);
    this.#stringField(keys.user, user);
    const fields = {
      ...{ mode, uid, gid, user, group },
      middle: this.#buf.slice(start, end),
      end: this.#buf.slice(end, this.#pos),
    };
    this.#pos = start;
    return fields;
  }

  /** What another encoder has made. */
  append(bytes: Uint8Array): void {
    this.#raw(bytes);
  }

  // Items with keys this program does not know (from a newer Borg) are rare: sort and use the general codec.
  #withUnknown(item: Item): number {
    const entries: [string, unknown][] = [];
    for (const [k, v] of Object.entries(item)) {
      if (v === undefined || k === "unknown") continue;
      entries.push([k, k === "chunks" || k === "chunks_healthy" ? chunkTuples(v as ChunkRef[]) : v]);
    }
    for (const e of item.unknown!) entries.push(e);
    entries.sort(([a], [b]) => (a < b ? -1 : 1));
    for (const [k, v] of entries) {
      this.#raw(pack(k));
      if (k === "xattrs") this.#xattrs(v as NonNullable<Item["xattrs"]>);
      else if (typeof v === "bigint" || typeof v === "number") this.#int(v);
      else this.#raw(pack(v));
    }
    return entries.length;
  }

  #closeMap(start: number, bodyStart: number, n: number): void {
    if (n < 16) {
      this.#buf[start] = 0x80 | n;
      this.#buf.copyWithin(start + 1, bodyStart, this.#pos);
      this.#pos -= 2;
    } else {
      this.#buf[start] = 0xde;
      this.#view.setUint16(start + 1, n);
    }
  }

  #reserve(n: number): void {
    if (this.#pos + n <= this.#buf.length) return;
    const next = new Uint8Array(Math.max(this.#buf.length * 2, this.#pos + n));
    next.set(this.#buf.subarray(0, this.#pos));
    this.#buf = next;
    this.#view = new DataView(next.buffer);
  }

  #byte(b: number): void {
    if (this.#pos === this.#buf.length) this.#reserve(1);
    this.#buf[this.#pos++] = b;
  }

  #raw(bytes: Uint8Array): void {
    const n = bytes.length;
    this.#reserve(n);
    const buf = this.#buf;
    let p = this.#pos;
    if (n < 24) for (let i = 0; i < n; i++) buf[p++] = bytes[i]!;
    else buf.set(bytes, p);
    this.#pos += n;
  }

  #rawHeader(n: number): void {
    this.#reserve(5);
    if (n < 32) this.#buf[this.#pos++] = 0xa0 | n;
    else if (n < 65536) {
      this.#buf[this.#pos] = 0xda;
      this.#view.setUint16(this.#pos + 1, n);
      this.#pos += 3;
    } else {
      this.#buf[this.#pos] = 0xdb;
      this.#view.setUint32(this.#pos + 1, n);
      this.#pos += 5;
    }
  }

  #string(s: string): void {
    const n = s.length;
    // ASCII, nearly every path: written in place. Anything else goes through the encoder.
    this.#rawHeader(n);
    this.#reserve(n);
    const headerEnd = this.#pos;
    const buf = this.#buf;
    for (let i = 0; i < n; i++) {
      const c = s.charCodeAt(i);
      if (c > 127) {
        this.#pos = headerEnd - (n < 32 ? 1 : n < 65536 ? 3 : 5);
        const bytes = fsEncode(s);
        this.#rawHeader(bytes.length);
        this.#raw(bytes);
        return;
      }
      buf[headerEnd + i] = c;
    }
    this.#pos = headerEnd + n;
  }

  #int(v: number | bigint): void {
    this.#reserve(9);
    const buf = this.#buf;
    const view = this.#view;
    const p = this.#pos;
    if (typeof v === "bigint") {
      if (v >= -2147483648n && v < 4294967296n) return this.#int(Number(v));
      if (v > 0x7fffffffffffffffn || v < -0x8000000000000000n) return this.#bigintRaw(v);
      buf[p] = v < 0n ? 0xd3 : 0xcf;
      view.setBigInt64(p + 1, v);
      this.#pos = p + 9;
      return;
    }
    if (v >= 0) {
      if (v < 128) {
        buf[p] = v;
        this.#pos = p + 1;
      } else if (v < 256) {
        buf[p] = 0xcc;
        buf[p + 1] = v;
        this.#pos = p + 2;
      } else if (v < 65536) {
        buf[p] = 0xcd;
        view.setUint16(p + 1, v);
        this.#pos = p + 3;
      } else if (v < TWO32) {
        buf[p] = 0xce;
        view.setUint32(p + 1, v);
        this.#pos = p + 5;
      } else {
        buf[p] = 0xcf;
        view.setUint32(p + 1, Math.floor(v / TWO32));
        view.setUint32(p + 5, v % TWO32);
        this.#pos = p + 9;
      }
    } else if (v >= -32) {
      buf[p] = v & 0xff;
      this.#pos = p + 1;
    } else if (v >= -128) {
      buf[p] = 0xd0;
      view.setInt8(p + 1, v);
      this.#pos = p + 2;
    } else if (v >= -32768) {
      buf[p] = 0xd1;
      view.setInt16(p + 1, v);
      this.#pos = p + 3;
    } else if (v >= -2147483648) {
      buf[p] = 0xd2;
      view.setInt32(p + 1, v);
      this.#pos = p + 5;
    } else {
      buf[p] = 0xd3;
      view.setBigInt64(p + 1, BigInt(v));
      this.#pos = p + 9;
    }
  }

  // Borg's int_to_bigint: what does not fit 64 bits is a raw of little-endian bytes.
  #bigintRaw(v: bigint): void {
    const bits = (v < 0n ? -v : v).toString(2).length;
    const n = Math.floor((bits + 9) / 8);
    const out = new Uint8Array(n);
    let rest = BigInt.asUintN(n * 8, v);
    for (let i = 0; i < n; i++) {
      out[i] = Number(rest & 0xffn);
      rest >>= 8n;
    }
    this.#rawHeader(n);
    this.#raw(out);
  }

  #intField(key: Uint8Array, v: number | bigint | undefined): number {
    if (v === undefined) return 0;
    this.#raw(key);
    this.#int(v);
    return 1;
  }

  #stringField(key: Uint8Array, v: string | null | undefined): number {
    if (v === undefined) return 0;
    this.#raw(key);
    if (v === null) this.#byte(0xc0);
    else this.#string(v);
    return 1;
  }

  #bytesField(key: Uint8Array, v: Uint8Array | undefined): number {
    if (v === undefined) return 0;
    this.#raw(key);
    this.#rawHeader(v.length);
    this.#raw(v);
    return 1;
  }

  #arrayHeader(n: number): void {
    this.#reserve(5);
    if (n < 16) this.#buf[this.#pos++] = 0x90 | n;
    else if (n < 65536) {
      this.#buf[this.#pos] = 0xdc;
      this.#view.setUint16(this.#pos + 1, n);
      this.#pos += 3;
    } else {
      this.#buf[this.#pos] = 0xdd;
      this.#view.setUint32(this.#pos + 1, n);
      this.#pos += 5;
    }
  }

  #chunksField(key: Uint8Array, chunks: ChunkRef[] | undefined): number {
    if (chunks === undefined) return 0;
    this.#raw(key);
    this.#arrayHeader(chunks.length);
    for (const c of chunks) {
      // An archive with any other could not be read by anything: rather none.
      if (c.id.length !== ID_BYTES) throw new RangeError(`a chunk id of ${c.id.length} bytes`);
      this.#byte(0x93);
      this.#rawHeader(c.id.length);
      this.#raw(c.id);
      this.#int(c.size);
      this.#int(c.csize);
    }
    return 1;
  }

  #xattrs(xattrs: Map<string, Uint8Array | null>): void {
    const entries = [...xattrs].map(([name, value]) => ({ name: fsEncode(name), value }));
    entries.sort((a, b) => compareBytes(a.name, b.name));
    this.#reserve(5);
    if (entries.length < 16) this.#byte(0x80 | entries.length);
    else {
      this.#byte(0xde);
      this.#reserve(2);
      this.#view.setUint16(this.#pos, entries.length);
      this.#pos += 2;
    }
    for (const { name, value } of entries) {
      this.#rawHeader(name.length);
      this.#raw(name);
      if (value === null) this.#byte(0xc0);
      else {
        this.#rawHeader(value.length);
        this.#raw(value);
      }
    }
  }
}

const chunkTuples = (chunks: ChunkRef[]): unknown[] => chunks.map((c) => [c.id, c.size, c.csize]);

function compareBytes(a: Uint8Array, b: Uint8Array): number {
  const n = Math.min(a.length, b.length);
  for (let i = 0; i < n; i++) if (a[i] !== b[i]) return a[i]! - b[i]!;
  return a.length - b.length;
}
