// The public API's repository: opened once, used for several operations one after the other, closed. Every operation
// that writes commits at its end, or leaves nothing.
import { Archive as StoredArchive } from "../archive/archive.ts";
import { checkArchives } from "../archive/check.ts";
import { ChunkStore } from "../archive/chunk-store.ts";
import { deleteArchive } from "../archive/delete.ts";
import { Manifest } from "../archive/manifest.ts";
import { cacheManifest, makeObjects, openCache, openManifest } from "../archive/session.ts";
import { Statistics } from "../archive/stats.ts";
import { SecurityManager } from "../cache/security.ts";
import { parseCompression } from "../compress/index.ts";
import { loadCore } from "../core/index.ts";
import { createKey } from "../crypto/keys.ts";
import { rememberTamRequired } from "../crypto/tam.ts";
import { AlcoveError } from "../errors.ts";
import { toHex } from "../format/bytes.ts";
import { Archive } from "./archive.ts";
import { type Connection, connect } from "./connect.ts";
import { backUp, createArchive } from "./create.ts";
import type {
  ArchiveStats,
  ArchiveSummary,
  BackupOptions,
  CheckOptions,
  CreateOptions,
  Entry,
  InitOptions,
  OpenOptions,
  OperationOptions,
} from "./types.ts";

/** A Borg repository, local or behind ssh. Operations are called one at a time. */
export class Repository {
  readonly #connection: Connection;
  readonly #mode: NonNullable<OpenOptions["mode"]>;
  #manifest: Manifest | undefined;
  #busy = false;
  #closed = false;

  private constructor(connection: Connection, mode: NonNullable<OpenOptions["mode"]>) {
    this.#connection = connection;
    this.#mode = mode;
  }

  /**
   * Opens a repository and unlocks its key.
   * @param location a path, "ssh://user@host/path" or "user@host:path"
   * @throws AlcoveError of many kinds: RepositoryDoesNotExist, LockTimeout, PassphraseWrong, …; see `msgid`
   */
  static async open(location: string, options: OpenOptions = {}): Promise<Repository> {
    const repository = new Repository(await connect(location, options), options.mode ?? "read");
    try {
      await repository.#load("lz4");
    } catch (e) {
      await repository.close();
      throw e;
    }
    return repository;
  }

  /** Makes a new repository with its key, and opens it for writing. */
  static async init(location: string, options: InitOptions): Promise<Repository> {
    const connection = await connect(location, options, options);
    const { repository, environment } = connection;
    try {
      const core = loadCore();
      const key = await createKey(repository, environment, {
        mode: options.encryption,
        location: connection.location,
        kernels: core,
      });
      const manifest = new Manifest(await makeObjects(repository, key, core));
      await manifest.write();
      await repository.commit({ compact: false });
      const cache = await openCache(manifest, environment, { warnIfUnencrypted: false });
      cache.close();
      if (key.tamRequired)
        rememberTamRequired(environment.storage(environment.securityDir(repository.idHex)), true);
    } catch (e) {
      // No key, no repository: what was just made would be of no use to anyone.
      await repository.destroy();
      await repository.close();
      throw e;
    }
    return new Repository(connection, "write");
  }

  /** 64 hex digits. */
  get id(): string {
    return this.#connection.repository.idHex;
  }

  /** Absolute path or ssh:// address. */
  get location(): string {
    return this.#connection.repository.canonicalPath;
  }

  /** The archives, oldest first. */
  async archives(): Promise<ArchiveSummary[]> {
    const manifest = await this.#load("lz4");
    return manifest.archives
      .select({ sortBy: ["timestamp"] })
      .map((a) => ({ name: a.name, id: toHex(a.id), start: new Date(a.micros / 1000) }));
  }

  /** @throws ArchiveDoesNotExist */
  async archive(name: string): Promise<Archive> {
    return new Archive(await StoredArchive.open(await this.#load("lz4"), name));
  }

  /**
   * Makes an archive of whatever the entries are: nothing needs to exist as a file. Directories come before what
   * is in them. Rejects, and leaves nothing, if the source throws or the signal is aborted.
   */
  async create(
    name: string,
    entries: Iterable<Entry> | AsyncIterable<Entry>,
    options: CreateOptions = {},
  ): Promise<ArchiveStats> {
    return this.#write(options, (manifest) =>
      createArchive(manifest, this.#connection.environment, name, entries, options),
    );
  }

  /** Makes an archive of files and directories of this machine, as the command `create` does. */
  async backup(name: string, paths: readonly string[], options: BackupOptions = {}): Promise<ArchiveStats> {
    return this.#write(options, (manifest) =>
      backUp(manifest, this.#connection.environment, name, paths, options),
    );
  }

  /** Deletes an archive; the space is given back by the next {@link compact}. @throws ArchiveDoesNotExist */
  async delete(name: string, options: OperationOptions = {}): Promise<void> {
    await this.#write({}, async (manifest) => {
      const archive = await StoredArchive.open(manifest, name);
      const cache = await openCache(manifest, this.#connection.environment);
      try {
        cache.beginTxn();
        const stats = new Statistics();
        const store = new ChunkStore(manifest.objects, cache.chunks.index, stats);
        await deleteArchive(archive, store, {
          stats,
          progress: (current, total) => {
            options.signal?.throwIfAborted();
            options.onProgress?.({ operation: "delete", current, total, path: name });
          },
        });
        manifest.archives.delete(name);
        await manifest.write();
        await manifest.objects.repository.commit({ compact: false });
        cache.commit(cacheManifest(manifest));
      } finally {
        cache.close();
      }
    });
  }

  /** Frees the space of what is not used any more. */
  async compact(options: Pick<OperationOptions, "onProgress"> = {}): Promise<void> {
    await this.#write({}, async () => {
      await this.#connection.repository.commit({
        compact: true,
        progress: (p) => options.onProgress?.({ operation: p.msgid, current: p.current, total: p.total }),
      });
    });
  }

  /** Verifies the repository and its archives, changing nothing. @returns whether everything is in order */
  async check(options: CheckOptions = {}): Promise<boolean> {
    return this.#alone(async () => {
      const { repository, environment } = this.#connection;
      options.signal?.throwIfAborted();
      const log = (level: string, message: string): void => {
        if (level === "error") options.onProblem?.(message);
      };
      const progress = (p: { msgid: string; current: number; total: number }): void =>
        options.onProgress?.({ operation: p.msgid, current: p.current, total: p.total });
      const sound = await repository.check({ progress, log });
      options.signal?.throwIfAborted();
      const good = await checkArchives(repository, {
        core: loadCore(),
        environment,
        verifyData: options.verifyData ?? false,
        log,
        progress,
        ...(options.signal ? { signal: options.signal } : {}),
      });
      return sound && good;
    });
  }

  /** Releases the lock. What has not been committed is rolled back. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#connection.repository.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #load(compression: string): Promise<Manifest> {
    if (this.#closed) throw new AlcoveError("The repository is closed.");
    if (this.#manifest) return this.#manifest;
    const { repository, environment } = this.#connection;
    const manifest = await openManifest(repository, environment, {
      operations: ["read"],
      compression: parseCompression(compression),
      core: loadCore(),
    });
    await new SecurityManager(repository, environment).assertSecure(
      { timestamp: manifest.timestamp ?? "" },
      manifest.key,
      {},
    );
    this.#manifest = manifest;
    return manifest;
  }

  async #alone<T>(work: () => Promise<T>): Promise<T> {
    if (this.#busy) throw new AlcoveError("Another operation is under way on this repository: wait for it.");
    this.#busy = true;
    try {
      return await work();
    } finally {
      this.#busy = false;
    }
  }

  // The manifest is read anew for what writes: it carries the compression, and a failure leaves nothing of it.
  async #write<T>(options: CreateOptions, work: (manifest: Manifest) => Promise<T>): Promise<T> {
    if (this.#mode !== "write")
      throw new AlcoveError('The repository is not open for writing (mode "write").');
    return this.#alone(async () => {
      options.signal?.throwIfAborted();
      this.#manifest = undefined;
      const manifest = await this.#load(options.compression ?? "lz4");
      manifest.checkCompatibility(["write"]);
      try {
        return await work(manifest);
      } catch (e) {
        this.#manifest = undefined;
        await this.#connection.repository.rollback();
        throw e;
      }
    });
  }
}
