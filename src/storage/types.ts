// The files of a repository, cache or security directory as a small synchronous interface. Every write that
// must survive a crash goes through it, so that a test double can record, replay and tear them.
// Names are relative to the storage's root, with "/" between parts; they are validated on the way in.

export interface StorageStat {
  kind: "file" | "dir" | "symlink" | "other";
  size: number;
  /** Nanoseconds since the epoch. */
  mtimeNs: bigint;
  /** Names the file has (hard links). */
  links: number;
}

/** An open file for reading at positions. */
export interface ReadHandle {
  /** Reads up to into.length bytes at position; returns how many (0 at the end). Retries short reads itself. */
  read(into: Uint8Array, position: number): number;
  size(): number;
  close(): void;
}

/** An open file for appending or overwriting. Nothing is durable before sync(). */
export interface WriteHandle {
  /** Writes all of the bytes at the end of what was written so far; retries short writes itself. */
  write(bytes: Uint8Array): void;
  /** Bytes in the file so far, as written by this handle (including what was there when opened for appending). */
  position(): number;
  /** fdatasync of the contents. */
  sync(): void;
  close(): void;
}

export interface Storage {
  /** Absolute path of the root, for messages. */
  readonly root: string;
  /** The whole file. Throws ENOENT and the like as the runtime gives them (with .code). */
  read(name: string): Uint8Array;
  openRead(name: string): ReadHandle;
  /** Creates exclusively (EEXIST if there), or opens at its end where append is true. */
  openWrite(name: string, options?: { append?: boolean; mode?: number }): WriteHandle;
  /** Temporary file, write, fsync, rename over name, fsync of the directory: all or nothing. Without the two fsyncs where
   *  durable is false: still atomic for other processes, but not across a loss of power. */
  writeAtomic(
    name: string,
    chunks: Uint8Array | Iterable<Uint8Array>,
    options?: { mode?: number; durable?: boolean },
  ): void;
  /** False only where nothing is there; whatever else keeps it from looking is thrown. */
  exists(name: string): boolean;
  stat(name: string): StorageStat;
  /** Names in a directory, in no order; an absent directory throws ENOENT. */
  list(dir: string): string[];
  /** Makes the root itself, durably; its parent has to be there. */
  makeRoot(mode?: number): void;
  mkdir(name: string, mode?: number): void;
  rmdir(name: string): void;
  rename(from: string, to: string): void;
  /** A second name for a file. Throws ENOTSUP, EPERM and the like where the file system has no hard links. */
  link(from: string, to: string): void;
  /** Overwrites a file with random bytes and removes it; if it has further names, only this name is removed. */
  erase(name: string): void;
  unlink(name: string): void;
  truncate(name: string, size: number): void;
  /** fsync of a directory; silently nothing where the file system cannot. */
  syncDir(dir: string): void;
  /** Free bytes for an ordinary user on the file system. */
  freeSpace(): number;
}
