// A repository's cache on this machine: ~/.cache/borg/<repository id>/ with config, chunks, files, chunks.archive.d
// and a lock, shared with Borg. Changes happen in memory; commit writes them in Borg's transaction: a copy of the old
// files in txn.active, so that whoever opens the cache after a crash, Borg or we, goes back to it.
// Borg's docs/internals/data-structures.rst, "Cache", and cache.py, LocalCache.

import { rmSync } from "node:fs";
import { join } from "node:path";
import { loadCore } from "../core/index.ts";
import type { Environment } from "../crypto/environment.ts";
import { describeSystemError, FileIntegrityError } from "../errors.ts";
import { toHex } from "../format/bytes.ts";
import type { AttributeSight } from "../runtime/attribute-sight.ts";
import { removeTemporaries } from "../storage/atomic.ts";
import type { Storage } from "../storage/types.ts";
import { ArchiveSizes } from "./archive-sizes.ts";
import { bareMarks } from "./bare-files.ts";
import { ChunkIndex } from "./chunks.ts";
import { CacheConfig, type CacheManifest } from "./config.ts";
import { cacheDirPath, ensureDir } from "./dirs.ts";
import { FilesCache } from "./files.ts";
import { type FilesCacheMode, filesCacheName, filesCacheTtl } from "./files-mode.ts";
import { FileHasher } from "./integrity.ts";
import { type SecurityKey, SecurityManager, type SecurityRepository } from "./security.ts";
import { ARCHIVES_DIR, type SyncSource, syncChunks } from "./sync.ts";

const TXN_NEW = "txn.tmp";
const TXN = "txn.active";
const COPY_BYTES = 256 << 10;
const README =
  "This directory is the cache of a BorgBackup 1.x repository. It can be removed: it is made anew when needed.\n";

export interface CacheOptions {
  /** Files cache mode; absent or disabled: the files cache is not used. */
  filesMode?: FilesCacheMode;
  /** Another directory than the usual one. */
  path?: string;
  lockWait?: number;
  /** False: the repository is just being made, and nobody is asked about it. */
  warnIfUnencrypted?: boolean;
  /** How to bring the chunks cache in step, if it is not. Absent: it is used as it is (Borg's sync=False). */
  source?: () => Promise<SyncSource> | SyncSource;
  /** Features the manifest calls mandatory for any operation; this program supports none. */
  mandatoryFeatures?: Iterable<string>;
}

export class Cache {
  readonly config: CacheConfig;
  readonly security: SecurityManager;
  /** Sizes of archives that were counted before, with the manifest that the cache is in step with. */
  readonly sizes: ArchiveSizes;
  /** References of all archives. Replaced by rollback and sync. */
  chunks = new ChunkIndex();
  /** Undefined where the files cache is disabled. */
  files: FilesCache | undefined;
  /** A damaged archive index had to be made anew while syncing. */
  damaged = false;
  readonly #environment: Environment;
  readonly #key: SecurityKey;
  readonly #mode: FilesCacheMode | undefined;
  readonly #filesName: string;
  #changed = false;
  #sight: AttributeSight | undefined;

  private constructor(
    environment: Environment,
    repository: SecurityRepository,
    key: SecurityKey,
    options: CacheOptions,
  ) {
    this.#environment = environment;
    this.#key = key;
    this.#mode = options.filesMode?.disabled ? undefined : options.filesMode;
    this.#filesName = filesCacheName(environment.env);
    const { path, lockWait } = options;
    this.config = new CacheConfig(environment, repository, { path, lockWait });
    this.security = new SecurityManager(repository, environment);
    this.sizes = new ArchiveSizes(this.config.files, () => this.config.manifestId);
  }

  /** Opens the cache, making it if there is none, after the security checks; in step with the manifest afterwards.
   *  @throws the errors of SecurityManager, LockTimeout */
  static async open(
    environment: Environment,
    repository: SecurityRepository,
    key: SecurityKey,
    manifest: CacheManifest,
    options: CacheOptions = {},
  ): Promise<Cache> {
    const cache = new Cache(environment, repository, key, options);
    if (!cache.config.exists()) {
      await cache.security.assertAccessUnknown(manifest, key, options.warnIfUnencrypted ?? true);
      environment.cacheDir();
      cache.#create();
    }
    await cache.config.open();
    try {
      await cache.#start(manifest, options);
    } catch (error) {
      cache.close();
      throw error;
    }
    return cache;
  }

  /** Removes a repository's cache. */
  static destroy(
    environment: Environment,
    idHex: string,
    path = join(cacheDirPath(environment.env), idHex),
  ): void {
    const files = environment.storage(path);
    // Without its config the rest is no cache any more, whatever becomes of it.
    if (!files.exists("config")) return;
    files.unlink("config");
    rmSync(path, { recursive: true, force: true });
  }

  /** The cache's directory. */
  get path(): string {
    return this.config.path;
  }

  /** To be called before chunks or files change: commit does nothing otherwise. */
  beginTxn(): void {
    this.#changed = true;
  }

  get txnActive(): boolean {
    return this.#changed;
  }

  /** Makes what changed durable, in step with this manifest, and remembers the repository's state. */
  commit(manifest: CacheManifest): void {
    if (!this.#changed) return;
    const { config } = this;
    const { files } = config;
    this.security.save(manifest, this.#key);
    this.#snapshot();
    if (this.files) {
      const ttl = filesCacheTtl(this.#environment.env);
      config.integrity.set(this.#filesName.toLowerCase(), this.files.save(files, this.#filesName, ttl));
    }
    if (this.files?.marksBare && this.#sight) config.setSight(this.#filesName, this.#sight);
    config.integrity.set("chunks", this.chunks.save(files, "chunks"));
    config.save(manifest, this.#key.info.type);
    files.rename(TXN, TXN_NEW);
    removeTree(files, TXN_NEW);
    this.#changed = false;
  }

  /** Back to what was committed last. */
  rollback(): void {
    const { files } = this.config;
    if (files.exists(TXN_NEW)) removeTree(files, TXN_NEW);
    if (files.exists(TXN)) {
      for (const name of files.list(TXN))
        files.writeAtomic(name, files.read(`${TXN}/${name}`), { mode: 0o600 });
      files.rename(TXN, TXN_NEW);
      removeTree(files, TXN_NEW);
    }
    this.#changed = false;
    this.#load();
  }

  /** Counts the references of all archives anew, and commits. */
  async sync(manifest: CacheManifest, source: SyncSource): Promise<void> {
    this.beginTxn();
    const { files } = this.config;
    // A file in the place of the directory is how users switch the archive indexes off (Borg's FAQ).
    if (!files.exists(ARCHIVES_DIR)) files.mkdir(ARCHIVES_DIR, 0o700);
    if (files.stat(ARCHIVES_DIR).kind === "dir") removeTemporaries(files, ARCHIVES_DIR);
    const wanted = ["yes", "1", "true"].includes(
      (this.#environment.env["BORG_USE_CHUNKS_ARCHIVE"] ?? "yes").toLowerCase(),
    );
    const keep = wanted && files.stat(ARCHIVES_DIR).kind === "dir";
    const result = await syncChunks(files, source, keep, (l, m) => this.#environment.log(l, m));
    this.chunks = result.chunks;
    this.damaged ||= result.damaged;
    this.commit(manifest);
  }

  /** Releases the lock. What was not committed is gone. Idempotent. */
  close(): void {
    this.files?.close();
    try {
      this.sizes.save();
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === undefined) throw error;
      const why = describeSystemError(error as NodeJS.ErrnoException);
      this.#environment.log("warning", `The cache cannot keep what was counted: ${why}`);
    } finally {
      this.config.close();
    }
  }

  async #start(manifest: CacheManifest, options: CacheOptions): Promise<void> {
    try {
      removeTemporaries(this.config.files);
      this.rollback();
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT" && !(error instanceof FileIntegrityError))
        throw error;
      this.#wipe();
    }
    await this.security.assertSecure(manifest, this.#key, { cacheConfig: this.config });
    // No feature is supported: a cache that relied on one was made by another program, in a way unknown here.
    if (this.config.mandatoryFeatures.size > 0) this.#wipe();
    for (const feature of options.mandatoryFeatures ?? []) this.config.ignoredFeatures.add(feature);
    if (options.source && this.config.manifestId !== toHex(manifest.id)) {
      await this.sync(manifest, await options.source());
    }
  }

  #create(): void {
    const { files } = this.config;
    ensureDir(files.root, this.#environment.storage);
    files.writeAtomic("README", Buffer.from(README, "latin1"), { mode: 0o600 });
    this.config.create();
    new ChunkIndex().save(files, "chunks");
    if (!files.exists(ARCHIVES_DIR)) files.mkdir(ARCHIVES_DIR, 0o700);
    files.writeAtomic(this.#filesName, new Uint8Array(0), { mode: 0o600 });
    files.writeAtomic("pre12-meta", Buffer.from("{}", "latin1"), { mode: 0o600 });
  }

  #load(): void {
    const { config } = this;
    config.load();
    this.chunks = ChunkIndex.load(config.files, "chunks", config.integrity.get("chunks"));
    this.files?.close();
    this.files = undefined;
    if (!this.#mode) return;
    const marks = bareMarks(config, this.#filesName);
    this.#sight = marks.sight;
    this.files = FilesCache.load(
      config.files,
      this.#filesName,
      this.#mode,
      config.integrity.get(this.#filesName),
      (l, m) => this.#environment.log(l, m),
      loadCore(),
      marks,
    );
  }

  /** Empties a cache that is damaged or not understood; the next sync fills it. */
  #wipe(): void {
    this.#environment.log(
      "warning",
      "The cache is damaged or not compatible: it is emptied and will be made anew.",
    );
    const { config } = this;
    const { files } = config;
    if (files.exists(ARCHIVES_DIR) && files.stat(ARCHIVES_DIR).kind === "dir") {
      removeTree(files, ARCHIVES_DIR);
      files.mkdir(ARCHIVES_DIR, 0o700);
    }
    config.integrity.set("chunks", new ChunkIndex().save(files, "chunks"));
    files.writeAtomic(this.#filesName, new Uint8Array(0), { mode: 0o600 });
    const hasher = new FileHasher(this.#filesName);
    hasher.part("final");
    config.integrity.set(this.#filesName.toLowerCase(), hasher.data());
    config.saveWiped();
    this.#load();
  }

  /** Copies of the committed files. Copies, not links: Borg goes back by copying them over what is there. */
  #snapshot(): void {
    const { files } = this.config;
    if (files.exists(TXN_NEW)) removeTree(files, TXN_NEW);
    files.mkdir(TXN_NEW, 0o700);
    for (const name of ["config", "chunks", this.#filesName]) copyFile(files, name, `${TXN_NEW}/${name}`);
    files.syncDir(TXN_NEW);
    files.rename(TXN_NEW, TXN);
    files.syncDir("");
  }
}

/** Copies a file, an absent one as an empty one. Piece by piece: buffers of the caches' size (14 MB for 92,000 files) would
 *  cost a collection of all garbage. */
function copyFile(files: Storage, from: string, to: string): void {
  const source = files.exists(from) ? files.openRead(from) : undefined;
  try {
    const copy = files.openWrite(to, { mode: 0o600 });
    try {
      const piece = new Uint8Array(COPY_BYTES);
      let n = source?.read(piece, 0) ?? 0;
      for (let at = 0; n > 0; n = source!.read(piece, at)) {
        copy.write(piece.subarray(0, n));
        at += n;
      }
      copy.sync();
    } finally {
      copy.close();
    }
  } finally {
    source?.close();
  }
}

/** Removes a directory of files. */
function removeTree(files: Storage, dir: string): void {
  for (const name of files.list(dir)) files.unlink(`${dir}/${name}`);
  files.rmdir(dir);
}
