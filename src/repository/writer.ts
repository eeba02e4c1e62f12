// Appending to the log: entries go to the segment with the next free number until it is full; the manifest and the final
// COMMIT begin a segment of their own, as in Borg. A segment that is closed is on the disk, and so is its directory entry.
import type { WriteHandle } from "../storage/types.ts";
import { COMMIT, MAGIC, MAGIC_SIZE } from "./entry.ts";
import type { Segments } from "./segments.ts";

// Small entries are collected: a write call costs microseconds, a file's metadata stream has many entries of 100 bytes.
const BUFFER = 512 << 10;

export class SegmentWriter {
  private readonly segments: Segments;
  private readonly limit: number;
  private handle: WriteHandle | undefined;
  private buffer = new Uint8Array(0);
  private buffered = 0;
  /** The segment being written, or the next to write. */
  segment = 0;
  /** Where the next entry goes; 0 while no segment is open. */
  offset = 0;

  /** @param limit a segment that is longer gets no further entries (max_segment_size) */
  constructor(segments: Segments, limit: number) {
    this.segments = segments;
    this.limit = limit;
  }

  /** Whether the next entry begins another segment. */
  get isFull(): boolean {
    return this.offset > this.limit;
  }

  /** Whether no further entry would go into the current segment once `size` bytes more are in it. */
  isFullAfter(size: number): boolean {
    return (this.offset || MAGIC_SIZE) + size > this.limit;
  }

  isWriting(segment: number): boolean {
    return this.handle !== undefined && segment === this.segment;
  }

  /** Appends finished entries as they are; gives the offset of the first. They are never split over segments. */
  append(entries: Uint8Array, options: { newSegment?: boolean } = {}): number {
    if (this.handle && (options.newSegment || this.isFull)) this.close();
    this.open();
    return this.write(entries);
  }

  private write(entries: Uint8Array): number {
    const offset = this.offset;
    if (entries.length >= BUFFER) {
      this.flush();
      this.handle!.write(entries);
    } else {
      if (this.buffered + entries.length > BUFFER) this.flush();
      this.buffer.set(entries, this.buffered);
      this.buffered += entries.length;
    }
    this.offset += entries.length;
    return offset;
  }

  /**
   * Writes COMMIT and closes its segment; gives its number, which is the transaction's. An intermediate one (within
   * compaction) goes behind the entries written so far, after they are on the disk.
   */
  commit(options: { intermediate?: boolean } = {}): number {
    if (!options.intermediate) this.close();
    this.open();
    if (options.intermediate) this.sync();
    this.write(COMMIT);
    const segment = this.segment;
    this.close();
    return segment;
  }

  /** Makes what was appended visible to readers of the file. */
  flush(): void {
    if (this.buffered === 0) return;
    const n = this.buffered;
    this.buffered = 0;
    this.handle!.write(this.buffer.subarray(0, n));
  }

  private sync(): void {
    this.flush();
    this.handle!.sync();
  }

  private open(): void {
    if (this.handle) return;
    const { storage } = this.segments;
    const dir = this.segments.directory(this.segment);
    if (!storage.exists(dir)) {
      if (!storage.exists("data")) {
        storage.mkdir("data");
        storage.syncDir("");
      }
      storage.mkdir(dir);
      storage.syncDir("data");
    }
    this.segments.forget(this.segment);
    this.handle = storage.openWrite(this.segments.name(this.segment));
    if (this.buffer.length === 0) this.buffer = new Uint8Array(BUFFER);
    this.buffer.set(MAGIC);
    this.buffered = MAGIC_SIZE;
    this.offset = MAGIC_SIZE;
  }

  /** Writes out, syncs and closes the current segment, if one is open. */
  close(): void {
    const { handle } = this;
    if (!handle) return;
    try {
      this.sync();
    } finally {
      // After an error the segment is given up, too: what comes next goes to another file or nowhere.
      this.abandon();
    }
    this.segments.storage.syncDir(this.segments.directory(this.segment - 1));
  }

  /** Gives the current segment up without writing out what is buffered. */
  abandon(): void {
    const { handle } = this;
    if (!handle) return;
    this.handle = undefined;
    this.buffered = 0;
    this.offset = 0;
    this.segment++;
    handle.close();
  }
}
