// Between the entries of the public API and the items of an archive; and contents of every accepted form as pieces.
import { S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFMT, S_IFREG } from "../archive/constants.ts";
import type { Item } from "../archive/item.ts";
import { makePathSafe } from "../archive/paths.ts";
import { ArgumentError } from "../errors.ts";
import { normPath } from "../format/paths.ts";
import { devMajor, devMinor, makedev } from "../runtime/index.ts";
import type { ArchiveItem, Content, DeviceNumbers, Entry, ItemType } from "./types.ts";

const types = new Map<number, ItemType>([
  [S_IFREG, "file"],
  [S_IFDIR, "directory"],
  [S_IFLNK, "symlink"],
  [S_IFIFO, "fifo"],
  [S_IFCHR, "char-device"],
  [S_IFBLK, "block-device"],
]);

export function itemOut(item: Item): ArchiveItem {
  const type = types.get(item.mode & S_IFMT) ?? "socket";
  let size = item.size ?? 0;
  if (item.size === undefined) for (const c of item.chunks ?? []) size += c.size;
  const out: ArchiveItem = { path: item.path, type, mode: item.mode & 0o7777, size };
  if (item.uid !== undefined) out.uid = item.uid;
  if (item.gid !== undefined) out.gid = item.gid;
  if (item.user) out.user = item.user;
  if (item.group) out.group = item.group;
  if (item.mtime !== undefined) out.mtime = item.mtime;
  if (item.source !== undefined) {
    if (type === "symlink") out.target = item.source;
    else out.hardlinkOf = item.source;
  }
  if (item.rdev !== undefined && (type === "char-device" || type === "block-device"))
    out.device = { major: devMajor(item.rdev), minor: devMinor(item.rdev) };
  if (item.xattrs) out.xattrs = new Map([...item.xattrs].map(([k, v]) => [k, v ?? new Uint8Array(0)]));
  if (item.chunks) out.chunks = item.chunks;
  return out;
}

/** Formats and default permissions of what an entry can be. */
const kinds: Record<NonNullable<Entry["type"]>, [format: number, permissions: number]> = {
  file: [S_IFREG, 0o644],
  "hard-link": [S_IFREG, 0o644],
  directory: [S_IFDIR, 0o755],
  symlink: [S_IFLNK, 0o777],
  fifo: [S_IFIFO, 0o644],
  "char-device": [S_IFCHR, 0o644],
  "block-device": [S_IFBLK, 0o644],
};

/** Items of one archive's entries, which may refer to each other. */
export class EntryReader {
  readonly #linked = new Map<string, Item>();

  /** @throws ArgumentError for a path that names nothing or leads out of the archive, a type that is none, a hard link
   *  to what was not announced as linked, a device without numbers */
  item(entry: Entry): Item {
    const path = insidePath(entry.path);
    const kind = Object.hasOwn(kinds, entry.type ?? "file") ? kinds[entry.type ?? "file"] : undefined;
    if (!kind) throw new ArgumentError(`An entry cannot be made of type ${String(entry.type)}.`);
    if (entry.type === "hard-link") return this.#furtherName(path, entry.target);
    const item: Item = {
      path,
      mode: kind[0] | ((entry.mode ?? kind[1]) & 0o7777),
      uid: entry.uid ?? 0,
      gid: entry.gid ?? 0,
      user: entry.user ?? null,
      group: entry.group ?? null,
      mtime: nanoseconds(entry.mtime ?? new Date()),
    };
    if (entry.type === "symlink") item.source = entry.target;
    if (entry.type === "char-device" || entry.type === "block-device") item.rdev = deviceNumber(entry.device);
    if (entry.xattrs?.size) item.xattrs = new Map(entry.xattrs);
    if (isFile(entry) && entry.linked) {
      item.hardlink_master = true;
      // Without the list of chunks that the original is given later.
      this.#linked.set(path, { ...item });
    }
    return item;
  }

  #furtherName(path: string, target: string): Item {
    const source = insidePath(target);
    const first = this.#linked.get(source);
    if (!first) throw new ArgumentError(`No file ${source} came before that says it is linked.`);
    return { ...first, path, source, hardlink_master: false };
  }
}

function insidePath(text: string): string {
  const path = makePathSafe(normPath(text));
  if (text === "" || path.includes("\0") || path.split("/").includes("..")) {
    throw new ArgumentError(`Not a path inside an archive: ${JSON.stringify(text)}`);
  }
  return path;
}

function deviceNumber(device: DeviceNumbers | undefined): number {
  const valid = (n: unknown, bits: number): boolean =>
    Number.isInteger(n) && (n as number) >= 0 && (n as number) < 2 ** bits;
  // Linux's own limits.
  if (!device || !valid(device.major, 12) || !valid(device.minor, 20))
    throw new ArgumentError("A device needs its major and minor number.");
  return makedev(device.major, device.minor);
}

/** Whether an entry brings contents. */
export function isFile(entry: Entry): entry is Extract<Entry, { content: Content }> {
  return entry.type === undefined || entry.type === "file";
}

const nanoseconds = (time: Date | bigint): bigint =>
  typeof time === "bigint" ? time : BigInt(time.getTime()) * 1_000_000n;

/** Contents as pieces; a signal ends the waiting for the next one. */
export async function* pieces(content: Content, signal?: AbortSignal): AsyncGenerator<Uint8Array> {
  if (typeof content === "string") yield new TextEncoder().encode(content);
  else if (content instanceof Uint8Array) yield content;
  else yield* interruptible(iterable(content), signal);
}

// A ReadableStream is async iterable everywhere but in the type.
const iterable = <T>(source: Iterable<T> | AsyncIterable<T> | ReadableStream<T>) =>
  source as Iterable<T> | AsyncIterable<T>;

/** The same items; waiting for the next one ends with the signal, and the source is told. */
export async function* interruptible<T>(
  source: Iterable<T> | AsyncIterable<T>,
  signal?: AbortSignal,
): AsyncGenerator<T> {
  signal?.throwIfAborted();
  const iterator: AsyncIterator<T> | Iterator<T> =
    Symbol.asyncIterator in source ? source[Symbol.asyncIterator]() : source[Symbol.iterator]();
  let give: (reason: unknown) => void = () => {};
  const aborted = new Promise<never>((_, reject) => {
    give = reject;
  });
  // Without a listener of its own a rejection after the end would count as unhandled.
  aborted.catch(() => {});
  const onAbort = () => give(signal?.reason);
  signal?.addEventListener("abort", onAbort, { once: true });
  let done = false;
  try {
    for (;;) {
      const next = await Promise.race([iterator.next(), aborted]);
      if (next.done) {
        done = true;
        return;
      }
      yield next.value;
    }
  } finally {
    signal?.removeEventListener("abort", onAbort);
    // Not waited for: a source that hangs in next() would never answer return() either.
    if (!done) void Promise.resolve(iterator.return?.()).catch(() => {});
  }
}
