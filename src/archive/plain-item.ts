// The item of a plain file, of which most of an archive consists: the bytes that ItemEncoder would make of its fields, in
// one pass and one function, since what is called for each field costs more than the bytes.

/** What a regular file's item has that has neither attributes, ACLs, flags nor further names. Used again for each. */
export interface PlainFile {
  /** The path's bytes are [pathAt, pathEnd) of these; without leading slashes. */
  paths: Uint8Array;
  pathAt: number;
  pathEnd: number;
  mode: number;
  uid: number;
  gid: number;
  user: string | null;
  group: string | null;
  /** Upper and lower halves of the nanoseconds of modification, change and access. */
  readonly times: Uint32Array;
  hasChangeTime: boolean;
  hasAccessTime: boolean;
  /** Where the first id lies, and how far from one to the next. */
  ids: Uint8Array;
  idsAt: number;
  idStride: number;
  chunkCount: number;
  /** Size and compressed size of each chunk. */
  sizes: Uint32Array;
  size: number;
}

/** Encoded fields of a plain file that the next one is likely to have, too. */
export interface ConstantFields {
  mode: number;
  uid: number;
  gid: number;
  user: string | null;
  group: string | null;
  /** From gid to mode. */
  middle: Uint8Array;
  /** uid and user. */
  end: Uint8Array;
}

/** A key as fixraw: every key of an item is shorter than 32 bytes. */
export const rawKey = (name: string): Uint8Array =>
  Uint8Array.of(0xa0 | name.length, ...Array.from(name, (c) => c.charCodeAt(0)));

const ATIME = rawKey("atime");
const CHUNKS = rawKey("chunks");
const CTIME = rawKey("ctime");
const MTIME = rawKey("mtime");
const PATH = rawKey("path");
const SIZE = rawKey("size");

/** Keys, headers and numbers, and a chunk: at most. */
const FIXED_BYTES = 128;
const CHUNK_BYTES = 46;

/** Most bytes that encodePlain writes. */
export function plainBytes(file: PlainFile, { middle, end }: ConstantFields): number {
  const path = file.pathEnd - file.pathAt;
  return FIXED_BYTES + path + file.chunkCount * CHUNK_BYTES + middle.length + end.length;
}

/** Writes the item at `p`; `out` has room for plainBytes(). The position behind it. */
export function encodePlain(out: Uint8Array, p: number, file: PlainFile, fields: ConstantFields): number {
  const { times, ids, sizes, paths, pathAt, pathEnd, chunkCount, idStride } = file;
  out[p++] = 0x80 | (10 + (file.hasChangeTime ? 1 : 0) + (file.hasAccessTime ? 1 : 0));
  if (file.hasAccessTime) p = putTime(out, put(out, p, ATIME), times[4]!, times[5]!);
  p = put(out, p, CHUNKS);
  if (chunkCount < 16) out[p++] = 0x90 | chunkCount;
  else {
    const wide = chunkCount > 0xffff;
    out[p++] = wide ? 0xdd : 0xdc;
    if (wide) {
      out[p++] = chunkCount >>> 24;
      out[p++] = chunkCount >>> 16;
    }
    out[p++] = chunkCount >>> 8;
    out[p++] = chunkCount;
  }
  for (let i = 0, from = file.idsAt; i < chunkCount; i++, from += idStride) {
    out[p] = 0x93;
    out[p + 1] = 0xda;
    out[p + 2] = 0;
    out[p + 3] = 32;
    p += 4;
    for (let k = 0; k < 32; k++) out[p + k] = ids[from + k]!;
    p = putUint(out, p + 32, sizes[2 * i]!);
    p = putUint(out, p, sizes[2 * i + 1]!);
  }
  if (file.hasChangeTime) p = putTime(out, put(out, p, CTIME), times[2]!, times[3]!);
  p = put(out, p, fields.middle);
  p = putTime(out, put(out, p, MTIME), times[0]!, times[1]!);
  p = put(out, p, PATH);
  const length = pathEnd - pathAt;
  if (length < 32) out[p++] = 0xa0 | length;
  else {
    const wide = length > 0xffff;
    out[p++] = wide ? 0xdb : 0xda;
    if (wide) {
      out[p++] = length >>> 24;
      out[p++] = length >>> 16;
    }
    out[p++] = length >>> 8;
    out[p++] = length;
  }
  for (let i = pathAt; i < pathEnd; i++) out[p++] = paths[i]!;
  p = put(out, p, SIZE);
  const { size } = file;
  if (size < 0x1_0000_0000) p = putUint(out, p, size);
  else p = putTime(out, p, Math.floor(size / 0x1_0000_0000), size);
  return put(out, p, fields.end);
}

function put(out: Uint8Array, p: number, bytes: Uint8Array): number {
  const n = bytes.length;
  for (let i = 0; i < n; i++) out[p + i] = bytes[i]!;
  return p + n;
}

/** A number of 32 bits in its shortest form. */
function putUint(out: Uint8Array, p: number, n: number): number {
  if (n < 0x80) {
    out[p] = n;
    return p + 1;
  }
  if (n < 0x100) {
    out[p] = 0xcc;
    out[p + 1] = n;
    return p + 2;
  }
  if (n < 0x10000) {
    out[p] = 0xcd;
    out[p + 1] = n >>> 8;
    out[p + 2] = n;
    return p + 3;
  }
  out[p] = 0xce;
  out[p + 1] = n >>> 24;
  out[p + 2] = n >>> 16;
  out[p + 3] = n >>> 8;
  out[p + 4] = n;
  return p + 5;
}

/** A number of 64 bits in its shortest form. @param lo its lower 32 bits count */
function putTime(out: Uint8Array, p: number, hi: number, lo: number): number {
  if (hi === 0) return putUint(out, p, lo >>> 0);
  out[p] = 0xcf;
  out[p + 1] = hi >>> 24;
  out[p + 2] = hi >>> 16;
  out[p + 3] = hi >>> 8;
  out[p + 4] = hi;
  out[p + 5] = lo >>> 24;
  out[p + 6] = lo >>> 16;
  out[p + 7] = lo >>> 8;
  out[p + 8] = lo;
  return p + 9;
}
