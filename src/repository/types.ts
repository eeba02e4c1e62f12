// The contract between a repository, local or behind the remote protocol, and everything above it.
// Borg's docs/internals/data-structures.rst: a repository is a transactional key-value store of objects.

import type { SegmentReader } from "./check-entries.ts";

/** Progress of something long, as Borg's progress_percent records have it. */
export interface Progress {
  /** Borg's msgid of the operation, e.g. "check.verify_data". */
  msgid: string;
  current: number;
  total: number;
  /** What is being worked on, for people. */
  info?: string[];
  finished?: boolean;
}
export type ProgressSink = (p: Progress) => void;

export interface CheckOptions {
  repair?: boolean;
  /** Seconds; 0 for no limit. A partial check is continued by the next one. */
  maxDuration?: number;
  saveSpace?: boolean;
  /** Reads the segments in place of the check itself; local repositories only. */
  reader?: SegmentReader;
  progress?: ProgressSink;
  log?: (level: "debug" | "info" | "warning" | "error", message: string) => void;
}

export interface CommitOptions {
  saveSpace?: boolean;
  compact?: boolean;
  /** Fraction 0..1 of garbage above which a segment is compacted. */
  threshold?: number;
  cleanupCommits?: boolean;
  progress?: ProgressSink;
}

/** A repository in use. Ids are 32 bytes; objects are opaque. Every method throws an AlcoveError subclass. */
export interface Repository {
  /** 32 bytes. */
  readonly id: Uint8Array;
  readonly idHex: string;
  /** Canonical location: an absolute path, or ssh://… (as Borg's Location.canonical_path()). */
  readonly canonicalPath: string;
  /** Location as the user gave it, for messages. */
  readonly displayPath: string;
  readonly appendOnly: boolean;
  /** True where a get costs a round trip. */
  readonly isRemote: boolean;

  /** The key blob of a repokey repository; empty if there is none. */
  loadKey(): Promise<Uint8Array>;
  saveKey(blob: Uint8Array): Promise<void>;

  /** Number of objects, after recovery. */
  count(): Promise<number>;
  has(id: Uint8Array): Promise<boolean>;
  /** @throws ObjectNotFound, IntegrityError */
  get(id: Uint8Array): Promise<Uint8Array>;
  /** Objects in the order of the ids. `preloaded`: the ids were announced with preload(). Missing ones throw,
   *  or are given as undefined where `missing` is "skip". */
  getMany(
    ids: Iterable<Uint8Array>,
    options?: { preloaded?: boolean; missing?: "throw" | "skip" },
  ): AsyncIterable<Uint8Array | undefined>;
  /** Announces ids that will be asked for by getMany({preloaded: true}) in this order. */
  preload(ids: Uint8Array[]): void;
  /** May return before the object is stored (remote); an error then surfaces at the latest in commit(). */
  put(id: Uint8Array, data: Uint8Array): Promise<void>;
  delete(id: Uint8Array): Promise<void>;
  /** Up to limit ids after marker, in index order. */
  list(limit?: number, marker?: Uint8Array): Promise<Uint8Array[]>;
  /** Up to limit ids in on-disk order, after marker; the marker is opaque and given with the result. */
  scan(limit?: number, marker?: unknown): Promise<{ ids: Uint8Array[]; marker: unknown }>;

  commit(options?: CommitOptions): Promise<void>;
  rollback(): Promise<void>;
  check(options?: CheckOptions): Promise<boolean>;

  /** The repository's first free nonce, undefined if never reserved. */
  getFreeNonce(): Promise<number | undefined>;
  /** Compare-and-set of the nonce reservation. */
  commitNonceReservation(nextUnreserved: number, startNonce: number | undefined): Promise<void>;

  /** Transaction id that index.N and hints.N carry now; undefined for an empty repository. Local only: remote gives undefined. */
  transactionId(): number | undefined;
  breakLock(): Promise<void>;
  /** Deletes the whole repository. */
  destroy(): Promise<void>;
  /** Releases the lock; an open transaction is rolled back. Idempotent. */
  close(): Promise<void>;
}
