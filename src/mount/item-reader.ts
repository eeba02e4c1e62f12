// A cursor over the msgpack bytes of an archive's item stream (maps as in Borg's data-structures.rst), without building
// objects: keys are recognised by their bytes, values that nobody asked for are skipped, every value is checked for its
// type, and reading over the end is a sentinel of its own, as items may end in the next chunk.

/** What reading over the end throws. */
export const TRUNCATED = new Error("truncated");
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
