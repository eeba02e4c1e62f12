// Opening a repository for work on archives: the key that its manifest's first byte names, the manifest itself,
// and the cache beside it. What every command does first, and the library too.
import type { Cache, CacheOptions } from "../cache/cache.ts";
import type { SyncSource } from "../cache/sync.ts";
import { type CompressionSpec, defaultCompression, prepareCodecs } from "../compress/index.ts";
import { type Core, loadCore } from "../core/index.ts";
import type { Environment } from "../crypto/environment.ts";
import { anticipateKey, type Key, openKey } from "../crypto/keys.ts";
import { rememberTamRequired } from "../crypto/tam.ts";
import { ObjectNotFound } from "../errors.ts";
import { toHex } from "../format/bytes.ts";
import type { ProgressSink, Repository } from "../repository/types.ts";
import { Manifest, type Operation } from "./manifest.ts";
import { Objects } from "./objects.ts";

export interface OpenOptions {
  /** Features are checked for these; none for what needs no understanding of archives. */
  operations: readonly Operation[];
  /** For what will be written; lz4 as in Borg. */
  compression?: CompressionSpec;
  core?: Core;
  forceTamNotRequired?: boolean;
}

/** Unlocks the key and loads the manifest. @throws NoManifestError and the errors of keys and manifests */
export async function openManifest(
  repository: Repository,
  environment: Environment,
  options: OpenOptions,
): Promise<Manifest> {
  const core = options.core ?? loadCore();
  if (!repository.isRemote) anticipateKey(await repository.loadKey(), environment.env);
  const stored = await Manifest.fetch(repository);
  const key = await openKey(repository, stored, environment, core);
  const objects = await makeObjects(repository, key, core, options.compression);
  const manifest = Manifest.load(objects, stored, options.operations, options.forceTamNotRequired);
  if (manifest.tamVerified) {
    const security = environment.storage(environment.securityDir(repository.idHex));
    rememberTamRequired(security, manifest.config.get("tam_required") === true);
  }
  return manifest;
}

/** Objects of a repository with the codecs at hand that reading anything may need. */
export async function makeObjects(
  repository: Repository,
  key: Key,
  core: Core,
  compression: CompressionSpec = defaultCompression,
): Promise<Objects> {
  await prepareCodecs(compression);
  return new Objects(repository, key, core, compression);
}

/** Opens the repository's cache and brings it in step with the manifest. */
export async function openCache(
  manifest: Manifest,
  environment: Environment,
  options: Omit<CacheOptions, "source" | "mandatoryFeatures"> & {
    progress?: ProgressSink;
    sync?: boolean;
    /** Threads that count archives which others have made; none where absent. */
    workers?: number;
  } = {},
): Promise<Cache> {
  const { repository } = manifest.objects;
  const { progress, sync = true, workers = 0, ...rest } = options;
  const features = new Set([...manifest.mandatoryFeatures().values()].flat());
  // Loaded here only: what merely reads needs no cache.
  const { Cache } = await import("../cache/cache.ts");
  return Cache.open(environment, repository, manifest.key, cacheManifest(manifest), {
    ...rest,
    mandatoryFeatures: features,
    ...(sync ? { source: () => syncSource(manifest, progress, workers) } : {}),
  });
}

/** The manifest as the cache sees it. */
export function cacheManifest(manifest: Manifest): { id: Uint8Array; timestamp: string } {
  return { id: manifest.id, timestamp: manifest.timestamp ?? "" };
}

/** What a cache reads of the repository to count references anew. */
export async function syncSource(
  manifest: Manifest,
  progress?: ProgressSink,
  workers = 0,
): Promise<SyncSource> {
  const { objects, key } = manifest;
  const { repository } = objects;
  return {
    archives: [...manifest.archives.values()].sort((a, b) => a.micros - b.micros),
    objectCount: await repository.count(),
    async *plain(ids) {
      let i = 0;
      for await (const blob of repository.getMany(ids)) {
        const id = ids[i++]!;
        if (blob === undefined) throw new ObjectNotFound(toHex(id), repository.displayPath);
        yield { data: objects.unpack(id, blob), csize: blob.length };
      }
    },
    async indexes(archives) {
      if (workers === 0 || archives.length < 2) return undefined;
      const { archiveIndexes } = await import("./sync-lanes.ts");
      return archiveIndexes(manifest, archives, workers);
    },
    async *storedSizes(ids) {
      let i = 0;
      for await (const blob of repository.getMany(ids)) {
        const id = ids[i++]!;
        if (blob === undefined) throw new ObjectNotFound(toHex(id), repository.displayPath);
        yield blob.length;
      }
    },
    unpackArchive: (data) => key.unpackAndVerifyArchive(data, { forceNotRequired: true }),
    ...(progress ? { progress } : {}),
  };
}
