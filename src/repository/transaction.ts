// The transactional heart of a local repository (borg's repository.py): opens index and hints of the last committed
// transaction, recovering them where needed; appends PUTs and DELETEs; makes them durable with COMMIT. Synchronous
// throughout. Nothing that a committed state needs is removed before a newer commit is on the disk, and after any failed
// write the transaction can only be rolled back.
import { HashIndex } from "../core/hashindex.ts";
import { CheckNeeded, ObjectNotFound, StorageQuotaExceeded } from "../errors.ts";
import { toHex } from "../format/bytes.ts";
import { formatFileSize } from "../format/sizes.ts";
import { removeTemporaries } from "../storage/atomic.ts";
import type { Storage } from "../storage/types.ts";
import {
  AuxiliaryDamaged,
  hasVerifiedIndex,
  indexTransaction,
  readHints,
  readIndex,
  removeAuxiliary,
  writeAuxiliary,
} from "./auxiliary.ts";
import { deleteUncommitted, lastCommitted } from "./committed.ts";
import type { Log } from "./constants.ts";
import { checkDataSize, deleteEntry, HEADER_SIZE, PUT_HEADER_SIZE, putEntry } from "./entry.ts";
import { systemFailure } from "./failure.ts";
import { type DecodedHints, emptyHints, type Hints } from "./hints.ts";
import { readEntrySize } from "./reader.ts";
import { addTo, type LogState, measureSparse, SegmentReplay } from "./replay.ts";
import type { Segments } from "./segments.ts";
import type { SegmentWriter } from "./writer.ts";

export interface LogOptions {
  storage: Storage;
  segments: Segments;
  writer: SegmentWriter;
  /** Bytes; 0 for none. */
  storageQuota: number;
  appendOnly: boolean;
  /** Whether files may be changed to recover from a crash; if not, recovery stays in memory. */
  mayWrite: boolean;
  log: Log;
  progress?: (done: number, total: number) => void;
}

/** Largest first transaction that is thrown away unasked when it was not committed. */
const FIRST_ATTEMPT = 1 << 20;

export class TransactionLog {
  readonly storage: Storage;
  readonly segments: Segments;
  readonly writer: SegmentWriter;
  readonly options: LogOptions;
  private loaded: HashIndex | undefined;
  private known: Hints | undefined;
  private current: number | undefined;
  private active = false;
  private doomed: unknown;
  private spaceIsOut = false;

  constructor(options: LogOptions) {
    this.options = options;
    this.storage = options.storage;
    this.segments = options.segments;
    this.writer = options.writer;
  }

  /** The transaction of the files on the disk; after open(), of the index in memory. */
  get transaction(): number | undefined {
    return this.loaded ? this.current : indexTransaction(this.storage);
  }
  get isActive(): boolean {
    return this.active;
  }
  get isOpen(): boolean {
    return this.loaded !== undefined;
  }

  /** The index of the current state, uncommitted changes included. open() comes first. */
  get index(): HashIndex {
    if (!this.loaded) throw new Error("the repository's index is not open");
    return this.loaded;
  }
  /** Present while a transaction is active. */
  get hints(): Hints {
    if (!this.known) throw new Error("no transaction is active");
    return this.known;
  }

  /** Hints of the current state, also outside of a transaction; open() comes first. */
  readHints(): Hints {
    if (!this.known) this.known = this.current === undefined ? emptyHints() : this.loadHints(this.current);
    return this.known;
  }
  /** Whether the transaction failed because the disk is full. */
  get failedForSpace(): boolean {
    return this.spaceIsOut;
  }

  /** Whether open() would have to rebuild something, for which an exclusive lock is needed. */
  needsRecovery(): boolean {
    if (this.loaded) return false;
    const transaction = indexTransaction(this.storage);
    if (transaction !== lastCommitted(this.segments)) return true;
    if (transaction === undefined) return false;
    try {
      this.loaded = readIndex(this.storage, transaction, this.options.log);
      this.current = transaction;
      return false;
    } catch (error) {
      if (error instanceof AuxiliaryDamaged) return true;
      throw error;
    }
  }

  /** Loads the index of the last committed transaction, rebuilding it where it is missing, damaged or out of date. */
  open(): void {
    if (this.loaded) return;
    const indexed = indexTransaction(this.storage);
    const committed = lastCommitted(this.segments);
    if (committed === undefined) {
      if (indexed !== undefined) {
        // An index, but not a single commit in the segments: most of them are lost.
        throw new CheckNeeded(`${this.storage.root}" - although likely this is "beyond repair`);
      }
      this.loaded = HashIndex.create(2);
      this.known = emptyHints();
      this.current = undefined;
      return;
    }
    if (indexed === committed) {
      try {
        this.loaded = readIndex(this.storage, committed, this.options.log);
        this.current = committed;
        return;
      } catch (error) {
        if (!(error instanceof AuxiliaryDamaged)) throw error;
        this.options.log(
          "warning",
          `The repository index is missing or damaged, rebuilding it (${error.message}).`,
        );
        this.recover(undefined, committed);
        return;
      }
    }
    if (
      indexed !== undefined &&
      indexed > committed &&
      hasVerifiedIndex(this.storage, indexed, this.options.log)
    ) {
      // An index is written only after its commit is on the disk: this transaction was complete, and now its commit is
      // damaged or lost. Borg would silently go back to the one before, and delete the rest at the next write.
      throw new CheckNeeded(this.storage.root);
    }
    this.recover(indexed !== undefined && indexed < committed ? indexed : undefined, committed);
  }

  /** Rebuilds index and hints for `committed`, from those of an older transaction or from nothing. */
  private recover(from: number | undefined, committed: number): void {
    const base = this.readState(from);
    const start = base ? from : undefined;
    const state = base ?? { index: HashIndex.create(2), hints: emptyHints() };
    const { log, progress } = this.options;
    log("warning", "Replaying segments, this may take a while...");
    const numbers = [...this.segments.numbers()].filter(
      (n) => n <= committed && (start === undefined || n > start),
    );
    const replay = new SegmentReplay(state, this.segments);
    let done = 0;
    for (const segment of numbers) {
      progress?.(done++, numbers.length);
      if (this.segments.sizeIfThere(segment) > 0) replay.segment(segment);
    }
    progress?.(numbers.length, numbers.length);
    if (this.options.mayWrite) writeAuxiliary(this.storage, committed, state.index, state.hints);
    this.loaded = state.index;
    this.known = state.hints;
    this.current = committed;
  }

  /** Index and hints as they are on the disk; undefined where either is missing or damaged. */
  private readState(transaction: number | undefined): LogState | undefined {
    if (transaction === undefined) return undefined;
    const { log } = this.options;
    try {
      const index = readIndex(this.storage, transaction, log);
      return { index, hints: this.upgraded(readHints(this.storage, transaction, log), index) };
    } catch (error) {
      if (!(error instanceof AuxiliaryDamaged)) throw error;
      log(
        "warning",
        `Index or hints of transaction ${transaction} are missing or damaged (${error.message}).`,
      );
      return undefined;
    }
  }

  private upgraded(hints: DecodedHints, index: HashIndex): Hints {
    if (hints.version === 1) {
      const sparse = [...hints.compact.keys()];
      hints.compact.clear();
      measureSparse({ index, hints }, this.segments, sparse);
    }
    return hints;
  }

  /** Begins a transaction, if none is active: removes what an aborted one left behind. Needs the exclusive lock. */
  begin(): void {
    if (this.active) return;
    this.open();
    removeTemporaries(this.storage);
    const transaction = this.current;
    if (transaction === undefined) {
      this.discardFirstAttempt();
      this.known = emptyHints();
      this.writer.segment = 0;
    } else {
      deleteUncommitted(this.segments, transaction);
      this.writer.segment = transaction + 1;
      this.known ??= this.loadHints(transaction);
      this.known.shadow.dropAfter(transaction);
    }
    this.active = true;
    this.doomed = undefined;
  }

  /**
   * Segments without a commit among them, and no index: what a crash in the very first transaction (the manifest that
   * init writes) leaves behind, and it may go. Anything larger may be all that is left of somebody's data.
   */
  private discardFirstAttempt(): void {
    let size = 0;
    for (const segment of this.segments.numbers()) size += this.segments.sizeIfThere(segment);
    if (size > FIRST_ATTEMPT) throw new CheckNeeded(this.storage.root);
    deleteUncommitted(this.segments, undefined);
  }

  private loadHints(transaction: number): Hints {
    const { log } = this.options;
    try {
      return this.upgraded(readHints(this.storage, transaction, log), this.index);
    } catch (error) {
      if (!(error instanceof AuxiliaryDamaged)) throw error;
      log("warning", `The repository hints are missing or damaged, rebuilding them (${error.message}).`);
      if (!error.missing) removeAuxiliary(this.storage, "hints", transaction);
      removeAuxiliary(this.storage, "index", transaction);
      this.recover(undefined, transaction);
      return this.hints;
    }
  }

  /** Runs a change of the log. If it fails, all that remains is to roll back: the log's end is unknown. */
  private change<T>(work: () => T): T {
    if (this.doomed !== undefined) throw this.doomed;
    try {
      return work();
    } catch (error) {
      this.spaceIsOut ||= ["ENOSPC", "EDQUOT"].includes((error as NodeJS.ErrnoException).code ?? "");
      this.doomed = systemFailure(error, `Writing to repository ${this.storage.root} failed`);
      throw this.doomed;
    }
  }

  put(id: Uint8Array, data: Uint8Array): void {
    checkDataSize(data.length);
    const entry = putEntry(id, data);
    this.begin();
    this.change(() => {
      const manifest = isManifest(id);
      this.supersede(id);
      const offset = this.writer.append(entry, { newSegment: manifest });
      this.added(id, 0, offset, entry.length);
      this.checkQuota();
    });
  }

  /**
   * Appends objects whose PUT entries are finished (crc included), in one write where they stand back to back and fit
   * into one segment. Ids that are in the repository are superseded.
   * @param places offset and length of each entry in the buffer
   */
  appendObjects(buffer: Uint8Array, places: Uint32Array): void {
    if (places.length === 0) return;
    for (let i = 0; i < places.length; i += 2) checkDataSize(places[i + 1]! - PUT_HEADER_SIZE);
    this.begin();
    this.index.touch(buffer, places, 2, HEADER_SIZE, places.length / 2);
    this.change(() => {
      for (let i = 0; i < places.length; ) {
        const first = places[i]!;
        const id = buffer.slice(first + HEADER_SIZE, first + PUT_HEADER_SIZE);
        // An id that is there already needs a DELETE before its PUT; and a full segment ends the run.
        this.supersede(id);
        let end = first + places[i + 1]!;
        let n = i + 2;
        for (; n < places.length; n += 2) {
          const next = places[n]!;
          if (
            next !== end ||
            this.writer.isFullAfter(end - first) ||
            this.index.has(buffer, next + HEADER_SIZE)
          )
            break;
          end += places[n + 1]!;
        }
        const at = this.writer.append(buffer.subarray(first, end), { newSegment: isManifest(id) });
        for (; i < n; i += 2) {
          const offset = places[i]!;
          this.added(buffer, offset + HEADER_SIZE, at + offset - first, places[i + 1]!);
        }
      }
      this.checkQuota();
    });
  }

  delete(id: Uint8Array): void {
    this.open();
    if (!this.index.has(id)) throw new ObjectNotFound(toHex(id), this.storage.root);
    this.begin();
    this.change(() => this.supersede(id));
  }

  /** Writes a DELETE for an id that is in the repository, and keeps the books. */
  private supersede(id: Uint8Array): void {
    const slot = this.index.find(id);
    if (slot < 0) return;
    const { hints } = this;
    const segment = this.index.word(slot, 0);
    const offset = this.index.word(slot, 1);
    this.readable(segment);
    const size = readEntrySize(this.segments, segment, offset, id);
    this.index.remove(slot);
    hints.shadow.add(id, 0, segment);
    addTo(hints.segments, segment, -1);
    addTo(hints.compact, segment, size);
    this.writer.append(deleteEntry(id), { newSegment: isManifest(id) });
    addTo(hints.compact, this.writer.segment, PUT_HEADER_SIZE);
    addTo(hints.segments, this.writer.segment, 0);
  }

  /** @param idAt where the id lies in `id` */
  private added(id: Uint8Array, idAt: number, offset: number, size: number): void {
    const slot = this.index.find(id, idAt);
    if (slot >= 0) {
      // The same id twice in one run: the later PUT supersedes the earlier one without a DELETE between.
      const older = this.index.word(slot, 0);
      addTo(this.hints.segments, older, -1);
      addTo(this.hints.compact, older, size);
      this.hints.shadow.add(id, idAt, older);
    }
    this.index.insert(id, idAt, this.writer.segment, offset);
    addTo(this.hints.segments, this.writer.segment, 1);
    this.hints.quotaUse += size;
  }

  private checkQuota(): void {
    const { storageQuota } = this.options;
    if (storageQuota && this.hints.quotaUse > storageQuota) {
      throw new StorageQuotaExceeded(formatFileSize(storageQuota), formatFileSize(this.hints.quotaUse));
    }
  }

  /** Appends an entry as it is, without any bookkeeping: compaction does its own. Gives its offset. */
  appendRaw(entry: Uint8Array, newSegment: boolean): number {
    return this.change(() => this.writer.append(entry, { newSegment }));
  }

  /** Makes sure that what was appended to a segment can be read from its file. */
  readable(segment: number): void {
    if (this.writer.isWriting(segment)) this.writer.flush();
  }

  /** Writes COMMIT: from here on the transaction survives. Index and hints still have to be written: finish(). */
  commitSegment(options: { intermediate?: boolean } = {}): number {
    return this.change(() => {
      const segment = this.writer.commit(options);
      addTo(this.hints.segments, segment, 0);
      addTo(this.hints.compact, segment, HEADER_SIZE);
      return segment;
    });
  }

  /** Throws what made the transaction fail, after rolling it back. */
  checkDoomed(): void {
    const { doomed } = this;
    if (doomed === undefined) return;
    this.rollback();
    throw doomed;
  }

  /** After the last COMMIT: index, hints and integrity for it. The state stays in memory for what comes next. */
  finish(): void {
    const transaction = this.writer.segment - 1;
    if (this.options.appendOnly) this.logTransaction(transaction);
    writeAuxiliary(this.storage, transaction, this.index, this.hints);
    this.current = transaction;
    this.active = false;
  }

  /** Append-only repositories keep a list of their transactions, so that a good one can be gone back to. */
  private logTransaction(transaction: number): void {
    const line = `transaction ${transaction}, UTC time ${new Date().toISOString().slice(0, -1)}000\n`;
    const handle = this.storage.openWrite("transactions", { append: true });
    try {
      handle.write(new TextEncoder().encode(line));
      handle.sync();
    } finally {
      handle.close();
    }
  }

  /** Forgets uncommitted changes. With `cleanup`, their segments are deleted now, to free the space. */
  rollback(options: { cleanup?: boolean } = {}): void {
    const { active, current } = this;
    this.loaded = undefined;
    this.known = undefined;
    this.doomed = undefined;
    this.spaceIsOut = false;
    this.active = false;
    this.writer.abandon();
    if (options.cleanup && active && current !== undefined) deleteUncommitted(this.segments, current);
  }

  /** Replaces the state by one derived from the segments: check --repair. */
  adopt(state: LogState, transaction: number): void {
    this.loaded = state.index;
    this.known = state.hints;
    this.current = transaction;
    this.active = true;
  }
}

const isManifest = (id: Uint8Array) => id[0] === 0 && id.every((byte) => byte === 0);
