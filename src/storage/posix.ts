// A directory of the local file system as a Storage: what a repository, a cache and a security directory are kept in.
// Durability as Borg's SyncFile and SaveFile have it: fdatasync of the file, rename, fsync of the directory. No mmap and
// no advisory locks, so that it works on NFS and sshfs too.
import { randomBytes } from "node:crypto";
import {
  closeSync,
  constants,
  fdatasyncSync,
  fstatSync,
  fsyncSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readSync,
  renameSync,
  rmdirSync,
  statfsSync,
  statSync,
  truncateSync,
  unlinkSync,
  writeSync,
} from "node:fs";
import { dirname, resolve } from "node:path";
import { fsDecode, nodePath } from "../runtime/pathbytes.ts";
import { writeAtomically } from "./atomic.ts";
import type { ReadHandle, Storage, StorageStat, WriteHandle } from "./types.ts";

export class PosixStorage implements Storage {
  readonly root: string;

  /** @param root a path; made absolute. It need not exist yet. */
  constructor(root: string) {
    this.root = resolve(root);
  }

  private path(name: string): string | Buffer {
    return nodePath(name === "" ? this.root : `${this.root}/${checkName(name)}`);
  }

  read(name: string): Uint8Array {
    const handle = this.openRead(name);
    try {
      const bytes = new Uint8Array(handle.size());
      const n = handle.read(bytes, 0);
      return n < bytes.length ? bytes.subarray(0, n) : bytes;
    } finally {
      handle.close();
    }
  }

  openRead(name: string): ReadHandle {
    return new PosixReadHandle(openSync(this.path(name), constants.O_RDONLY));
  }

  openWrite(name: string, options: { append?: boolean; mode?: number } = {}): WriteHandle {
    const { O_WRONLY, O_CREAT, O_EXCL, O_APPEND } = constants;
    const flags = O_WRONLY | O_CREAT | (options.append ? O_APPEND : O_EXCL);
    const fd = openSync(this.path(name), flags, options.mode ?? 0o666);
    return new PosixWriteHandle(fd, options.append ? fstatSync(fd).size : 0);
  }

  writeAtomic(
    name: string,
    chunks: Uint8Array | Iterable<Uint8Array>,
    options: { mode?: number; durable?: boolean } = {},
  ): void {
    writeAtomically(this, name, chunks, options);
  }

  // existsSync would say no to every failure. A nonce or a lock that cannot be looked at is not one that is not there.
  exists(name: string): boolean {
    try {
      statSync(this.path(name));
      return true;
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === "ENOENT" || code === "ENOTDIR") return false;
      throw error;
    }
  }

  stat(name: string): StorageStat {
    // The root itself may be reached through a symlink.
    const st = (name === "" ? statSync : lstatSync)(this.path(name), { bigint: true });
    return {
      kind: st.isFile() ? "file" : st.isDirectory() ? "dir" : st.isSymbolicLink() ? "symlink" : "other",
      size: Number(st.size),
      mtimeNs: st.mtimeNs,
      links: Number(st.nlink),
    };
  }

  list(dir: string): string[] {
    return readdirSync(this.path(dir), { encoding: "buffer" }).map((name) => fsDecode(name));
  }

  makeRoot(mode = 0o777): void {
    mkdirSync(nodePath(this.root), { mode });
    try {
      new PosixStorage(dirname(this.root)).syncDir("");
    } catch (error) {
      // Who may write to a directory need not be allowed to open it; the entry becomes durable a little later, then.
      if (!["EACCES", "EPERM"].includes((error as NodeJS.ErrnoException).code ?? "")) throw error;
    }
  }

  mkdir(name: string, mode = 0o777): void {
    mkdirSync(this.path(name), { mode });
  }

  rmdir(name: string): void {
    rmdirSync(this.path(name));
  }

  rename(from: string, to: string): void {
    renameSync(this.path(from), this.path(to));
  }

  link(from: string, to: string): void {
    linkSync(this.path(from), this.path(to));
  }

  erase(name: string): void {
    const fd = openSync(this.path(name), constants.O_RDWR);
    try {
      const st = fstatSync(fd);
      if (st.nlink === 1) {
        writeFully(fd, randomBytes(st.size), 0);
        fsyncSync(fd);
      }
    } finally {
      closeSync(fd);
    }
    this.unlink(name);
  }

  unlink(name: string): void {
    unlinkSync(this.path(name));
  }

  truncate(name: string, size: number): void {
    truncateSync(this.path(name), size);
  }

  syncDir(dir: string): void {
    const fd = openSync(this.path(dir), constants.O_RDONLY);
    try {
      fsyncSync(fd);
    } catch (error) {
      // Some network file systems cannot do this; any other error is one.
      if ((error as NodeJS.ErrnoException).code !== "EINVAL") throw error;
    } finally {
      closeSync(fd);
    }
  }

  freeSpace(): number {
    const st = statfsSync(this.path(""), { bigint: true });
    return Number(st.bavail * st.bsize);
  }

  /** Whether two storages are the same directory, by device and inode. */
  isSameAs(other: PosixStorage): boolean {
    const a = statSync(this.path(""), { bigint: true });
    const b = statSync(other.path(""), { bigint: true });
    return a.dev === b.dev && a.ino === b.ino;
  }
}

class PosixReadHandle implements ReadHandle {
  private fd: number;
  constructor(fd: number) {
    this.fd = fd;
  }
  read(into: Uint8Array, position: number): number {
    let done = 0;
    while (done < into.length) {
      const n = readSync(this.fd, into, done, into.length - done, position + done);
      if (n === 0) break;
      done += n;
    }
    return done;
  }
  size(): number {
    return fstatSync(this.fd).size;
  }
  close(): void {
    if (this.fd >= 0) closeSync(this.fd);
    this.fd = -1;
  }
}

class PosixWriteHandle implements WriteHandle {
  private fd: number;
  private at: number;
  constructor(fd: number, at: number) {
    this.fd = fd;
    this.at = at;
  }
  write(bytes: Uint8Array): void {
    writeFully(this.fd, bytes, null);
    this.at += bytes.length;
  }
  position(): number {
    return this.at;
  }
  sync(): void {
    fdatasyncSync(this.fd);
  }
  close(): void {
    if (this.fd >= 0) closeSync(this.fd);
    this.fd = -1;
  }
}

function writeFully(fd: number, bytes: Uint8Array, position: number | null): void {
  let done = 0;
  while (done < bytes.length) {
    const at = position === null ? null : position + done;
    done += writeSync(fd, bytes, done, bytes.length - done, at);
  }
}

/** Names stay below the root: relative, no empty, "." or ".." part, no zero byte. */
function checkName(name: string): string {
  if (
    name.startsWith("/") ||
    name.includes("\0") ||
    name.split("/").some((p) => p === "" || p === "." || p === "..")
  ) {
    throw new RangeError(`not a name inside a storage: ${JSON.stringify(name)}`);
  }
  return name;
}
