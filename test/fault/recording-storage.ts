// A storage in memory that records every write, fsync, rename, unlink, truncation and directory change while it does them,
// and can then make the state of the disk after a crash at any point of the record, under three models:
// "killed" (all that was issued is there), "torn" (the last write partly), "power lost" (what was fsynced is there, and of
// what came later any subset: writes and directory entries each by themselves, in the hands of a seeded coin).
import { dirname } from "node:path";
import { writeAtomically } from "../../src/storage/atomic.ts";
import type { WriteHandle } from "../../src/storage/types.ts";
import { type Disk, type FileNode, fileNode, MemoryStorage } from "./memory-storage.ts";

export type CrashModel = "killed" | "torn" | "power lost";

export type Operation =
  | { kind: "write"; file: number; at: number; bytes: Uint8Array }
  | { kind: "truncate"; file: number; size: number }
  | { kind: "sync"; file: number }
  /** Directory entries that change together; undefined removes. A file is its number, a directory is "dir". */
  | { kind: "entries"; changes: [path: string, value: number | "dir" | undefined][] }
  | { kind: "syncDir"; dir: string }
  | { kind: "mark"; label: string };

export class RecordingStorage extends MemoryStorage {
  readonly operations: Operation[] = [];
  private readonly initial: Disk;
  private readonly numbers = new Map<FileNode, number>();
  /** Called before each operation; what it throws is what the operation fails with. */
  fault: ((operation: Operation) => void) | undefined;

  /** What is on the disk now counts as durable. */
  constructor(disk: Disk, root: string) {
    super(disk, root);
    this.initial = disk.clone();
    for (const entry of disk.entries.values()) if (entry !== "dir") this.number(entry);
  }

  /** A point in the record that a test wants to find again. */
  mark(label: string): void {
    this.operations.push({ kind: "mark", label });
  }

  private record(operation: Operation): void {
    this.fault?.(operation);
    this.operations.push(operation);
  }

  private number(node: FileNode): number {
    const known = this.numbers.get(node);
    if (known !== undefined) return known;
    this.numbers.set(node, this.numbers.size);
    return this.numbers.size - 1;
  }

  private valueAt(path: string): number | "dir" {
    const entry = this.disk.entries.get(path)!;
    return entry === "dir" ? "dir" : this.number(entry);
  }

  override openWrite(name: string, options: { append?: boolean; mode?: number } = {}): WriteHandle {
    const path = this.path(name, "open");
    const isNew = !this.disk.entries.has(path);
    if (isNew) this.record({ kind: "entries", changes: [[path, this.numbers.size]] });
    const handle = super.openWrite(name, options);
    const file = this.valueAt(path) as number;
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

  override writeAtomic(
    name: string,
    chunks: Uint8Array | Iterable<Uint8Array>,
    options?: { mode?: number; durable?: boolean },
  ): void {
    writeAtomically(this, name, chunks, options);
  }

  override mkdir(name: string): void {
    const path = this.path(name, "mkdir");
    if (!this.disk.entries.has(path)) this.record({ kind: "entries", changes: [[path, "dir"]] });
    super.mkdir(name);
  }

  override rmdir(name: string): void {
    this.fault?.({ kind: "entries", changes: [] });
    super.rmdir(name);
    this.operations.push({ kind: "entries", changes: [[this.path(name, "rmdir"), undefined]] });
  }

  override rename(from: string, to: string): void {
    const [source, target] = [this.path(from, "rename"), this.path(to, "rename")];
    this.fault?.({ kind: "entries", changes: [] });
    // A directory's contents move with it.
    const moved = [...this.disk.entries.keys()].filter((p) => p === source || p.startsWith(`${source}/`));
    super.rename(from, to);
    const changes = moved.flatMap((p): [string, number | "dir" | undefined][] => {
      const now = target + p.slice(source.length);
      return [
        [p, undefined],
        [now, this.valueAt(now)],
      ];
    });
    this.operations.push({ kind: "entries", changes });
  }

  override link(from: string, to: string): void {
    const value = this.valueAt(this.path(from, "link"));
    this.record({ kind: "entries", changes: [[this.path(to, "link"), value]] });
    super.link(from, to);
  }

  override erase(name: string): void {
    const { links, size } = this.stat(name);
    const file = this.valueAt(this.path(name, "open")) as number;
    if (links === 1) {
      this.record({ kind: "write", file, at: 0, bytes: new Uint8Array(size).fill(0xaa) });
      this.record({ kind: "sync", file });
    }
    super.erase(name);
  }

  override unlink(name: string): void {
    const path = this.path(name, "unlink");
    if (this.exists(name)) this.record({ kind: "entries", changes: [[path, undefined]] });
    super.unlink(name);
  }

  override truncate(name: string, size: number): void {
    this.record({ kind: "truncate", file: this.valueAt(this.path(name, "open")) as number, size });
    super.truncate(name, size);
  }

  override syncDir(dir: string): void {
    this.record({ kind: "syncDir", dir: this.path(dir, "open") });
    super.syncDir(dir);
  }

  /** Number of operations a crash can come behind. */
  get length(): number {
    return this.operations.length;
  }

  /** The disk after a crash behind the first `count` operations, locks of the dead process included. `identity` is equal
   *  for disks that are equal. */
  crash(count: number, model: CrashModel, seed: number): { disk: Disk; identity: string } {
    let x = (seed * 2654435761 + count * 40503 + 1) >>> 0;
    const coin = () => {
      x = (Math.imul(x, 1664525) + 1013904223) >>> 0;
      return x >>> 31 === 1;
    };
    const lost = model === "power lost";
    // An operation is durable if the last fsync of its file or directory comes later.
    const fileSyncs = new Map<number, number>();
    const dirSyncs = new Map<string, number>();
    for (let i = 0; lost && i < count; i++) {
      const o = this.operations[i]!;
      if (o.kind === "sync") fileSyncs.set(o.file, i);
      else if (o.kind === "syncDir") dirSyncs.set(o.dir, i);
    }
    const disk = this.initial.clone();
    const nodes = new Map<number, FileNode>();
    const histories = new Map<number, string>();
    for (const entry of disk.entries.values()) if (entry !== "dir") nodes.set(nodes.size, entry);
    const node = (file: number) => {
      let found = nodes.get(file);
      if (!found) {
        found = fileNode();
        nodes.set(file, found);
      }
      return found;
    };
    const changed = (file: number, i: number | string) =>
      histories.set(file, `${histories.get(file) ?? ""},${i}`);
    for (let i = 0; i < count; i++) {
      const o = this.operations[i]!;
      if (o.kind === "write" || o.kind === "truncate") {
        if (lost && (fileSyncs.get(o.file) ?? -1) < i && coin()) continue;
        const file = node(o.file);
        if (o.kind === "truncate") {
          file.size = Math.min(file.size, o.size);
          changed(o.file, i);
        } else {
          const isTorn = model === "torn" && i === count - 1;
          const part = isTorn ? o.bytes.subarray(0, (x ^ count) % (o.bytes.length + 1)) : o.bytes;
          disk.put(file, o.at, part);
          changed(o.file, isTorn ? `${i}:${part.length}` : i);
        }
      } else if (o.kind === "entries") {
        const synced = o.changes.some(([path]) => (dirSyncs.get(dirname(path)) ?? -1) > i);
        if (lost && !synced && coin()) continue;
        for (const [path, value] of o.changes) {
          if (value === undefined) disk.entries.delete(path);
          else disk.entries.set(path, value === "dir" ? "dir" : node(value));
        }
      }
    }
    // An entry whose directory was lost is lost with it.
    const sorted = [...disk.entries.keys()].sort((a, b) => (a < b ? -1 : 1));
    for (const path of sorted)
      if (path !== "/" && disk.entries.get(dirname(path)) !== "dir") disk.entries.delete(path);
    const files = new Map([...nodes].map(([number, n]) => [n, number]));
    for (const n of nodes.values()) n.links = 0;
    const parts: string[] = [];
    for (const path of sorted) {
      const entry = disk.entries.get(path);
      if (entry === undefined) continue;
      if (entry === "dir") parts.push(path);
      else {
        entry.links++;
        const file = files.get(entry)!;
        parts.push(`${path}=${file}${histories.get(file) ?? ""}`);
      }
    }
    return { disk, identity: parts.join("\n") };
  }
}
