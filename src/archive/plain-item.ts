// The item of a plain file, of which most of an archive consists: the bytes that ItemEncoder would make of its fields, in
// one pass and one function, since what is called for each field costs more than the bytes.
import { writeUint } from "../format/msgpack-uint.ts";

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
  if (file.hasAccessTime) p = writeUint(out, put(out, p, ATIME), times[4]!, times[5]!);
  p = put(out, p, CHUNKS);
  p = putHead(out, p, chunkCount, 0x90, 16, 0xdc);
  for (let i = 0, from = file.idsAt; i < chunkCount; i++, from += idStride) {
    out[p] = 0x93;
    out[p + 1] = 0xda;
    out[p + 2] = 0;
    out[p + 3] = 32;
    p += 4;
    for (let k = 0; k < 32; k++) out[p + k] = ids[from + k]!;
    p = writeUint(out, p + 32, 0, sizes[2 * i]!);
    p = writeUint(out, p, 0, sizes[2 * i + 1]!);
  }
  if (file.hasChangeTime) p = writeUint(out, put(out, p, CTIME), times[2]!, times[3]!);
  p = put(out, p, fields.middle);
  p = writeUint(out, put(out, p, MTIME), times[0]!, times[1]!);
  p = put(out, p, PATH);
  p = putHead(out, p, pathEnd - pathAt, 0xa0, 32, 0xda);
  for (let i = pathAt; i < pathEnd; i++) out[p++] = paths[i]!;
  p = put(out, p, SIZE);
  p = writeUint(out, p, Math.floor(file.size / 0x1_0000_0000), file.size);
  return put(out, p, fields.end);
}

function put(out: Uint8Array, p: number, bytes: Uint8Array): number {
  const n = bytes.length;
  for (let i = 0; i < n; i++) out[p + i] = bytes[i]!;
  return p + n;
}

/** The head of an array or of raw bytes. @param fix the code that holds small lengths itself, below `limit`
 *  @param code of those with 16 bits; the next one is of those with 32 */
function putHead(
  out: Uint8Array,
  p: number,
  length: number,
  fix: number,
  limit: number,
  code: number,
): number {
  if (length < limit) {
    out[p] = fix | length;
    return p + 1;
  }
  const wide = length > 0xffff;
  out[p++] = wide ? code + 1 : code;
  for (let shift = wide ? 24 : 8; shift >= 0; shift -= 8) out[p++] = length >>> shift;
  return p;
}
