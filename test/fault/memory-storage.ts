// A file system in memory: what the crash simulator and the fault injector run on, so that thousands of disks cost what
// their differences cost. Snapshots share all contents; bytes that two disks share are never changed in place. Errors are
// those of a real directory (the conformance test in storage-conformance.test.ts compares both).
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { writeAtomically } from "../../src/storage/atomic.ts";
import type { ReadHandle, Storage, StorageStat, WriteHandle } from "../../src/storage/types.ts";

/** Contents of a file, which may have several names. */
export interface FileNode {
  /** Room; the contents are its first `size` bytes. */
  bytes: Uint8Array;
  size: number;
  /** The bytes belong to other disks, too. */
  shared: boolean;
  links: number;
  mtimeNs: bigint;
}

/** Absolute path → file or directory. */
export type DiskEntries = Map<string, FileNode | "dir">;

const EMPTY = new Uint8Array(0);
let clock = 1_700_000_000_000_000_000n;

export function fileNode(bytes: Uint8Array = EMPTY): FileNode {
  return { bytes, size: bytes.length, shared: true, links: 1, mtimeNs: clock++ };
}

function fail(code: string, syscall: string, path: string): never {
  // Most of these are expected; taking down where they come from was a tenth of the simulator's time.
  const { stackTraceLimit } = Error;
  Error.stackTraceLimit = 0;
  const error = new Error(`${code}: ${syscall} '${path}'`);
  Error.stackTraceLimit = stackTraceLimit;
  throw Object.assign(error, { code, syscall, path });
}

export class Disk {
  readonly entries: DiskEntries;
  /** Bytes that the disk holds at most; writes beyond fail with ENOSPC. */
  capacity = Number.POSITIVE_INFINITY;

  constructor(entries: DiskEntries = new Map([["/", "dir"]])) {
    this.entries = entries;
  }

  /** Another disk with the same contents. */
  clone(): Disk {
    const nodes = new Map<FileNode, FileNode>();
    const entries: DiskEntries = new Map();
    for (const [path, entry] of this.entries) {
      if (entry === "dir") entries.set(path, entry);
      else {
        let copy = nodes.get(entry);
        if (!copy) {
          entry.shared = true;
          copy = { ...entry };
          nodes.set(entry, copy);
        }
        entries.set(path, copy);
      }
    }
    const disk = new Disk(entries);
    disk.capacity = this.capacity;
    return disk;
  }

  used(): number {
    const nodes = new Set<FileNode>();
    for (const entry of this.entries.values()) if (entry !== "dir") nodes.add(entry);
    let sum = 0;
    for (const { size } of nodes) sum += size;
    return sum;
  }

  /** Everything below `path`, written to a real directory. */
  export(path: string, into: string): void {
    mkdirSync(into, { recursive: true });
    const below = [...this.entries].filter(([p]) => p.startsWith(`${path}/`));
    for (const [p, entry] of below.sort(([a], [b]) => (a < b ? -1 : 1))) {
      const target = join(into, p.slice(path.length + 1));
      if (entry === "dir") mkdirSync(target);
      else writeFileSync(target, entry.bytes.subarray(0, entry.size));
    }
  }

  mkdirs(path: string): void {
    if (this.entries.get(path) === "dir") return;
    this.mkdirs(dirname(path));
    this.entries.set(path, "dir");
  }

  removeTree(path: string): void {
    for (const p of [...this.entries.keys()])
      if (p === path || p.startsWith(`${path}/`)) this.entries.delete(p);
  }

  /** Makes bytes at a place of a node its own, and changes them. */
  put(node: FileNode, at: number, bytes: Uint8Array): void {
    const end = Math.max(node.size, at + bytes.length);
    if (node.shared || end > node.bytes.length) {
      const grown = new Uint8Array(end > node.bytes.length ? Math.max(end, 2 * node.size, 256) : end);
      grown.set(node.bytes.subarray(0, node.size));
      node.bytes = grown;
      node.shared = false;
    }
    // Room behind the end may hold what a truncation cut off.
    if (at > node.size) node.bytes.fill(0, node.size, at);
    node.bytes.set(bytes, at);
    node.size = end;
    node.mtimeNs = clock++;
  }
}

/** A directory of a disk. */
export class MemoryStorage implements Storage {
  readonly root: string;
  readonly disk: Disk;

  constructor(disk: Disk, root: string) {
    this.disk = disk;
    this.root = resolve(root);
  }

  /** Where a name is. Every parent has to be a directory. */
  path(name: string, syscall: string): string {
    const path = name === "" ? this.root : `${this.root}/${name}`;
    const parent = dirname(path);
    const { entries } = this.disk;
    if (entries.get(parent) !== "dir") {
      for (let p = parent; p !== "/"; p = dirname(p)) {
        const entry = entries.get(p);
        if (entry !== undefined && entry !== "dir") fail("ENOTDIR", syscall, path);
        if (entry === "dir") break;
      }
      fail("ENOENT", syscall, path);
    }
    return path;
  }

  private entry(name: string, syscall: string): [path: string, entry: FileNode | "dir"] {
    const path = this.path(name, syscall);
    const entry = this.disk.entries.get(path);
    return [path, entry ?? fail("ENOENT", syscall, path)];
  }

  read(name: string): Uint8Array {
    const [path, entry] = this.entry(name, "open");
    if (entry === "dir") fail("EISDIR", "read", path);
    return entry.bytes.slice(0, entry.size);
  }

  openRead(name: string): ReadHandle {
    const [path, entry] = this.entry(name, "open");
    return {
      read: (into, position) => {
        if (entry === "dir") fail("EISDIR", "read", path);
        const n = Math.max(0, Math.min(into.length, entry.size - position));
        into.set(entry.bytes.subarray(position, position + n));
        return n;
      },
      size: () => (entry === "dir" ? 4096 : entry.size),
      close: () => {},
    };
  }

  openWrite(name: string, options: { append?: boolean; mode?: number } = {}): WriteHandle {
    const path = this.path(name, "open");
    const { disk } = this;
    let entry = disk.entries.get(path);
    if (entry !== undefined && !options.append) fail("EEXIST", "open", path);
    if (entry === "dir") fail("EISDIR", "open", path);
    if (!entry) {
      entry = fileNode();
      disk.entries.set(path, entry);
    }
    const node = entry;
    let at = node.size;
    return {
      write: (bytes) => {
        if (disk.capacity !== Number.POSITIVE_INFINITY && disk.used() + bytes.length > disk.capacity)
          fail("ENOSPC", "write", path);
        disk.put(node, node.size, bytes);
        at += bytes.length;
      },
      position: () => at,
      sync: () => {},
      close: () => {},
    };
  }

  writeAtomic(
    name: string,
    chunks: Uint8Array | Iterable<Uint8Array>,
    options?: { mode?: number; durable?: boolean },
  ): void {
    writeAtomically(this, name, chunks, options);
  }

  exists(name: string): boolean {
    try {
      this.entry(name, "stat");
      return true;
    } catch {
      return false;
    }
  }

  stat(name: string): StorageStat {
    const [, entry] = this.entry(name, "lstat");
    if (entry === "dir") return { kind: "dir", size: 4096, mtimeNs: clock, links: 2 };
    return { kind: "file", size: entry.size, mtimeNs: entry.mtimeNs, links: entry.links };
  }

  list(dir: string): string[] {
    const [path, entry] = this.entry(dir, "scandir");
    if (entry !== "dir") fail("ENOTDIR", "scandir", path);
    const start = path === "/" ? "/" : `${path}/`;
    const names: string[] = [];
    for (const p of this.disk.entries.keys())
      if (p.startsWith(start) && p.length > start.length && !p.includes("/", start.length))
        names.push(p.slice(start.length));
    return names;
  }

  makeRoot(): void {
    this.mkdir("");
  }

  mkdir(name: string): void {
    const path = this.path(name, "mkdir");
    if (this.disk.entries.has(path)) fail("EEXIST", "mkdir", path);
    this.disk.entries.set(path, "dir");
  }

  rmdir(name: string): void {
    const [path, entry] = this.entry(name, "rmdir");
    if (entry !== "dir") fail("ENOTDIR", "rmdir", path);
    if (this.list(name).length > 0) fail("ENOTEMPTY", "rmdir", path);
    this.disk.entries.delete(path);
  }

  rename(from: string, to: string): void {
    const [source, entry] = this.entry(from, "rename");
    const target = this.path(to, "rename");
    const there = this.disk.entries.get(target);
    if (source === target || (there !== undefined && there !== "dir" && there === entry)) return;
    if (entry === "dir") {
      if (target.startsWith(`${source}/`)) fail("EINVAL", "rename", source);
      if (there !== undefined && there !== "dir") fail("ENOTDIR", "rename", source);
      if (there === "dir" && this.list(to).length > 0) fail("ENOTEMPTY", "rename", source);
      for (const [p, e] of [...this.disk.entries]) {
        if (!p.startsWith(`${source}/`)) continue;
        this.disk.entries.delete(p);
        this.disk.entries.set(target + p.slice(source.length), e);
      }
    } else {
      if (there === "dir") fail("EISDIR", "rename", source);
      if (there) there.links--;
    }
    this.disk.entries.delete(source);
    this.disk.entries.set(target, entry);
  }

  link(from: string, to: string): void {
    const [source, entry] = this.entry(from, "link");
    const target = this.path(to, "link");
    if (this.disk.entries.has(target)) fail("EEXIST", "link", target);
    if (entry === "dir") fail("EPERM", "link", source);
    entry.links++;
    this.disk.entries.set(target, entry);
  }

  erase(name: string): void {
    const [path, entry] = this.entry(name, "open");
    if (entry === "dir") fail("EISDIR", "open", path);
    if (entry.links === 1) this.disk.put(entry, 0, new Uint8Array(entry.size).fill(0xaa));
    this.unlink(name);
  }

  unlink(name: string): void {
    const [path, entry] = this.entry(name, "unlink");
    // Linux says EISDIR, POSIX EPERM.
    if (entry === "dir") fail("EISDIR", "unlink", path);
    entry.links--;
    this.disk.entries.delete(path);
  }

  truncate(name: string, size: number): void {
    const [path, entry] = this.entry(name, "open");
    if (entry === "dir") fail("EISDIR", "open", path);
    if (size > entry.size) this.disk.put(entry, size, EMPTY);
    else {
      entry.size = size;
      entry.mtimeNs = clock++;
    }
  }

  syncDir(dir: string): void {
    const [path, entry] = this.entry(dir, "open");
    // A file can be opened and synced as well.
    if (entry === undefined) fail("ENOENT", "open", path);
  }

  freeSpace(): number {
    return this.disk.capacity === Number.POSITIVE_INFINITY ? 2 ** 40 : this.disk.capacity - this.disk.used();
  }
}
