// A tar stream as an archive: Borg's import-tar. Names are made safe, contents are chunked as create does; extended
// attributes and ACLs of PAX archives are kept, which Borg drops.
import type { ChunkerParams } from "../chunker/index.ts";
import { fsDecode } from "../format/bytes.ts";
import { normPath } from "../format/paths.ts";
import { type TarEntry, TarReader } from "../format/tar.ts";
import { S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFREG } from "./constants.ts";
import type { Item } from "./item.ts";
import { makePathSafe } from "./paths.ts";
import type { Statistics } from "./stats.ts";
import { StreamChunker } from "./stream-chunker.ts";
import type { ArchiveWriter } from "./writer.ts";

export interface TarImportOptions {
  chunker: ChunkerParams;
  ignoreZeros?: boolean;
  /** Seconds; 0 for none. */
  checkpointInterval?: number;
  onStatus?: (status: string, path: string) => void;
  onUnsupported?: (path: string, flag: string) => void;
  onProgress?: (stats: Statistics, path: string) => void;
  signal?: AbortSignal;
}

const kinds: Record<Exclude<TarEntry["type"], "other">, readonly [status: string, type: number]> = {
  file: ["A", S_IFREG],
  hardlink: ["h", S_IFREG],
  symlink: ["s", S_IFLNK],
  dir: ["d", S_IFDIR],
  block: ["b", S_IFBLK],
  char: ["c", S_IFCHR],
  fifo: ["f", S_IFIFO],
};

// Borg's range of file times: seconds of a signed 32-bit number, two days less.
const MAX_NS = (2n ** 31n - 1n - 48n * 3600n) * 1_000_000_000n;

/** Adds every member to the archive; the caller saves it. */
export async function importTar(
  writer: ArchiveWriter,
  source: AsyncIterable<Uint8Array>,
  options: TarImportOptions,
): Promise<void> {
  const { store } = writer;
  const chunker = new StreamChunker(store.objects.core, options.chunker, store.objects.key.chunkSeed);
  const interval = (options.checkpointInterval ?? 0) * 1000;
  let lastCheckpoint = performance.now();
  const reader = new TarReader(source, { ignoreZeros: options.ignoreZeros ?? false });
  for (let entry = await reader.next(); entry; entry = await reader.next()) {
    options.signal?.throwIfAborted();
    if (entry.type === "other") {
      options.onUnsupported?.(entry.name, entry.flag);
      options.onStatus?.("E", entry.name);
      continue;
    }
    const [status, type] = kinds[entry.type];
    const item = toItem(entry, type);
    options.onStatus?.(status, entry.type === "file" ? item.path : entry.name);
    if (entry.type === "file") {
      item.chunks = [];
      let size = 0;
      for await (const data of chunker.chunks(entry.content())) {
        options.signal?.throwIfAborted();
        item.chunks.push(await store.addData(data, store.stats));
        size += data.length;
        options.onProgress?.(store.stats, item.path);
      }
      item.size = size;
      store.stats.nfiles++;
    }
    await writer.add(item);
    options.onProgress?.(store.stats, item.path);
    if (interval && performance.now() - lastCheckpoint > interval) {
      await writer.checkpoint(store.stats);
      lastCheckpoint = performance.now();
    }
  }
}

function toItem(entry: TarEntry, type: number): Item {
  const mtime = entry.mtime < 0n ? 0n : entry.mtime > MAX_NS ? MAX_NS : entry.mtime;
  const item: Item = {
    path: makePathSafe(normPath(entry.name)),
    mode: entry.mode | type,
    uid: entry.uid,
    gid: entry.gid,
    user: entry.uname || null,
    group: entry.gname || null,
    mtime,
  };
  // A hard link names a member of this tar, so its target is normalised like the members' own names.
  if (entry.type === "symlink") item.source = entry.linkname;
  else if (entry.type === "hardlink") item.source = makePathSafe(normPath(entry.linkname));
  else if (entry.type === "char" || entry.type === "block")
    item.rdev = makedev(entry.devmajor, entry.devminor);
  const xattrs = new Map<string, Uint8Array | null>();
  for (const [key, value] of entry.pax) {
    if (key.startsWith("SCHILY.xattr."))
      xattrs.set(key.slice("SCHILY.xattr.".length), value.length ? value : null);
    else if (key === "SCHILY.acl.access") item.acl_access = value;
    else if (key === "SCHILY.acl.default") item.acl_default = value;
    else if (key === "atime" || key === "ctime") {
      const ns = nanoseconds(fsDecode(value));
      if (ns !== undefined) item[key] = ns;
    }
  }
  if (xattrs.size) item.xattrs = xattrs;
  return item;
}

function nanoseconds(text: string): bigint | undefined {
  const m = /^(\d{1,10})(?:\.(\d*))?$/.exec(text);
  if (!m) return undefined;
  const ns = BigInt(m[1]!) * 1_000_000_000n + BigInt((m[2] ?? "").slice(0, 9).padEnd(9, "0"));
  return ns > MAX_NS ? MAX_NS : ns;
}

/** glibc's makedev. */
function makedev(major: number, minor: number): number | bigint {
  const [M, m] = [BigInt(major), BigInt(minor)];
  const n = (m & 0xffn) | ((M & 0xfffn) << 8n) | ((m & ~0xffn) << 12n) | ((M & ~0xfffn) << 32n);
  return n <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(n) : n;
}
