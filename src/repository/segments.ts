// The segment files of a repository, data/<n div segments_per_dir>/<n>: which there are, their sizes, open handles for
// reading, deletion. An empty file counts as deleted: a crash may have come between truncation and removal.
import { IntegrityError } from "../errors.ts";
import type { ReadHandle, Storage } from "../storage/types.ts";
import { MAX_SEGMENT } from "./constants.ts";
import { ATTIC_MAGIC, MAGIC_SIZE } from "./entry.ts";

// Borg keeps 90 files open, none longer than 4 minutes unused (network file systems give ESTALE).
const OPEN_FILES = 90;
const MAX_AGE = 4 * 60_000;

export class Segments {
  readonly storage: Storage;
  private readonly perDir: number;
  private readonly open = new Map<number, { handle: ReadHandle; used: number }>();
  private swept = 0;

  constructor(storage: Storage, segmentsPerDir: number) {
    this.storage = storage;
    this.perDir = segmentsPerDir;
  }

  /** Name within the repository. */
  name(segment: number): string {
    return `data/${Math.floor(segment / this.perDir)}/${segment}`;
  }

  directory(segment: number): string {
    return `data/${Math.floor(segment / this.perDir)}`;
  }

  /** Absolute path, for messages and for workers that read by themselves. */
  path(segment: number): string {
    return `${this.storage.root}/${this.name(segment)}`;
  }

  /** Numbers of the segment files from `from` up, or downwards from `from`. Empty files included. */
  *numbers(options: { from?: number; reverse?: boolean } = {}): Generator<number> {
    const { reverse = false } = options;
    const from = options.from ?? (reverse ? MAX_SEGMENT : 0);
    const fromDir = Math.floor(from / this.perDir);
    const wanted = (n: number, limit: number) => (reverse ? n <= limit : n >= limit);
    const order = reverse ? (a: number, b: number) => b - a : (a: number, b: number) => a - b;
    for (const dir of this.numericNames("data")
      .filter((n) => wanted(n, fromDir))
      .sort(order)) {
      const here = this.numericNames(`data/${dir}`).filter(
        (n) => wanted(n, from) && Math.floor(n / this.perDir) === dir,
      );
      yield* here.sort(order);
    }
  }

  private numericNames(dir: string): number[] {
    let names: string[];
    try {
      names = this.storage.list(dir);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === "ENOTDIR" || (code === "ENOENT" && dir !== "data")) return [];
      throw error;
    }
    return names.filter((name) => /^(0|[1-9]\d{0,9})$/.test(name)).map(Number);
  }

  latest(): number | undefined {
    for (const segment of this.numbers({ reverse: true })) return segment;
    return undefined;
  }

  isAttic(segment: number): boolean {
    const magic = new Uint8Array(MAGIC_SIZE);
    return this.handle(segment).read(magic, 0) === MAGIC_SIZE && magic.every((b, i) => b === ATTIC_MAGIC[i]);
  }

  exists(segment: number): boolean {
    return this.sizeIfThere(segment) > 0;
  }

  /** 0 for an absent file. */
  sizeIfThere(segment: number): number {
    try {
      return this.size(segment);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return 0;
      throw error;
    }
  }

  size(segment: number): number {
    return this.storage.stat(this.name(segment)).size;
  }

  /** An open file, kept for later reads. @throws IntegrityError where the file is missing */
  handle(segment: number): ReadHandle {
    const now = Date.now();
    if (now - this.swept > MAX_AGE / 8) this.sweep(now);
    const known = this.open.get(segment);
    if (known) {
      known.used = now;
      this.open.delete(segment);
      this.open.set(segment, known);
      return known.handle;
    }
    let handle: ReadHandle;
    try {
      handle = this.storage.openRead(this.name(segment));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
      throw new IntegrityError(
        `Segment file ${this.path(segment)} is missing. Run a full check, then check --repair.`,
      );
    }
    for (const oldest of this.open.keys()) {
      if (this.open.size < OPEN_FILES) break;
      this.forget(oldest);
    }
    this.open.set(segment, { handle, used: now });
    return handle;
  }

  private sweep(now: number): void {
    this.swept = now;
    for (const [segment, { used }] of this.open) if (now - used > MAX_AGE) this.forget(segment);
  }

  /** Closes the handle of a segment whose file is about to change. */
  forget(segment: number): void {
    this.open.get(segment)?.handle.close();
    this.open.delete(segment);
  }

  closeAll(): void {
    for (const segment of [...this.open.keys()]) this.forget(segment);
  }

  /**
   * Deletes a file that no committed state needs. Only where the disk is too full even for that (copy-on-write file
   * systems), it is truncated first: a crash between the two would leave an empty segment, which borg's check calls
   * damaged. And never where it has further names, because hard-linked copies of the repository would be damaged.
   */
  delete(segment: number): void {
    this.forget(segment);
    const { storage } = this;
    const name = this.name(segment);
    try {
      try {
        storage.unlink(name);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "ENOSPC" || storage.stat(name).links > 1) throw error;
        storage.truncate(name, 0);
        storage.unlink(name);
      }
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    }
  }

  /** Removes directories that hold no segments any more. */
  removeEmptyDirectories(): void {
    for (const dir of this.numericNames("data")) {
      try {
        this.storage.rmdir(`data/${dir}`);
      } catch (error) {
        const { code } = error as NodeJS.ErrnoException;
        if (code !== "ENOTEMPTY" && code !== "EEXIST" && code !== "ENOENT" && code !== "ENOTDIR") throw error;
      }
    }
    this.storage.syncDir("data");
  }
}
