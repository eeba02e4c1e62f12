// Everything that a backup program keeps (repository, cache, security directory) under one recorded storage, and the
// steps of its life at library level: what the commands do, in process, so that a crash can come behind any write.
import { createHash } from "node:crypto";
import { lstatSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { Archive } from "../../src/archive/archive.ts";
import { checkArchives } from "../../src/archive/check.ts";
import { ChunkStore } from "../../src/archive/chunk-store.ts";
import { Creator } from "../../src/archive/create.ts";
import { deleteArchive } from "../../src/archive/delete.ts";
import { Extractor } from "../../src/archive/extract.ts";
import { MANIFEST_ID, Manifest } from "../../src/archive/manifest.ts";
import { planPrune } from "../../src/archive/prune.ts";
import { Recreator } from "../../src/archive/recreate.ts";
import { renameArchive } from "../../src/archive/rewrite.ts";
import { cacheManifest, makeObjects, openCache, openManifest } from "../../src/archive/session.ts";
import { Statistics } from "../../src/archive/stats.ts";
import { ArchiveWriter } from "../../src/archive/writer.ts";
import type { Cache } from "../../src/cache/cache.ts";
import { localEnvironment } from "../../src/cache/dirs.ts";
import { parseFilesCacheMode } from "../../src/cache/files-mode.ts";
import { SecurityManager } from "../../src/cache/security.ts";
import { parseChunkerParams } from "../../src/chunker/index.ts";
import { parseCompression } from "../../src/compress/index.ts";
import { loadCore } from "../../src/core/index.ts";
import type { Environment } from "../../src/crypto/environment.ts";
import { createKey } from "../../src/crypto/keys.ts";
import type { KeyMode } from "../../src/crypto/modes.ts";
import { rememberTamRequired } from "../../src/crypto/tam.ts";
import type { AlcoveWarning } from "../../src/errors.ts";
import { parseLocation } from "../../src/format/location.ts";
import { LocalRepository } from "../../src/repository/local.ts";
import { buildMatcher } from "../../src/select/index.ts";
import { PosixStorage } from "../../src/storage/posix.ts";
import type { Storage } from "../../src/storage/types.ts";
import { SubStorage } from "./sub-storage.ts";

export interface Opened {
  repository: LocalRepository;
  environment: Environment;
}

/** Name of an archive → digest of all its items and their contents. */
export type Archives = Map<string, string>;

/** A directory with repo/, cache/ and config/ in it, as BORG_BASE_DIR has them, worked on through `storage`. */
export class World {
  readonly base: string;
  readonly storage: Storage;
  passphrase: string;
  readonly messages: string[] = [];

  constructor(base: string, passphrase: string, storage: Storage = new PosixStorage(base)) {
    this.base = base;
    this.passphrase = passphrase;
    this.storage = storage;
  }

  get repositoryPath(): string {
    return join(this.base, "repo");
  }

  get env(): Record<string, string> {
    return {
      BORG_CACHE_DIR: join(this.base, "cache"),
      BORG_SECURITY_DIR: join(this.base, "security"),
      BORG_KEYS_DIR: join(this.base, "keys"),
      BORG_PASSPHRASE: this.passphrase,
      BORG_RELOCATED_REPO_ACCESS_IS_OK: "yes",
      BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK: "yes",
    };
  }

  environment(): Environment {
    return localEnvironment(this.env, {
      storage: (root) =>
        root === this.base
          ? this.storage
          : root.startsWith(`${this.base}/`)
            ? new SubStorage(this.storage, root.slice(this.base.length + 1))
            : new PosixStorage(root),
      log: (level, message) => void this.messages.push(`${level}: ${message}`),
    });
  }

  async open<T>(work: (opened: Opened) => Promise<T>, create = false): Promise<T> {
    const repository = await LocalRepository.open(this.repositoryPath, {
      create,
      exclusive: true,
      lockWait: 0,
      storage: new SubStorage(this.storage, "repo"),
    });
    try {
      return await work({ repository, environment: this.environment() });
    } finally {
      await repository.close();
    }
  }

  /** The part of init that makes the empty repository. */
  async make(segmentSize: number, segmentsPerDir: number): Promise<void> {
    await this.open(async ({ repository }) => {
      repository.config.ini.set("repository", "max_segment_size", segmentSize);
      repository.config.ini.set("repository", "segments_per_dir", segmentsPerDir);
      repository.saveConfig();
    }, true);
  }

  /** The part of init that follows: key, manifest, cache. */
  async init(mode: KeyMode): Promise<void> {
    await this.open(async ({ repository, environment }) => {
      const core = loadCore();
      const location = parseLocation(this.repositoryPath, this.env);
      const key = await createKey(repository, environment, { mode, location, kernels: core });
      const manifest = new Manifest(await makeObjects(repository, key, core));
      await manifest.write();
      await repository.commit({ compact: false });
      (await openCache(manifest, environment, { warnIfUnencrypted: false, lockWait: 0 })).close();
      if (key.tamRequired)
        rememberTamRequired(environment.storage(environment.securityDir(repository.idHex)), true);
    });
  }

  private async session<T>(work: (manifest: Manifest, cache: Cache, o: Opened) => Promise<T>): Promise<T> {
    return this.open(async (opened) => {
      const { repository, environment } = opened;
      const manifest = await openManifest(repository, environment, { operations: ["write", "delete"] });
      const security = new SecurityManager(repository, environment);
      await security.assertSecure({ timestamp: manifest.timestamp ?? "" }, manifest.key, { lockWait: 0 });
      const cache = await openCache(manifest, environment, {
        filesMode: parseFilesCacheMode("ctime,size,inode"),
        lockWait: 0,
      });
      try {
        return await work(manifest, cache, opened);
      } finally {
        cache.close();
      }
    });
  }

  /** @param checkpoint commits a checkpoint after the first root */
  async create(
    name: string,
    roots: readonly string[],
    options: {
      checkpoint?: boolean;
      /** Commits a checkpoint whenever one is possible. */
      checkpoints?: boolean;
      /** Told of every commit, by its number. */
      onCommit?: (n: number) => void;
      signal?: AbortSignal;
      onWarning?: (warning: AlcoveWarning) => void;
      /** Called when files have been looked at and before any is read. */
      beforeRead?: () => void;
      /** Flags, extended attributes and ACLs are looked for. */
      attributes?: boolean;
    } = {},
  ): Promise<void> {
    await this.session(async (manifest, cache) => {
      const store = new ChunkStore(manifest.objects, cache.chunks.index, new Statistics());
      cache.beginTxn();
      const chunker = parseChunkerParams("buzhash,10,16,12,4095");
      let commits = 0;
      const writer = new ArchiveWriter({
        manifest,
        store,
        name,
        identity: { cmdline: ["test"], cwd: "/", hostname: "host", username: "user" },
        chunkerParams: ["buzhash", 10, 16, 12, 4095],
        commitCache: async () => {
          cache.commit({ id: manifest.id, timestamp: manifest.timestamp! });
          cache.beginTxn();
          options.onCommit?.(++commits);
        },
      });
      const creator = new Creator(writer, cache.files, {
        walk: {
          matcher: buildMatcher([], []),
          excludeCaches: false,
          excludeIfPresent: [],
          keepExcludeTags: false,
          excludeNodump: false,
          oneFileSystem: false,
          skipInodes: new Set(),
          dryRun: false,
        },
        capture: options.attributes ? {} : { flags: false, acls: false, xattrs: false },
        compression: { name: "lz4" },
        chunker,
        filesChanged: "ctime",
        readSpecial: false,
        checkpointInterval: options.checkpoints ? 1e-9 : 0,
        ...(options.signal && { signal: options.signal }),
        workers: 0,
        cwd: "/",
        onWarning:
          options.onWarning ??
          ((w) => {
            throw w;
          }),
      });
      try {
        for (const [i, root] of roots.entries()) {
          await creator.addPaths([root]);
          if (i === 0) options.beforeRead?.();
          if (options.checkpoint && i === 0) {
            await creator.finish();
            await creator.checkpoint();
          }
        }
        await creator.finish();
      } finally {
        await creator.close();
      }
      await writer.save({ comment: "" });
    });
  }

  private async changing(work: (manifest: Manifest, store: ChunkStore) => Promise<void>): Promise<void> {
    await this.session(async (manifest, cache) => {
      const store = new ChunkStore(manifest.objects, cache.chunks.index, new Statistics());
      cache.beginTxn();
      await work(manifest, store);
      await manifest.write();
      await manifest.objects.repository.commit({ compact: false });
      cache.commit(cacheManifest(manifest));
    });
  }

  async delete(name: string): Promise<void> {
    await this.changing(async (manifest, store) => {
      await deleteArchive(await Archive.open(manifest, name), store, { stats: new Statistics() });
    });
  }

  async rename(from: string, to: string): Promise<void> {
    await this.changing(async (manifest, store) =>
      renameArchive(await Archive.open(manifest, from), store, to),
    );
  }

  /** Keeps the newest archives. */
  async prune(keep: number): Promise<void> {
    await this.changing(async (manifest, store) => {
      const all = manifest.archives.select({ sortBy: ["timestamp"] }).reverse();
      for (const info of planPrune(all, { counts: { secondly: keep } }).remove)
        await deleteArchive(await Archive.open(manifest, info.name), store, { stats: new Statistics() });
    });
  }

  /** A new archive with the contents of another, compressed anew. */
  async recreate(source: string, target: string): Promise<void> {
    const compression = parseCompression("zlib,6");
    await this.session(async (manifest, cache) => {
      const store = new ChunkStore(manifest.objects, cache.chunks.index, new Statistics());
      cache.beginTxn();
      const recreator = new Recreator(store, { recompress: "always", compression });
      const archive = await Archive.open(manifest, source);
      const writer = new ArchiveWriter({
        manifest,
        store,
        name: target,
        identity: { cmdline: ["test"], cwd: "/", hostname: "host", username: "user" },
        chunkerParams: recreator.targetParams(archive),
        commitCache: async () => {
          cache.commit(cacheManifest(manifest));
          cache.beginTxn();
        },
      });
      await recreator.copy(archive, writer, new Statistics());
      await writer.save({ comment: "" });
    });
  }

  /** check --repair of the repository and of the archives. @returns whether all is well now */
  async repair(): Promise<boolean> {
    return this.open(async ({ repository, environment }) => {
      const good = await repository.check({ repair: true });
      const log = () => {};
      return (await checkArchives(repository, { core: loadCore(), environment, repair: true, log })) && good;
    });
  }

  async compact(): Promise<void> {
    await this.open(async ({ repository }) => {
      await repository.put(MANIFEST_ID, await repository.get(MANIFEST_ID));
      await repository.commit({ compact: true, threshold: 0, cleanupCommits: true });
    });
  }

  async changePassphrase(passphrase: string): Promise<void> {
    await this.open(async ({ repository, environment }) => {
      const manifest = await openManifest(repository, environment, { operations: ["check"] });
      await manifest.key.changePassphrase(passphrase);
    });
    this.passphrase = passphrase;
  }

  /** Every archive read to its last byte, checked against ids on the way. */
  async archives(): Promise<Archives> {
    return this.open(async ({ repository, environment }) => {
      const manifest = await openManifest(repository, environment, { operations: ["read"] });
      const security = new SecurityManager(repository, environment);
      await security.assertSecure({ timestamp: manifest.timestamp ?? "" }, manifest.key, { lockWait: 0 });
      const found: Archives = new Map();
      for (const { name } of manifest.archives.values())
        found.set(name, await digest(await Archive.open(manifest, name)));
      return found;
    });
  }

  /** Extracts an archive below `root`, in this thread. */
  async extract(name: string, root: string, onWarning: (warning: AlcoveWarning) => void): Promise<void> {
    await this.open(async ({ repository, environment }) => {
      const manifest = await openManifest(repository, environment, { operations: ["read"] });
      const extractor = new Extractor(await Archive.open(manifest, name), {
        root,
        matches: () => true,
        partial: false,
        stripComponents: 0,
        sparse: false,
        dryRun: false,
        restore: { numericIds: true, flags: false, xattrs: true, acls: true },
        parts: false,
        workers: 0,
        onWarning,
      });
      await extractor.run();
    });
  }

  /** References that the cache counts, against those that the archives have. @returns what differs */
  async cacheErrors(): Promise<string[]> {
    return (await this.inspect()).errors;
  }

  /** What archives() and cacheErrors() give, in one session. */
  async inspect(): Promise<{ archives: Archives; errors: string[] }> {
    return this.session(async (manifest, cache) => {
      const archives: Archives = new Map();
      const counts = new Map<string, number>();
      const count = (id: Uint8Array) => {
        const hex = Buffer.from(id).toString("hex");
        counts.set(hex, (counts.get(hex) ?? 0) + 1);
      };
      for (const { name, id } of manifest.archives.values()) {
        count(id);
        const archive = await Archive.open(manifest, name);
        archives.set(name, await digest(archive));
        for (const item of archive.metadata.items) count(item);
        for await (const item of archive.items({ parts: true }))
          for (const chunk of item.chunks ?? []) count(chunk.id);
      }
      const wrong: string[] = [];
      const { index } = cache.chunks;
      for (let slot = index.next(-1); slot >= 0; slot = index.next(slot)) {
        const hex = Buffer.from(index.key(slot)).toString("hex");
        if (counts.get(hex) !== index.word(slot, 0))
          wrong.push(`${hex}: ${index.word(slot, 0)} in the cache, ${counts.get(hex) ?? 0} in archives`);
        counts.delete(hex);
      }
      for (const hex of counts.keys()) wrong.push(`${hex}: missing in the cache`);
      return { archives, errors: wrong };
    });
  }
}

/** Of an archive's items, in whatever order they were found. */
async function digest(archive: Archive): Promise<string> {
  const all: string[] = [];
  for await (const item of archive.items()) {
    const hash = createHash("sha256");
    const { path, mode, uid, gid, mtime, size, source } = item;
    hash.update(`${JSON.stringify([path, mode, uid, gid, String(mtime), size, source])}\n`);
    for await (const data of archive.objects.getMany((item.chunks ?? []).map((c) => c.id))) hash.update(data);
    all.push(hash.digest("hex"));
  }
  return createHash("sha256").update(all.sort().join()).digest("hex");
}

/** What the digest of an archive of a directory (of plain files and directories) has to be. */
export function digestOfTree(cwd: string, root: string): string {
  return digestOfTrees(cwd, [root]);
}

/** As digestOfTree, of an archive of several directories. */
export function digestOfTrees(cwd: string, roots: readonly string[]): string {
  const all: string[] = [];
  const visit = (path: string): void => {
    const st = lstatSync(join(cwd, path), { bigint: true });
    const hash = createHash("sha256");
    const isDir = st.isDirectory();
    const item = [path, Number(st.mode), Number(st.uid), Number(st.gid), String(st.mtimeNs)];
    hash.update(`${JSON.stringify([...item, isDir ? undefined : Number(st.size), undefined])}\n`);
    if (isDir) for (const name of readdirSync(join(cwd, path))) visit(`${path}/${name}`);
    else hash.update(readFileSync(join(cwd, path)));
    all.push(hash.digest("hex"));
  };
  for (const root of roots) visit(root);
  return createHash("sha256").update(all.sort().join()).digest("hex");
}
