// A storage whose every call can be made to fail: reads and looks as well as writes, on the storage and on its handles.
import { writeAtomically } from "../../src/storage/atomic.ts";
import type { ReadHandle, Storage, StorageStat, WriteHandle } from "../../src/storage/types.ts";

export type Call =
  | Exclude<keyof Storage, "root" | "writeAtomic">
  | "handle.read"
  | "handle.size"
  | "write"
  | "sync"
  | "close";

/** Calls that need a free descriptor. */
export const OPENING: ReadonlySet<Call> = new Set([
  "read",
  "openRead",
  "openWrite",
  "list",
  "syncDir",
  "truncate",
]);
/** Calls that change something. */
export const CHANGING: ReadonlySet<Call> = new Set([
  ...([
    "openWrite",
    "write",
    "sync",
    "makeRoot",
    "mkdir",
    "rmdir",
    "rename",
    "link",
    "erase",
    "unlink",
  ] as const),
  ...(["truncate", "syncDir"] as const),
]);

export class FaultyStorage implements Storage {
  readonly root: string;
  private readonly inner: Storage;
  private readonly before: (call: Call, name: string) => void;

  /** @param before what it throws is what the call fails with */
  constructor(inner: Storage, before: (call: Call, name: string) => void) {
    this.root = inner.root;
    this.inner = inner;
    this.before = before;
  }

  read(name: string): Uint8Array {
    this.before("read", name);
    return this.inner.read(name);
  }
  openRead(name: string): ReadHandle {
    this.before("openRead", name);
    const handle = this.inner.openRead(name);
    return {
      read: (into, position) => {
        this.before("handle.read", name);
        return handle.read(into, position);
      },
      size: () => {
        this.before("handle.size", name);
        return handle.size();
      },
      close: () => handle.close(),
    };
  }
  openWrite(name: string, options?: { append?: boolean; mode?: number }): WriteHandle {
    this.before("openWrite", name);
    const handle = this.inner.openWrite(name, options);
    return {
      write: (bytes) => {
        try {
          this.before("write", name);
        } catch (error) {
          // What a full disk does: some of it is there.
          handle.write(bytes.subarray(0, bytes.length >> 1));
          throw error;
        }
        handle.write(bytes);
      },
      position: () => handle.position(),
      sync: () => {
        this.before("sync", name);
        handle.sync();
      },
      close: () => {
        handle.close();
        // Network file systems tell of failed writes here.
        this.before("close", name);
      },
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
    this.before("exists", name);
    return this.inner.exists(name);
  }
  stat(name: string): StorageStat {
    this.before("stat", name);
    return this.inner.stat(name);
  }
  list(dir: string): string[] {
    this.before("list", dir);
    return this.inner.list(dir);
  }
  makeRoot(mode?: number): void {
    this.before("makeRoot", "");
    this.inner.makeRoot(mode);
  }
  mkdir(name: string, mode?: number): void {
    this.before("mkdir", name);
    this.inner.mkdir(name, mode);
  }
  rmdir(name: string): void {
    this.before("rmdir", name);
    this.inner.rmdir(name);
  }
  rename(from: string, to: string): void {
    this.before("rename", from);
    this.inner.rename(from, to);
  }
  link(from: string, to: string): void {
    this.before("link", from);
    this.inner.link(from, to);
  }
  erase(name: string): void {
    this.before("erase", name);
    this.inner.erase(name);
  }
  unlink(name: string): void {
    this.before("unlink", name);
    this.inner.unlink(name);
  }
  truncate(name: string, size: number): void {
    this.before("truncate", name);
    this.inner.truncate(name, size);
  }
  syncDir(dir: string): void {
    this.before("syncDir", dir);
    this.inner.syncDir(dir);
  }
  freeSpace(): number {
    this.before("freeSpace", "");
    return this.inner.freeSpace();
  }
}
