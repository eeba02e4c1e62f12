// A storage that records every write, fsync, rename, unlink, truncation and directory change while it really does them, and
// can then make the state of the disk after a crash at any point of the record, under three models:
// "killed" (all that was issued is there), "torn" (the last write partly), "power lost" (what was fsynced is there, and of
// what came later any subset: writes and directory entries each by themselves, in the hands of a seeded coin).
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parentOf, writeAtomically } from "../../src/storage/atomic.ts";
import { PosixStorage } from "../../src/storage/posix.ts";
import type { ReadHandle, Storage, StorageStat, WriteHandle } from "../../src/storage/types.ts";

export type CrashModel = "killed" | "torn" | "power lost";

type Operation =
  | { kind: "write"; file: number; at: number; bytes: Uint8Array }
  | { kind: "truncate"; file: number; size: number }
  | { kind: "sync"; file: number }
  /** One or two directory entries that change together; undefined removes. A file is its number, a directory is "dir". */
  | { kind: "entries"; changes: [name: string, value: number | "dir" | undefined][] }
  | { kind: "syncDir"; dir: string }
  | { kind: "mark"; label: string };

export class RecordingStorage implements Storage {
  readonly root: string;
  readonly operations: Operation[] = [];
  private readonly inner: PosixStorage;
  private readonly initial = new Map<string, Uint8Array | "dir">();
  private readonly names = new Map<string, number>();
  private files = 0;
  /** Called before each operation; what it throws is what the operation fails with. */
  fault: ((operation: Operation) => void) | undefined;

  /** What is in the directory now counts as durable. */
  constructor(root: string) {
    this.inner = new PosixStorage(root);
    this.root = this.inner.root;
    for (const name of readdirSync(root, { recursive: true, encoding: "utf8" }).sort()) {
      const isDir = statSync(join(root, name)).isDirectory();
      this.initial.set(name, isDir ? "dir" : new Uint8Array(readFileSync(join(root, name))));
      if (!isDir) this.names.set(name, this.files++);
    }
  }

  /** A point in the record that a test wants to find again. */
  mark(label: string): void {
    this.operations.push({ kind: "mark", label });
  }

  private record(operation: Operation): void {
    this.fault?.(operation);
    this.operations.push(operation);
  }

  read(name: string): Uint8Array {
    return this.inner.read(name);
  }
  openRead(name: string): ReadHandle {
    return this.inner.openRead(name);
  }
  exists(name: string): boolean {
    return this.inner.exists(name);
  }
  stat(name: string): StorageStat {
    return this.inner.stat(name);
  }
  list(dir: string): string[] {
    return this.inner.list(dir);
  }
  freeSpace(): number {
    return this.inner.freeSpace();
  }

  openWrite(name: string, options: { append?: boolean; mode?: number } = {}): WriteHandle {
    const there = this.names.get(name);
    const file = there ?? this.files;
    if (there === undefined) this.record({ kind: "entries", changes: [[name, file]] });
    const handle = this.inner.openWrite(name, options);
    if (there === undefined) this.names.set(name, this.files++);
    return {
      write: (bytes) => {
        this.record({ kind: "write", file, at: handle.position(), bytes: bytes.slice() });
        handle.write(bytes);
      },
      position: () => handle.position(),
      sync: () => {
        this.record({ kind: "sync", file });
        handle.sync();
      },
      close: () => handle.close(),
    };
  }

  writeAtomic(
    name: string,
    chunks: Uint8Array | Iterable<Uint8Array>,
    options?: { mode?: number; durable?: boolean },
  ): void {
    writeAtomically(this, name, chunks, options);
  }

  mkdir(name: string, mode?: number): void {
    this.record({ kind: "entries", changes: [[name, "dir"]] });
    this.inner.mkdir(name, mode);
  }
  rmdir(name: string): void {
    this.inner.rmdir(name);
    this.record({ kind: "entries", changes: [[name, undefined]] });
  }

  rename(from: string, to: string): void {
    const file = this.names.get(from);
    if (file === undefined) {
      // A directory (a lock's): its contents move with it.
      const moved = [...this.names].filter(([n]) => n.startsWith(`${from}/`));
      this.inner.rename(from, to);
      const changes: [string, number | "dir" | undefined][] = [
        [to, "dir"],
        [from, undefined],
      ];
      for (const [n, f] of moved) {
        this.names.delete(n);
        this.names.set(to + n.slice(from.length), f);
        changes.push([n, undefined], [to + n.slice(from.length), f]);
      }
      this.record({ kind: "entries", changes });
      return;
    }
    this.record({
      kind: "entries",
      changes: [
        [from, undefined],
        [to, file],
      ],
    });
    this.inner.rename(from, to);
    this.names.delete(from);
    this.names.set(to, file);
  }

  link(from: string, to: string): void {
    const file = this.names.get(from)!;
    this.record({ kind: "entries", changes: [[to, file]] });
    this.inner.link(from, to);
    this.names.set(to, file);
  }

  erase(name: string): void {
    const { links, size } = this.stat(name);
    const file = this.names.get(name)!;
    if (links === 1) {
      this.record({ kind: "write", file, at: 0, bytes: new Uint8Array(size).fill(0xaa) });
      this.record({ kind: "sync", file });
    }
    this.record({ kind: "entries", changes: [[name, undefined]] });
    this.inner.erase(name);
    this.names.delete(name);
  }

  unlink(name: string): void {
    if (this.inner.exists(name)) this.record({ kind: "entries", changes: [[name, undefined]] });
    this.inner.unlink(name);
    this.names.delete(name);
  }
  truncate(name: string, size: number): void {
    this.record({ kind: "truncate", file: this.names.get(name)!, size });
    this.inner.truncate(name, size);
  }
  syncDir(dir: string): void {
    this.record({ kind: "syncDir", dir });
    this.inner.syncDir(dir);
  }

  /** Number of operations a crash can come behind. */
  get length(): number {
    return this.operations.length;
  }

  /** The disk after a crash behind the first `count` operations, written to an empty or absent directory. */
  materialize(count: number, model: CrashModel, seed: number, into: string): void {
    let x = (seed * 2654435761 + count * 40503 + 1) >>> 0;
    const coin = () => {
      x = (Math.imul(x, 1664525) + 1013904223) >>> 0;
      return x >>> 31 === 1;
    };
    const done = this.operations.slice(0, count);
    const lost = model === "power lost";
    // An operation is durable if the last fsync of its file or directory comes later.
    const fileSyncs = new Map<number, number>();
    const dirSyncs = new Map<string, number>();
    for (const [i, o] of done.entries()) {
      if (o.kind === "sync") fileSyncs.set(o.file, i);
      else if (o.kind === "syncDir") dirSyncs.set(o.dir, i);
    }
    const contents = new Map<number, Uint8Array>();
    const entries = new Map<string, number | "dir">();
    let next = 0;
    for (const [name, value] of this.initial) {
      if (value === "dir") entries.set(name, "dir");
      else {
        contents.set(next, value);
        entries.set(name, next++);
      }
    }
    for (const [i, o] of done.entries()) {
      if (o.kind === "write" || o.kind === "truncate") {
        if (lost && (fileSyncs.get(o.file) ?? -1) < i && coin()) continue;
        let bytes = contents.get(o.file) ?? new Uint8Array(0);
        if (o.kind === "truncate") bytes = bytes.slice(0, o.size);
        else {
          const isLast = i === done.length - 1;
          const part = model === "torn" && isLast ? o.bytes.subarray(0, x % (o.bytes.length + 1)) : o.bytes;
          const grown = new Uint8Array(Math.max(bytes.length, o.at + part.length));
          grown.set(bytes);
          grown.set(part, o.at);
          bytes = grown;
        }
        contents.set(o.file, bytes);
      } else if (o.kind === "entries") {
        const synced = o.changes.some(([name]) => (dirSyncs.get(parentOf(name)) ?? -1) > i);
        if (lost && !synced && coin()) continue;
        for (const [name, value] of o.changes) {
          if (value === undefined) entries.delete(name);
          else entries.set(name, value);
        }
      }
    }
    mkdirSync(into, { recursive: true });
    for (const [name, value] of [...entries].sort(([a], [b]) => (a < b ? -1 : 1))) {
      // An entry whose directory was lost is lost with it.
      const parent = parentOf(name);
      if (parent !== "" && entries.get(parent) !== "dir") continue;
      if (value === "dir") mkdirSync(join(into, name), { recursive: true });
      else writeFileSync(join(into, name), contents.get(value) ?? new Uint8Array(0));
    }
  }
}
