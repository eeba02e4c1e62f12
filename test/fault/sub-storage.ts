// A directory of a storage as a storage of its own: repository, cache and security directory of one simulated disk, so
// that one record or one counter sees the operations on all of them in their order.
import { join } from "node:path";
import { parentOf, writeAtomically } from "../../src/storage/atomic.ts";
import type { Storage } from "../../src/storage/types.ts";

/** A directory of a storage as a storage of its own. */
export class SubStorage implements Storage {
  readonly root: string;
  private readonly inner: Storage;
  private readonly prefix: string;
  constructor(inner: Storage, dir: string) {
    this.inner = inner;
    this.prefix = dir;
    this.root = join(inner.root, dir);
  }
  private name(name: string): string {
    return name === "" ? this.prefix : `${this.prefix}/${name}`;
  }
  read(name: string) {
    return this.inner.read(this.name(name));
  }
  openRead(name: string) {
    return this.inner.openRead(this.name(name));
  }
  openWrite(name: string, options?: { append?: boolean; mode?: number }) {
    return this.inner.openWrite(this.name(name), options);
  }
  writeAtomic(
    name: string,
    chunks: Uint8Array | Iterable<Uint8Array>,
    options?: { mode?: number; durable?: boolean },
  ) {
    writeAtomically(this, name, chunks, options);
  }
  exists(name: string) {
    return this.inner.exists(this.name(name));
  }
  stat(name: string) {
    return this.inner.stat(this.name(name));
  }
  list(dir: string) {
    return this.inner.list(this.name(dir));
  }
  makeRoot(mode?: number) {
    this.inner.mkdir(this.prefix, mode);
    this.inner.syncDir(parentOf(this.prefix));
  }
  mkdir(name: string, mode?: number) {
    this.inner.mkdir(this.name(name), mode);
  }
  rmdir(name: string) {
    this.inner.rmdir(this.name(name));
  }
  rename(from: string, to: string) {
    this.inner.rename(this.name(from), this.name(to));
  }
  link(from: string, to: string) {
    this.inner.link(this.name(from), this.name(to));
  }
  erase(name: string) {
    this.inner.erase(this.name(name));
  }
  unlink(name: string) {
    this.inner.unlink(this.name(name));
  }
  truncate(name: string, size: number) {
    this.inner.truncate(this.name(name), size);
  }
  syncDir(dir: string) {
    this.inner.syncDir(this.name(dir));
  }
  freeSpace() {
    return this.inner.freeSpace();
  }
}
