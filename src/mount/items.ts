// Reads items straight out of the bytes of an archive's item stream (msgpack maps, Borg's data-structures.rst)
// without building objects: a pass over a whole archive needs only path, type and link target of each item, and a
// stat needs only the attributes of one. What is not asked for is skipped. Values are checked for their type.

const TRUNCATED = new Error("truncated");
/** Bytes that are no item. */
export class ItemFormatError extends Error {}

const MAX_DEPTH = 16;

const names = [
  "path",
  "mode",
  "source",
  "uid",
  "gid",
  "user",
  "group",
  "mtime",
  "atime",
  "ctime",
  "rdev",
  "size",
  "chunks",
  "chunks_healthy",
  "hardlink_master",
  "part",
  "xattrs",
  "acl_access",
  "acl_default",
] as const;
export type FieldName = (typeof names)[number];

// Length, first and third byte tell these names apart; the candidate is then compared in full.
const slotOf = (n: number, first: number, third: number): number => (n * 5 + first * 3 + third * 7) & 127;
const table: { name: FieldName; bytes: Uint8Array }[][] = Array.from({ length: 128 }, () => []);
for (const name of names) {
  const bytes = Uint8Array.from(name, (c) => c.charCodeAt(0));
  table[slotOf(bytes.length, bytes[0]!, bytes[2]!)]!.push({ name, bytes });
}

/** A cursor over msgpack bytes. Reading over the end throws a sentinel that `isTruncated` knows. */
export class ItemReader {
  buffer: Uint8Array = new Uint8Array(0);
  #view = new DataView(this.buffer.buffer);
  position = 0;

  reset(buffer: Uint8Array, position = 0): void {
    if (buffer !== this.buffer) {
      this.buffer = buffer;
      this.#view = new DataView(buffer.buffer, buffer.byteOffset, buffer.byteLength);
    }
    this.position = position;
  }

  static isTruncated(e: unknown): boolean {
    return e === TRUNCATED;
  }

  #take(n: number): number {
    const at = this.position;
    if (at + n > this.buffer.length) throw TRUNCATED;
    this.position = at + n;
    return at;
  }

  /** Number of pairs of the map that begins here. */
  mapSize(): number {
    const b = this.buffer[this.#take(1)]!;
    if ((b & 0xf0) === 0x80) return b & 15;
    if (b === 0xde) return this.#view.getUint16(this.#take(2));
    if (b === 0xdf) return this.#view.getUint32(this.#take(4));
    throw new ItemFormatError("a map was expected");
  }

  arraySize(): number {
    const b = this.buffer[this.#take(1)]!;
    if ((b & 0xf0) === 0x90) return b & 15;
    if (b === 0xdc) return this.#view.getUint16(this.#take(2));
    if (b === 0xdd) return this.#view.getUint32(this.#take(4));
    throw new ItemFormatError("an array was expected");
  }

  /** Length of the byte string that begins here; −1 for nil. The bytes come next. */
  rawSize(): number {
    const b = this.buffer[this.#take(1)]!;
    if ((b & 0xe0) === 0xa0) return b & 31;
    switch (b) {
      case 0xc0:
        return -1;
      case 0xc4:
      case 0xd9:
        return this.buffer[this.#take(1)]!;
      case 0xc5:
      case 0xda:
        return this.#view.getUint16(this.#take(2));
      case 0xc6:
      case 0xdb:
        return this.#view.getUint32(this.#take(4));
    }
    throw new ItemFormatError("a byte string was expected");
  }

  /** The byte string that begins here, as a view; undefined for nil. */
  raw(): Uint8Array | undefined {
    const n = this.rawSize();
    if (n < 0) return undefined;
    const at = this.#take(n);
    return this.buffer.subarray(at, at + n);
  }

  /** Key of the next pair, undefined where it is none of ours. */
  key(): FieldName | undefined {
    const n = this.rawSize();
    if (n <= 0) return undefined;
    const at = this.#take(n);
    const buffer = this.buffer;
    if (n < 3) return undefined;
    candidates: for (const { name, bytes } of table[slotOf(n, buffer[at]!, buffer[at + 2]!)]!) {
      if (bytes.length !== n) continue;
      for (let i = 0; i < n; i++) if (bytes[i] !== buffer[at + i]) continue candidates;
      return name;
    }
    return undefined;
  }

  /** An integer; above 2^53 it loses its low bits. */
  number(): number {
    const b = this.buffer[this.#take(1)]!;
    if (b < 0x80) return b;
    if (b >= 0xe0) return b - 256;
    switch (b) {
      case 0xcc:
        return this.buffer[this.#take(1)]!;
      case 0xcd:
        return this.#view.getUint16(this.#take(2));
      case 0xce:
        return this.#view.getUint32(this.#take(4));
      case 0xcf: {
        const at = this.#take(8);
        return this.#view.getUint32(at) * 2 ** 32 + this.#view.getUint32(at + 4);
      }
      case 0xd0:
        return this.#view.getInt8(this.#take(1));
      case 0xd1:
        return this.#view.getInt16(this.#take(2));
      case 0xd2:
        return this.#view.getInt32(this.#take(4));
      case 0xd3:
        return Number(this.#view.getBigInt64(this.#take(8)));
    }
    throw new ItemFormatError("an integer was expected");
  }

  /** A time or device number: an integer, or (beyond 63 bits) Borg's little-endian two's complement bytes. */
  big(): bigint {
    const b = this.buffer[this.position];
    if (b === undefined) throw TRUNCATED;
    if (b === 0xcf) return this.#view.getBigUint64(this.#take(9) + 1);
    if (b === 0xd3) return this.#view.getBigInt64(this.#take(9) + 1);
    if (b < 0x80 || b >= 0xcc) {
      if (b < 0x80 || b >= 0xe0 || b <= 0xd3) return BigInt(this.number());
    }
    const raw = this.raw();
    if (!raw || raw.length > 16) throw new ItemFormatError("an integer was expected");
    let value = 0n;
    for (let i = raw.length - 1; i >= 0; i--) value = (value << 8n) | BigInt(raw[i]!);
    return BigInt.asIntN(8 * raw.length, value);
  }

  boolean(): boolean {
    const b = this.buffer[this.#take(1)]!;
    if (b === 0xc3) return true;
    if (b === 0xc2) return false;
    throw new ItemFormatError("a boolean was expected");
  }

  skip(depth = 0): void {
    if (depth > MAX_DEPTH) throw new ItemFormatError("nested too deeply");
    const b = this.buffer[this.position];
    if (b === undefined) throw TRUNCATED;
    if (b < 0x80 || b >= 0xe0 || b === 0xc0 || b === 0xc2 || b === 0xc3) {
      this.position++;
      return;
    }
    if (b < 0x90 || b === 0xde || b === 0xdf) {
      for (let n = 2 * this.mapSize(); n > 0; n--) this.skip(depth + 1);
      return;
    }
    if (b < 0xa0 || b === 0xdc || b === 0xdd) {
      for (let n = this.arraySize(); n > 0; n--) this.skip(depth + 1);
      return;
    }
    switch (b) {
      case 0xcc:
      case 0xd0:
        this.#take(2);
        return;
      case 0xcd:
      case 0xd1:
        this.#take(3);
        return;
      case 0xca:
      case 0xce:
      case 0xd2:
        this.#take(5);
        return;
      case 0xcb:
      case 0xcf:
      case 0xd3:
        this.#take(9);
        return;
    }
    this.#take(Math.max(0, this.rawSize()));
  }
}

/** What a pass over an archive keeps of an item: where path and link target are, and what kind of thing it is. */
export interface ScannedItem {
  pathFrom: number;
  pathLength: number;
  mode: number;
  /** −1 where there is none. */
  sourceFrom: number;
  sourceLength: number;
  hardlinkMaster: boolean | undefined;
  isPart: boolean;
  hasChunks: boolean;
}

export function newScannedItem(): ScannedItem {
  return {
    pathFrom: 0,
    pathLength: 0,
    mode: 0,
    sourceFrom: -1,
    sourceLength: 0,
    hardlinkMaster: undefined,
    isPart: false,
    hasChunks: false,
  };
}

/** Scans the item at the reader's position, which is behind it afterwards. Throws the truncation sentinel. */
export function scanItem(reader: ItemReader, out: ScannedItem): void {
  out.pathFrom = -1;
  out.mode = 0;
  out.sourceFrom = -1;
  out.hardlinkMaster = undefined;
  out.isPart = false;
  out.hasChunks = false;
  for (let n = reader.mapSize(); n > 0; n--) {
    switch (reader.key()) {
      case "path": {
        const raw = reader.raw();
        if (!raw) throw new ItemFormatError("an item without a path");
        out.pathLength = raw.length;
        out.pathFrom = reader.position - raw.length;
        break;
      }
      case "mode":
        out.mode = reader.number();
        break;
      case "source": {
        const raw = reader.raw();
        if (!raw) break;
        out.sourceLength = raw.length;
        out.sourceFrom = reader.position - raw.length;
        break;
      }
      case "hardlink_master":
        out.hardlinkMaster = reader.boolean();
        break;
      case "part":
        out.isPart = true;
        reader.skip();
        break;
      case "chunks":
        out.hasChunks = true;
        reader.skip();
        break;
      default:
        reader.skip();
    }
  }
  if (out.pathFrom < 0) throw new ItemFormatError("an item without a path");
}

/** The attributes of an item that stat shows. */
export interface ItemAttributes {
  mode: number;
  uid: number;
  gid: number;
  user: Uint8Array | undefined;
  group: Uint8Array | undefined;
  mtime: bigint;
  atime: bigint;
  ctime: bigint;
  rdev: bigint;
  size: number;
}

/** Attributes of the item at the reader's position. Where a time is missing, mtime stands for it. */
export function readAttributes(reader: ItemReader): ItemAttributes {
  const a: ItemAttributes = {
    mode: 0,
    uid: -1,
    gid: -1,
    user: undefined,
    group: undefined,
    mtime: 0n,
    atime: 0n,
    ctime: 0n,
    rdev: 0n,
    size: 0,
  };
  let atime: bigint | undefined;
  let ctime: bigint | undefined;
  let size: number | undefined;
  let targetLength = 0;
  let chunksAt = -1;
  for (let n = reader.mapSize(); n > 0; n--) {
    switch (reader.key()) {
      case "mode":
        a.mode = reader.number();
        break;
      case "uid":
        a.uid = reader.number();
        break;
      case "gid":
        a.gid = reader.number();
        break;
      case "user":
        a.user = reader.raw();
        break;
      case "group":
        a.group = reader.raw();
        break;
      case "mtime":
        a.mtime = reader.big();
        break;
      case "atime":
        atime = reader.big();
        break;
      case "ctime":
        ctime = reader.big();
        break;
      case "rdev":
        a.rdev = reader.big();
        break;
      case "size":
        size = reader.number();
        break;
      case "source":
        targetLength = Math.max(0, reader.rawSize());
        reader.position += targetLength;
        break;
      case "chunks":
        chunksAt = reader.position;
        reader.skip();
        break;
      default:
        reader.skip();
    }
  }
  a.atime = atime ?? a.mtime;
  a.ctime = ctime ?? a.mtime;
  if (size !== undefined) a.size = size;
  else if ((a.mode & 0o170000) === 0o120000) a.size = targetLength;
  else if (chunksAt >= 0) {
    const end = reader.position;
    reader.position = chunksAt;
    a.size = chunkList(reader).end;
    reader.position = end;
  }
  return a;
}

/** The chunks of a file: ids one after another, and where each chunk begins in the file. */
export interface ChunkList {
  count: number;
  /** 32 bytes a chunk. */
  ids: Uint8Array;
  /** count + 1 offsets; the last one is the file's size. */
  starts: Float64Array;
  /** Bytes in all. */
  end: number;
}

export const emptyChunkList: ChunkList = {
  count: 0,
  ids: new Uint8Array(0),
  starts: new Float64Array(1),
  end: 0,
};

/** The chunk list that begins at the reader's position: [id, size, csize] each. */
export function chunkList(reader: ItemReader): ChunkList {
  const count = reader.arraySize();
  // A chunk takes at least 36 bytes, so a hostile count cannot make a large allocation.
  if (count * 36 > reader.buffer.length - reader.position) throw TRUNCATED;
  const ids = new Uint8Array(count * 32);
  const starts = new Float64Array(count + 1);
  let end = 0;
  for (let i = 0; i < count; i++) {
    if (reader.arraySize() !== 3) throw new ItemFormatError("a chunk has an id and two sizes");
    const id = reader.raw();
    if (id?.length !== 32) throw new ItemFormatError("a chunk id has 32 bytes");
    ids.set(id, i * 32);
    const size = reader.number();
    if (!(size >= 0 && size <= 2 ** 32)) throw new ItemFormatError("the size of a chunk is not possible");
    end += size;
    starts[i + 1] = end;
    reader.number();
  }
  return { count, ids, starts, end };
}

/** Which of an item's parts are wanted: its raw values, as views into the reader's bytes. */
export interface ItemParts {
  source: Uint8Array | undefined;
  chunks: ChunkList | undefined;
  damaged: boolean;
  xattrs: [Uint8Array, Uint8Array][];
  aclAccess: Uint8Array | undefined;
  aclDefault: Uint8Array | undefined;
}

export function readParts(reader: ItemReader, withChunks: boolean): ItemParts {
  const parts: ItemParts = {
    source: undefined,
    chunks: undefined,
    damaged: false,
    xattrs: [],
    aclAccess: undefined,
    aclDefault: undefined,
  };
  for (let n = reader.mapSize(); n > 0; n--) {
    switch (reader.key()) {
      case "source":
        parts.source = reader.raw();
        break;
      case "chunks":
        if (withChunks && reader.buffer[reader.position] !== 0xc0) parts.chunks = chunkList(reader);
        else reader.skip();
        break;
      case "chunks_healthy":
        parts.damaged = true;
        reader.skip();
        break;
      case "xattrs":
        for (let m = reader.mapSize(); m > 0; m--) {
          const name = reader.raw();
          const value = reader.raw();
          if (name) parts.xattrs.push([name, value ?? new Uint8Array(0)]);
        }
        break;
      case "acl_access":
        parts.aclAccess = reader.raw();
        break;
      case "acl_default":
        parts.aclDefault = reader.raw();
        break;
      default:
        reader.skip();
    }
  }
  return parts;
}
