// An archive as a tar stream, in GNU format byte for byte as Borg's export-tar writes it, or in PAX format with
// extended attributes and ACLs. Hard links whose master is left out become files with the content (Borg's _export_tar).
import { fsEncode } from "../format/bytes.ts";
import { type TarWriteEntry, TarWriter } from "../format/tar.ts";
import type { Archive } from "./archive.ts";
import {
  isDirectory,
  isFifo,
  isHardlinkable,
  isRegular,
  isSymlink,
  S_IFBLK,
  S_IFCHR,
  S_IFMT,
} from "./constants.ts";
import type { ChunkRef, Item } from "./item.ts";
import { itemSize } from "./item-size.ts";
import { preloadedBatches } from "./preload.ts";

export interface TarExportOptions {
  format?: "gnu" | "pax";
  matches?: (path: string) => boolean;
  /** Not all of the archive is wanted. */
  partial?: boolean;
  stripComponents?: number;
  parts?: boolean;
  onItem?: (path: string) => void;
  onBytes?: (bytes: number, path: string) => void;
  /** An item of a kind that tar does not know. */
  onUnsupported?: (path: string, type: number) => void;
  signal?: AbortSignal;
}

/** What a hard link needs that comes later: the chunks of a master that was left out, or where its content went. */
interface Master {
  chunks: ChunkRef[] | undefined;
  name: string | undefined;
}

export async function exportTar(
  archive: Archive,
  write: (bytes: Uint8Array) => void | Promise<void>,
  options: TarExportOptions,
): Promise<void> {
  const tar = new TarWriter(write, options.format ?? "gnu");
  const strip = options.stripComponents ?? 0;
  const partial = (options.partial ?? false) || strip > 0;
  const masters = partial ? new Map<string, Master>() : undefined;
  const wanted = (item: Item) => stripped(item.path, strip) !== "" && (options.matches?.(item.path) ?? true);
  for await (const batch of preloadedBatches(archive, { parts: options.parts ?? false }, wanted)) {
    options.signal?.throwIfAborted();
    for (const item of batch) {
      const name = stripped(item.path, strip);
      if (name === "" || !(options.matches?.(item.path) ?? true)) {
        if (
          masters &&
          isHardlinkable(item.mode) &&
          (item.hardlink_master ?? true) &&
          item.source === undefined
        ) {
          masters.set(item.path, { chunks: item.chunks, name: undefined });
        }
        continue;
      }
      const member = toMember(item, name, strip, masters);
      if (!member) {
        options.onUnsupported?.(item.path, item.mode & S_IFMT);
        continue;
      }
      options.onItem?.(item.path);
      if (options.format === "pax") member.entry.pax = paxRecords(item);
      await tar.entry(member.entry);
      if (member.chunks?.length) await content(archive, tar, item.path, member.chunks, options);
    }
  }
  await tar.finish();
}

/** Bytes of content that exportTar will write, for a progress display. */
export async function exportedSize(archive: Archive, options: TarExportOptions): Promise<number> {
  let total = 0;
  const wanted = new Set(["mode", "size", "chunks"]);
  for await (const batch of archive.itemBatches({ wanted, parts: options.parts ?? false })) {
    for (const item of batch) {
      if (isRegular(item.mode) && (options.matches?.(item.path) ?? true)) total += itemSize(item);
    }
  }
  return total;
}

function stripped(path: string, n: number): string {
  return n === 0 ? path : path.split("/").slice(n).join("/");
}

async function content(
  archive: Archive,
  tar: TarWriter,
  path: string,
  chunks: readonly ChunkRef[],
  options: TarExportOptions,
): Promise<void> {
  for await (const data of archive.objects.getMany(
    chunks.map((c) => c.id),
    true,
  )) {
    options.signal?.throwIfAborted();
    await tar.data(data);
    options.onBytes?.(data.length, path);
  }
}

interface Member {
  entry: TarWriteEntry;
  chunks?: ChunkRef[];
}

function toMember(
  item: Item,
  name: string,
  strip: number,
  masters: Map<string, Master> | undefined,
): Member | undefined {
  const base = {
    name,
    mode: item.mode & 0o7777,
    uid: item.uid ?? 0,
    gid: item.gid ?? 0,
    uname: item.user ?? "",
    gname: item.group ?? "",
    mtime: item.mtime ?? 0n,
  };
  const { mode } = item;
  if (isRegular(mode)) return fileMember(item, base, strip, masters);
  if (isDirectory(mode)) return { entry: { ...base, type: "dir" } };
  if (isSymlink(mode)) return { entry: { ...base, type: "symlink", linkname: item.source ?? "" } };
  if (isFifo(mode)) return { entry: { ...base, type: "fifo" } };
  const kind = mode & S_IFMT;
  if (kind !== S_IFBLK && kind !== S_IFCHR) return undefined;
  const [devmajor, devminor] = deviceNumbers(item.rdev ?? 0);
  return { entry: { ...base, type: kind === S_IFBLK ? "block" : "char", devmajor, devminor } };
}

function fileMember(
  item: Item,
  base: Omit<TarWriteEntry, "type">,
  strip: number,
  masters: Map<string, Master> | undefined,
): Member {
  const whole = (chunks: ChunkRef[], size: number): Member => ({
    entry: { ...base, type: "file", size } as TarWriteEntry,
    chunks,
  });
  const { source } = item;
  if (source === undefined) return whole(item.chunks ?? [], itemSize(item));
  const master = masters?.get(source);
  const link = master ? master.name : stripped(source, strip);
  if (link) return { entry: { ...base, type: "hardlink", linkname: link } as TarWriteEntry };
  const chunks = master?.chunks ?? [];
  // The first link to a master that was left out carries the content, and is what the next ones link to.
  masters!.set(source, { chunks: undefined, name: base.name as string });
  return whole(
    chunks,
    chunks.reduce((n, c) => n + c.size, 0),
  );
}

/** glibc's major() and minor(). */
export function deviceNumbers(rdev: number | bigint): [major: number, minor: number] {
  const n = BigInt(rdev);
  const major = ((n >> 8n) & 0xfffn) | ((n >> 32n) & ~0xfffn);
  const minor = (n & 0xffn) | ((n >> 12n) & 0xffffff00n);
  return [Number(major), Number(minor)];
}

/** Attributes and ACLs under the names that star, GNU tar and bsdtar use. */
function paxRecords(item: Item): Map<string, Uint8Array> {
  const records = new Map<string, Uint8Array>();
  for (const [name, value] of item.xattrs ?? [])
    records.set(`SCHILY.xattr.${name}`, value ?? new Uint8Array(0));
  if (item.acl_access) records.set("SCHILY.acl.access", item.acl_access);
  if (item.acl_default) records.set("SCHILY.acl.default", item.acl_default);
  for (const name of ["atime", "ctime"] as const) {
    const ns = item[name];
    if (ns !== undefined) records.set(name, fsEncode(seconds(ns)));
  }
  return records;
}

function seconds(ns: bigint): string {
  const fraction = (((ns % 1_000_000_000n) + 1_000_000_000n) % 1_000_000_000n).toString().padStart(9, "0");
  const whole = (ns - BigInt(fraction)) / 1_000_000_000n;
  return `${whole}.${fraction}`;
}
