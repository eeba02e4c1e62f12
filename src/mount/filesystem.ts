// An opened repository as a read-only file system: what FUSE and WebDAV ask for, over the tree, the loader and
// the chunk caches. Every method answers at once where everything is in memory, and with a promise otherwise.
// Views (names, chunk bytes) are valid until the next call. The behaviour is that of Borg's fuse.py.
import { fsDecode, fsEncode } from "../format/bytes.ts";
import { aclToXattr } from "./acl.ts";
import { ChunkCache } from "./chunk-cache.ts";
import { errno, S_IFDIR, S_IFLNK, S_IFMT, S_IFREG } from "./constants.ts";
import { ItemReader } from "./item-reader.ts";
import { type ChunkList, emptyChunkList, type ItemParts, readAttributes, readParts } from "./items.ts";
import { Loader, type LoadOptions } from "./loader.ts";
import { chunkAt, type OpenFile, OpenFiles } from "./open-files.ts";
import { type Attributes, encodeDevice } from "./protocol.ts";
import type { MountArchive, MountSource } from "./source.ts";
import { ROOT, SYNTHETIC, Tree } from "./tree.ts";

export type Maybe<T> = T | Promise<T>;

/** An answer that is an error number, positive. */
export class FsError extends Error {
  readonly errno: number;
  constructor(number: number, message = `errno ${number}`) {
    super(message);
    this.errno = number;
  }
}

export interface FileSystemOptions extends LoadOptions {
  /** Show only this archive, at the root. */
  archive?: MountArchive;
  numericIds?: boolean;
  uid?: number;
  gid?: number;
  /** For items whose owner is unknown, and for directories made up. */
  defaultUid: number;
  defaultGid: number;
  umask?: number;
  allowDamagedFiles?: boolean;
  /** Ids of this system's users and groups. */
  resolve?: { uid(name: string): number | undefined; gid(name: string): number | undefined };
  /** Bytes of decrypted file chunks kept. */
  dataCacheBytes?: number;
  metadataCacheBytes?: number;
  /** Chunks' memory is used again: what a method has returned is valid until begin() is called. */
  reuseMemory?: boolean;
  /** Nanoseconds since the epoch: mtime of directories made up. */
  now: bigint;
}

const MIB = 1 << 20;
/** Most files read ahead at a time, the bytes of their chunks together, and how many nodes are looked at for them. */
const AHEAD_FILES = 32;
const AHEAD_BYTES = 512 << 10;
const AHEAD_NODES = 128;

const isPromise = <T>(value: Maybe<T>): value is Promise<T> => value instanceof Promise;

/** f of a value that may still be under way. (A module that exports `then` could not be imported lazily.) */
export function whenThere<T, U>(value: Maybe<T>, f: (value: T) => Maybe<U>): Maybe<U> {
  return isPromise(value) ? value.then(f) : f(value);
}

export class FileSystem {
  readonly tree = new Tree();
  readonly #options: FileSystemOptions;
  readonly #source: MountSource;
  readonly #metadata: ChunkCache;
  readonly #data: ChunkCache;
  readonly #loader: Loader;
  readonly #pending = new Map<number, MountArchive>();
  readonly #loading = new Map<number, Promise<void>>();
  readonly #times: bigint[];
  readonly #reader = new ItemReader();
  readonly #open = new OpenFiles();
  /** The file that was read to its end last, how many files are read ahead behind it, and up to which node they are. */
  #wholeFile = 0;
  #ahead = 1;
  #aheadTo = 0;
  readonly #uids = new Map<string, number>();
  readonly #gids = new Map<string, number>();

  constructor(source: MountSource, options: FileSystemOptions) {
    this.#source = source;
    this.#options = options;
    this.#times = [options.now];
    this.#metadata = new ChunkCache(source, options.metadataCacheBytes ?? 2 * MIB, options.reuseMemory);
    this.#data = new ChunkCache(source, options.dataCacheBytes ?? 8 * MIB, options.reuseMemory);
    this.#loader = new Loader(source, this.tree, this.#metadata, options);
  }

  /** Makes the first level: the one archive, all archives to be loaded when looked at, or all their versions. */
  async start(): Promise<void> {
    const { archive, versions } = this.#options;
    this.tree.describe(ROOT, S_IFDIR | 0o755, SYNTHETIC, 0);
    if (archive) {
      await this.#loader.load(archive, ROOT);
      return;
    }
    const archives = this.#source.archives();
    if (versions) {
      for (const one of archives) await this.#loader.load(one, ROOT);
      return;
    }
    for (const one of archives) {
      const name = fsEncode(one.name.replaceAll("/", "_"));
      if (name.length === 0 || one.name === "." || one.name === ".." || name.includes(0)) {
        this.#options.log?.("warning", `mount: archive ${JSON.stringify(one.name)} has no possible name`);
        continue;
      }
      this.#times.push(one.timeNs);
      const node = this.tree.add(ROOT, name, S_IFDIR | 0o755, SYNTHETIC, this.#times.length - 1);
      this.#pending.set(node, one);
    }
  }

  /** What was returned before is not read any more. To be called before each request (and reading ahead). */
  begin(): void {
    this.#data.settle();
    this.#metadata.settle();
  }

  /** Makes sure that a directory's entries are known. */
  ready(directory: number): Maybe<void> {
    if (!this.tree.isDirectory(directory)) throw new FsError(errno.ENOTDIR);
    const archive = this.#pending.get(directory);
    if (!archive) {
      this.tree.settle(directory);
      return undefined;
    }
    let loading = this.#loading.get(directory);
    if (!loading) {
      loading = this.#loader
        .load(archive, directory)
        .then(() => {
          this.#pending.delete(directory);
          this.tree.settle(directory);
        })
        .catch((e: unknown) => {
          this.#options.log?.("warning", `mount: archive ${archive.name}: ${(e as Error).message}`);
          throw e instanceof FsError ? e : new FsError(errno.EIO, (e as Error).message);
        })
        .finally(() => this.#loading.delete(directory));
      this.#loading.set(directory, loading);
    }
    return loading;
  }

  /** Inode of a name, 0 if there is none. */
  lookup(directory: number, name: Uint8Array): Maybe<number> {
    const ready = this.ready(directory);
    if (ready) {
      const copy = name.slice();
      return ready.then(() => this.#find(directory, copy));
    }
    return this.#find(directory, name);
  }

  #find(directory: number, name: Uint8Array): number {
    if (name[0] === 0x2e && name.length === 1) return directory;
    if (name[0] === 0x2e && name[1] === 0x2e && name.length === 2) return this.tree.parent(directory);
    const node = this.tree.find(directory, name);
    return node && this.tree.inode(node);
  }

  attributes(node: number): Maybe<Attributes> {
    const slot = this.tree.slot(node);
    if (slot === SYNTHETIC) return this.#madeUp(node);
    return whenThere(this.#loader.bytes(slot), (bytes) => this.#decode(node, bytes));
  }

  #madeUp(node: number): Attributes {
    const o = this.#options;
    const time = this.#times[this.tree.offset(node)] ?? o.now;
    return {
      mode: this.tree.mode(node) & ~(o.umask ?? 0),
      // 1 says "number of subdirectories unknown" to find and its like.
      nlink: this.#pending.has(node) ? 1 : this.tree.linkCount(node),
      uid: o.uid ?? o.defaultUid,
      gid: o.gid ?? o.defaultGid,
      rdev: 0,
      size: 0,
      mtime: time,
      atime: time,
      ctime: time,
    };
  }

  #decode(node: number, bytes: Uint8Array | undefined): Maybe<Attributes> {
    const a = readAttributes(this.#at(node, bytes));
    const o = this.#options;
    let uid = o.uid;
    let gid = o.gid;
    if (uid === undefined) {
      uid = (a.user && !o.numericIds ? this.#id(this.#uids, a.user, o.resolve?.uid) : undefined) ?? a.uid;
      if (uid < 0) uid = o.defaultUid;
    }
    if (gid === undefined) {
      gid = (a.group && !o.numericIds ? this.#id(this.#gids, a.group, o.resolve?.gid) : undefined) ?? a.gid;
      if (gid < 0) gid = o.defaultGid;
    }
    const attributes: Attributes = {
      mode: a.mode & 0xffff & ~(o.umask ?? 0),
      nlink: this.tree.linkCount(node),
      uid,
      gid,
      rdev: encodeDevice(a.rdev),
      size: Math.max(0, a.size),
      mtime: a.mtime,
      atime: a.atime,
      ctime: a.ctime,
    };
    if (!this.#loader.chunksFrom.has(node)) return attributes;
    return whenThere(this.#chunks(node), (chunks) => {
      attributes.size = chunks.end;
      return attributes;
    });
  }

  /** Id of a user or group name on this system; −1 in the map stands for none. */
  #id(known: Map<string, number>, name: Uint8Array, resolve?: (name: string) => number | undefined) {
    if (!resolve) return undefined;
    const key = Buffer.from(name.buffer, name.byteOffset, name.byteLength).toString("latin1");
    let id = known.get(key);
    if (id === undefined) {
      id = resolve(fsDecode(name)) ?? -1;
      known.set(key, id);
    }
    return id < 0 ? undefined : id;
  }

  /** The reader at a node's item. */
  #at(node: number, bytes: Uint8Array | undefined, offset = this.tree.offset(node)): ItemReader {
    if (!bytes) throw new FsError(errno.EIO, "metadata of the archive is missing");
    this.#reader.reset(bytes, offset);
    return this.#reader;
  }

  #parts(node: number, withChunks: boolean): Maybe<ItemParts | undefined> {
    const slot = this.tree.slot(node);
    if (slot === SYNTHETIC) return undefined;
    return whenThere(this.#loader.bytes(slot), (bytes) => readParts(this.#at(node, bytes), withChunks));
  }

  readlink(node: number): Maybe<Uint8Array> {
    if ((this.tree.mode(node) & S_IFMT) !== S_IFLNK) throw new FsError(errno.EINVAL);
    return whenThere(this.#parts(node, false), (parts) => {
      if (!parts?.source) throw new FsError(errno.EIO, "a symlink without a target");
      return parts.source;
    });
  }

  /** Extended attributes as (name, value), ACLs in their binary form among them. */
  xattrs(node: number): Maybe<[Uint8Array, Uint8Array][]> {
    return whenThere(this.#parts(node, false), (parts) => {
      if (!parts) return [];
      const { resolve, numericIds } = this.#options;
      const all = parts.xattrs.filter(([name]) => name.length > 0 && name.length <= 255 && !name.includes(0));
      const acl = (text: Uint8Array | undefined, name: string): void => {
        const value = text && aclToXattr(fsDecode(text), numericIds ? undefined : resolve);
        if (value) all.push([fsEncode(name), value]);
      };
      acl(parts.aclAccess, "system.posix_acl_access");
      acl(parts.aclDefault, "system.posix_acl_default");
      return all;
    });
  }

  #file(node: number): Maybe<OpenFile> {
    const known = this.#open.use(node);
    return known ?? whenThere(this.#chunks(node), (chunks) => this.#open.keep({ node, chunks, readTo: 0 }));
  }

  #chunks(node: number): Maybe<ChunkList> {
    const elsewhere = this.#loader.chunksFrom.get(node);
    if (elsewhere) {
      return whenThere(this.#loader.bytes(elsewhere.slot), (bytes) =>
        this.#checked(readParts(this.#at(node, bytes, elsewhere.offset), true)),
      );
    }
    return whenThere(this.#parts(node, true), (parts) => (parts ? this.#checked(parts) : emptyChunkList));
  }

  #checked(parts: ItemParts): ChunkList {
    if (parts.damaged && !this.#options.allowDamagedFiles) {
      throw new FsError(errno.EIO, "the file has damaged chunks (all zero); -o allow_damaged_files shows it");
    }
    return parts.chunks ?? emptyChunkList;
  }

  /** Up to `size` bytes of a file from `offset`, in pieces; fewer only at the end of the file. */
  read(node: number, offset: number, size: number): Maybe<Uint8Array[]> {
    const type = this.tree.mode(node) & S_IFMT;
    if (type === S_IFDIR) throw new FsError(errno.EISDIR);
    if (type !== S_IFREG) throw new FsError(errno.EINVAL);
    return whenThere(this.#file(node), (file) => {
      const { chunks } = file;
      const end = Math.min(offset + size, chunks.end);
      if (offset >= end) return [];
      const sequential = offset === file.readTo;
      file.readTo = end;
      return this.#collect(file, chunkAt(chunks, offset), offset, end, sequential, []);
    });
  }

  #collect(
    file: OpenFile,
    index: number,
    offset: number,
    end: number,
    sequential: boolean,
    pieces: Uint8Array[],
  ): Maybe<Uint8Array[]> {
    const { chunks } = file;
    for (let i = index; offset < end; i++) {
      const id = chunks.ids.subarray(i * 32, i * 32 + 32);
      const to = Math.min(chunks.starts[i + 1]!, end);
      if (to <= offset) continue; // a chunk of no bytes
      const data = this.#data.get(id);
      if (isPromise(data)) {
        const at = offset;
        return data.then((d) => {
          pieces.push(this.#piece(chunks, i, d, at, to));
          return this.#collect(file, i + 1, to, end, sequential, pieces);
        });
      }
      pieces.push(this.#piece(chunks, i, data, offset, to));
      // What was read to its end by someone who reads on will hardly be read again: the kernel has it cached.
      if (sequential && to === chunks.starts[i + 1]) this.#data.finished(id);
      offset = to;
    }
    return pieces;
  }

  #piece(chunks: ChunkList, i: number, data: Uint8Array | undefined, offset: number, to: number): Uint8Array {
    const start = chunks.starts[i]!;
    const size = chunks.starts[i + 1]! - start;
    if (data?.length === size) return data.subarray(offset - start, to - start);
    if (!this.#options.allowDamagedFiles) {
      throw new FsError(
        errno.EIO,
        data ? "a chunk has another size than its item says" : "a chunk is missing",
      );
    }
    const zeros = new Uint8Array(to - offset);
    if (data) zeros.set(data.subarray(offset - start, Math.min(to - start, data.length)));
    return zeros;
  }

  /** Prepares for what will probably be read after what was read of this file; called when the answer is out.
   *  @returns whether there may be more to prepare */
  readAhead(node: number): boolean {
    const file = this.#open.get(node);
    if (!file) return false;
    const { chunks, readTo } = file;
    if (readTo >= chunks.end) {
      this.#aheadOfNext(node);
      return false;
    }
    // The chunk after the one being read: a READ is a small part of a chunk.
    const next = chunkAt(chunks, readTo) + (chunks.starts[chunkAt(chunks, readTo)]! < readTo ? 1 : 0);
    if (next < chunks.count) this.#data.prefetch([chunks.ids.subarray(next * 32, next * 32 + 32)]);
    return false;
  }

  /** A file was read whole. Whoever reads a tree goes on with the next file of the archive: the more files were read
   *  in their order, the more of those that follow are fetched at once, which costs a third of fetching each alone. */
  #aheadOfNext(node: number): void {
    const inOrder = node > this.#wholeFile && node <= this.#wholeFile + AHEAD_NODES;
    this.#wholeFile = node;
    if (!inOrder) {
      this.#ahead = 1;
      this.#aheadTo = node;
    }
    if (node < this.#aheadTo) return;
    if (inOrder) this.#ahead = Math.min(AHEAD_FILES, this.#ahead * 2);
    const wanted: Uint8Array[] = [];
    let bytes = 0;
    let next = node + 1;
    for (; next <= node + AHEAD_NODES && wanted.length < this.#ahead && bytes < AHEAD_BYTES; next++) {
      const first = this.#firstChunk(next);
      if (!first) continue;
      wanted.push(first.id);
      bytes += first.size;
    }
    this.#aheadTo = next - 1;
    this.#data.prefetch(wanted);
  }

  /** The first chunk of a file that can be looked at without waiting. */
  #firstChunk(node: number): { id: Uint8Array; size: number } | undefined {
    if (!this.tree.exists(node) || (this.tree.mode(node) & S_IFMT) !== S_IFREG) return undefined;
    if (this.tree.inode(node) !== node || this.tree.slot(node) === SYNTHETIC) return undefined;
    try {
      const file = this.#file(node);
      if (isPromise(file)) {
        file.catch(() => undefined);
        return undefined;
      }
      const { chunks } = file;
      return chunks.count ? { id: chunks.ids.subarray(0, 32), size: chunks.starts[1]! } : undefined;
    } catch {
      return undefined; // whatever is wrong with that item is told to the one who reads it
    }
  }

  /** Figures for SIGUSR1 and SIGINFO: one line each. */
  report(): string[] {
    const { nodes, bytes } = this.tree.statistics;
    const m = this.#loader.statistics;
    const d = this.#data.statistics;
    const c = this.#metadata.statistics;
    const mib = (n: number) => `${(n / MIB).toFixed(1)} MiB`;
    return [
      `mount: ${nodes} nodes in ${mib(bytes)}, ${this.#pending.size} archives not looked at yet`,
      `mount: ${m.metadataChunks} metadata chunks, ${m.copiedItems} items over two of them (${mib(m.copiedBytes)})`,
      `mount: metadata cache ${c.chunks} chunks, ${mib(c.bytes)} of ${mib(c.limit)}, ${c.reads} reads`,
      `mount: data cache ${d.chunks} chunks, ${mib(d.bytes)} of ${mib(d.limit)}, ${d.reads} reads`,
    ];
  }
}
