// Reads items straight out of the bytes of an archive's item stream (msgpack maps, Borg's data-structures.rst)
// without building objects: a pass over a whole archive needs only path, type and link target of each item, and a
// stat needs only the attributes of one. What is not asked for is skipped. Values are checked for their type.

import { ItemFormatError, type ItemReader, TRUNCATED } from "./item-reader.ts";

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
