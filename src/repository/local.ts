// A repository in a local (or mounted) directory: what the commands and the server work with. Opening, locking, config
// and key are here; the log itself is in transaction.ts, its upkeep in compact.ts and check.ts, loaded when needed.
import { rmSync } from "node:fs";
import { resolve } from "node:path";
import type { HashIndex } from "../core/hashindex.ts";
import {
  AlcoveError,
  AtticRepository,
  describeSystemError,
  InsufficientFreeSpace,
  InvalidRepository,
  ObjectNotFound,
  PathPermissionDenied,
  RepositoryDoesNotExist,
} from "../errors.ts";
import { toHex } from "../format/bytes.ts";
import { formatFileSize } from "../format/sizes.ts";
import { nodePath } from "../runtime/pathbytes.ts";
import { PosixStorage } from "../storage/posix.ts";
import type { Storage } from "../storage/types.ts";
import { RepositoryConfig } from "./config.ts";
import type { Log } from "./constants.ts";
import { createRepository } from "./create.ts";
import { HEADER_SIZE, TAG_PUT } from "./entry.ts";
import { systemFailure } from "./failure.ts";
import { missingSpace } from "./freespace.ts";
import { Lock, type LockId } from "./lock.ts";
import { readNonce, reserveNonce } from "./nonce.ts";
import { readAhead } from "./readahead.ts";
import { entryId, readEntrySize, readObject, type SegmentEntry, segmentEntries } from "./reader.ts";
import { Segments } from "./segments.ts";
import { TransactionLog } from "./transaction.ts";
import type { CheckOptions, CommitOptions, ProgressSink, Repository } from "./types.ts";
import { SegmentWriter } from "./writer.ts";

export interface OpenOptions {
  /** Make a new repository first. */
  create?: boolean;
  /** Needed for every change; otherwise several may read at the same time. */
  exclusive?: boolean;
  /** Seconds to wait for others' locks, default 1. Undefined or null waits for ever where given explicitly as null. */
  lockWait?: number | null;
  /** False works without any lock (--bypass-lock): nothing is repaired on the way, then. */
  lock?: boolean;
  /** True forbids to free space, whatever the config says. */
  appendOnly?: boolean;
  /** Bytes, instead of the config's; 0 for none. */
  storageQuota?: number;
  makeParentDirs?: boolean;
  /** The location as the user gave it. */
  displayPath?: string;
  /** Told of the config before the lock is taken, which may take a while: for what can be begun meanwhile, and be in vain. What
   *  is wrong with the config is told by open(). */
  early?: (config: RepositoryConfig) => void;
  /** Borg's msgid repository.replay_segments while opening rebuilds an index. */
  progress?: ProgressSink;
  log?: Log;
  /** Instead of the directory itself: for tests that record or break what is written. */
  storage?: Storage;
}

export interface ObjectLocation {
  segment: number;
  /** Of the entry, header included. */
  offset: number;
}

export class LocalRepository implements Repository {
  readonly canonicalPath: string;
  readonly displayPath: string;
  readonly isRemote = false;
  readonly config: RepositoryConfig;
  readonly id: Uint8Array;
  readonly idHex: string;
  readonly appendOnly: boolean;
  readonly storage: Storage;
  /** Made by this very object: a failed first commit takes all of it away again. */
  private readonly created: boolean;
  private readonly lock: Lock | undefined;
  private readonly segments: Segments;
  private readonly log: TransactionLog;
  private readonly say: Log;
  private closed = false;

  private constructor(storage: Storage, lock: Lock | undefined, options: OpenOptions) {
    this.storage = storage;
    this.lock = lock;
    this.say = options.log ?? (() => {});
    this.canonicalPath = storage.root;
    this.displayPath = options.displayPath ?? storage.root;
    this.created = options.create ?? false;
    this.config = RepositoryConfig.load(storage);
    this.id = this.config.id;
    this.idHex = toHex(this.id);
    this.appendOnly = (options.appendOnly ?? false) || this.config.appendOnly;
    this.segments = new Segments(storage, this.config.segmentsPerDir);
    this.log = new TransactionLog({
      storage,
      segments: this.segments,
      writer: new SegmentWriter(this.segments, this.config.maxSegmentSize),
      storageQuota: options.storageQuota ?? this.config.storageQuota,
      appendOnly: this.appendOnly,
      mayWrite: lock !== undefined,
      log: this.say,
      progress: (current, total) =>
        options.progress?.({
          msgid: "repository.replay_segments",
          current,
          total,
          finished: current === total,
        }),
    });
  }

  /**
   * @throws RepositoryDoesNotExist, InvalidRepository, InvalidRepositoryConfig, AtticRepository, PathPermissionDenied,
   * LockTimeout, LockFailed, and with `create` what createRepository throws
   */
  static async open(location: string, options: OpenOptions = {}): Promise<LocalRepository> {
    const path = resolve(location);
    const storage = options.storage ?? new PosixStorage(path);
    if (options.create) createRepository(path, { ...options, storage });
    try {
      // Before the lock: no lock files in directories that are none of ours.
      if (storage.stat("").kind !== "dir" || !storage.exists("config")) throw new InvalidRepository(path);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === "ENOENT" || code === "ENOTDIR") throw new RepositoryDoesNotExist(path);
      if (code === "EACCES" || code === "EPERM") throw new PathPermissionDenied(path);
      throw error;
    }
    if (options.early) {
      const config = RepositoryConfig.peek(storage);
      if (config) options.early(config);
    }
    let lock: Lock | undefined;
    if (options.lock !== false) {
      const { exclusive = false, lockWait = 1 } = options;
      const timeout = lockWait ?? undefined;
      lock = new Lock(storage, "lock", {
        exclusive,
        ...(timeout === undefined ? {} : { timeout }),
        log: options.log ?? (() => {}),
      });
      await lock.acquire();
    }
    try {
      const repository = new LocalRepository(storage, lock, options);
      const latest = repository.segments.latest();
      if (latest !== undefined && repository.segments.isAttic(latest)) throw new AtticRepository(path);
      return repository;
    } catch (error) {
      lock?.release();
      throw error;
    }
  }

  // Key and config

  async loadKey(): Promise<Uint8Array> {
    return this.config.key;
  }

  async saveKey(blob: Uint8Array): Promise<void> {
    this.config.key = blob;
    this.saveConfig();
  }

  /** Writes changes that were made to `config.ini`. */
  saveConfig(): void {
    this.config.save(this.storage, { readOnlyIsFine: this.lock === undefined, log: this.say });
  }

  async getFreeNonce(): Promise<number | undefined> {
    this.requireExclusive();
    return readNonce(this.storage);
  }

  async commitNonceReservation(nextUnreserved: number, startNonce: number | undefined): Promise<void> {
    this.requireExclusive();
    try {
      reserveNonce(this.storage, nextUnreserved, startNonce);
    } catch (error) {
      // Without a lock the repository is only read: what is encrypted stays on this machine (caches).
      const { code } = error as NodeJS.ErrnoException;
      if (this.lock || !["EPERM", "EACCES", "EROFS"].includes(code ?? "")) throw error;
      this.say(
        "warning",
        `${describeSystemError(error as NodeJS.ErrnoException)}: the nonce reservation was not written.`,
      );
    }
  }

  private requireExclusive(): void {
    if (this.lock && !this.lock.holdsExclusive) {
      throw new AlcoveError(
        `The exclusive lock of repository ${this.displayPath} is needed, but not (or no longer) held.`,
      );
    }
  }

  // Reading

  /** Loads the index; after a crash, or where it is damaged, it is rebuilt first. All below that is sync needs it. */
  async prepare(): Promise<void> {
    if (this.log.isOpen) return;
    // Two writers at the same index would be a disaster: recovery upgrades the lock.
    if (this.log.needsRecovery() && this.lock && !this.lock.holdsExclusive) await this.lock.upgrade();
    this.log.open();
  }

  async count(): Promise<number> {
    await this.prepare();
    return this.log.index.size;
  }

  async has(id: Uint8Array): Promise<boolean> {
    await this.prepare();
    return this.log.index.has(id);
  }

  async get(id: Uint8Array): Promise<Uint8Array> {
    await this.prepare();
    return this.getSync(id);
  }

  /** As get(); prepare() comes first. */
  getSync(id: Uint8Array): Uint8Array {
    const at = this.objectLocation(id);
    if (!at) throw new ObjectNotFound(toHex(id), this.displayPath);
    try {
      return readObject(this.segments, at.segment, at.offset, id);
    } catch (error) {
      throw systemFailure(error, `Reading from repository ${this.displayPath} failed`);
    }
  }

  async *getMany(
    ids: Iterable<Uint8Array>,
    options: { preloaded?: boolean; missing?: "throw" | "skip" } = {},
  ): AsyncGenerator<Uint8Array | undefined> {
    await this.prepare();
    yield* readAhead(this.segments, ids, (id) => {
      const at = this.objectLocation(id);
      if (!at && options.missing !== "skip") throw new ObjectNotFound(toHex(id), this.displayPath);
      return at;
    });
  }

  preload(): void {}

  /** Where an object's entry is; undefined if there is none. prepare() comes first. */
  objectLocation(id: Uint8Array): ObjectLocation | undefined {
    const { index } = this.log;
    const slot = index.find(id);
    if (slot < 0) return undefined;
    const segment = index.word(slot, 0);
    this.log.readable(segment);
    return { segment, offset: index.word(slot, 1) };
  }

  /** As objectLocation, with the size of the entry, which takes a read. */
  locate(id: Uint8Array): (ObjectLocation & { size: number }) | undefined {
    const at = this.objectLocation(id);
    return at && { ...at, size: readEntrySize(this.segments, at.segment, at.offset, id) };
  }

  /** Absolute path of a segment's file, for workers that read by themselves. */
  segmentPath(segment: number): string {
    return this.segments.path(segment);
  }

  /** Numbers of all segment files, in order. */
  segmentNumbers(): number[] {
    return [...this.segments.numbers()];
  }

  /** Entries of a segment, committed or not, current or not (borg's scan_low_level and debug commands). */
  segmentEntries(
    segment: number,
    options: { offset?: number; headersOnly?: boolean } = {},
  ): Generator<SegmentEntry> {
    this.log.readable(segment);
    return segmentEntries(this.segments, segment, options);
  }

  /** The index itself: id → segment, offset. Read it only. Replaced by commits and rollbacks; prepare() comes first. */
  get index(): HashIndex {
    return this.log.index;
  }

  async list(limit = Number.POSITIVE_INFINITY, marker?: Uint8Array): Promise<Uint8Array[]> {
    await this.prepare();
    const { index } = this.log;
    let slot = -1;
    if (marker) {
      slot = index.find(marker);
      if (slot < 0) throw new ObjectNotFound(toHex(marker), this.displayPath);
    }
    const ids: Uint8Array[] = [];
    for (slot = index.next(slot); slot >= 0 && ids.length < limit; slot = index.next(slot))
      ids.push(index.key(slot));
    return ids;
  }

  /** The marker is the last id of the answer before, as in the remote protocol. */
  async scan(
    limit = Number.POSITIVE_INFINITY,
    marker?: unknown,
  ): Promise<{ ids: Uint8Array[]; marker: unknown }> {
    if (limit < 1) throw new RangeError("limit must be above 0");
    await this.prepare();
    const { index } = this.log;
    const from = marker instanceof Uint8Array ? this.objectLocation(marker) : undefined;
    if (marker instanceof Uint8Array && !from) throw new ObjectNotFound(toHex(marker), this.displayPath);
    const ids: Uint8Array[] = [];
    for (const segment of [...this.segments.numbers({ from: from?.segment ?? 0 })]) {
      const start = segment === from?.segment ? from.offset : 0;
      try {
        for (const entry of this.segmentEntries(segment, { offset: start, headersOnly: true })) {
          // The marker's object was given already.
          if (start > 0 && entry.offset === start) continue;
          if (entry.tag !== TAG_PUT) continue;
          const slot = index.find(entry.buffer, entry.at + HEADER_SIZE);
          if (slot < 0 || index.word(slot, 0) !== segment || index.word(slot, 1) !== entry.offset) continue;
          ids.push(entryId(entry));
          if (ids.length >= limit) return { ids, marker: ids.at(-1) };
        }
      } catch (error) {
        // Behind a damaged header nothing can be found in this segment any more.
        if (!(error instanceof AlcoveError)) throw error;
      }
    }
    return { ids, marker: ids.at(-1) ?? marker };
  }

  // Writing

  /** Begins a transaction where none is active. The sync methods for writing need it. */
  async beginTransaction(): Promise<void> {
    if (this.log.isActive) return;
    this.requireExclusive();
    await this.prepare();
    this.log.begin();
  }

  async put(id: Uint8Array, data: Uint8Array): Promise<void> {
    await this.beginTransaction();
    this.log.put(id, data);
  }

  /** As put(); beginTransaction() comes first. */
  putSync(id: Uint8Array, data: Uint8Array): void {
    this.log.put(id, data);
  }

  /**
   * Many objects in one go: finished PUT entries (see entry.ts, sealEntry), back to back in `buffer` for the fewest
   * writes. beginTransaction() comes first.
   */
  appendObjects(buffer: Uint8Array, places: Uint32Array): void {
    this.log.appendObjects(buffer, places);
  }

  async delete(id: Uint8Array): Promise<void> {
    await this.beginTransaction();
    this.log.delete(id);
  }

  /** Unless `compact` is set, nothing is compacted. @throws InsufficientFreeSpace, and what made the transaction fail */
  async commit(options: CommitOptions = {}): Promise<void> {
    await this.beginTransaction();
    this.log.checkDoomed();
    await this.checkFreeSpace();
    try {
      this.log.commitSegment();
      if (options.compact && !this.appendOnly) {
        const { compactSegments, markCommitSegments } = await import("./compact.ts");
        if (options.cleanupCommits) markCommitSegments(this.log);
        await compactSegments(this.log, options);
      }
      this.log.finish();
    } catch (error) {
      this.log.rollback();
      throw systemFailure(error, `Writing to repository ${this.displayPath} failed`);
    }
  }

  private async checkFreeSpace(): Promise<void> {
    const missing = missingSpace(this.log, this.config);
    if (!missing) return;
    if (this.created) {
      this.say("error", "Not enough free space to make a repository here.");
      await this.destroy();
    } else this.log.rollback({ cleanup: true });
    throw new InsufficientFreeSpace(formatFileSize(missing.required), formatFileSize(missing.available));
  }

  /** What commit({compact: true, threshold}) would free now. */
  async compactionPlan(threshold = 0.1): Promise<{ segments: number[]; bytes: number }> {
    await this.prepare();
    const { compactionPlan } = await import("./compact.ts");
    return compactionPlan(this.log, threshold);
  }

  async rollback(): Promise<void> {
    this.log.rollback();
  }

  async check(options: CheckOptions = {}): Promise<boolean> {
    if (this.log.isActive) throw new AlcoveError("A check is not possible within a transaction.");
    if (options.repair) this.requireExclusive();
    this.log.rollback();
    if (this.lock && !this.lock.holdsExclusive && this.log.needsRecovery()) await this.lock.upgrade();
    const context = { log: this.log, config: this.config, saveConfig: () => this.saveConfig() };
    const { checkRepository } = await import("./check.ts");
    return checkRepository(context, options);
  }

  transactionId(): number | undefined {
    return this.log.transaction;
  }

  /** Bytes that count against the storage quota. */
  async quotaUse(): Promise<number> {
    await this.prepare();
    return this.log.readHints().quotaUse;
  }

  async breakLock(): Promise<void> {
    (this.lock ?? new Lock(this.storage, "lock")).break();
  }

  /** Removes the locks of a repository, whoever holds them; it need not be opened for that. */
  static breakLock(location: string): void {
    new Lock(new PosixStorage(location), "lock").break();
  }

  /** The lock now belongs to another process, into which this one has forked or moved. */
  migrateLock(to: LockId): void {
    this.lock?.migrate(to);
  }

  async destroy(): Promise<void> {
    if (this.appendOnly)
      throw new AlcoveError(`${this.displayPath} is in append-only mode and cannot be deleted.`);
    await this.close();
    // The config first: what is left of an interrupted deletion is no repository any more.
    this.storage.unlink("config");
    rmSync(nodePath(this.storage.root), { recursive: true });
  }

  async close(): Promise<void> {
    this.closeSync();
  }

  /** As close(), for the last moments of a process. */
  closeSync(): void {
    if (this.closed) return;
    this.closed = true;
    try {
      // On a full disk, what the aborted transaction wrote is removed at once.
      if (this.log.isActive) this.log.rollback({ cleanup: this.log.failedForSpace });
      this.segments.closeAll();
    } finally {
      this.lock?.release();
    }
  }
}
