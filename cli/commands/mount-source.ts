// An opened repository as what a mount needs of it. A local repository is read at once, without a promise for
// each chunk; a remote one gets its requests in batches, pipelined.
import { Archive } from "../../src/archive/archive.ts";
import type { ArchiveInfo, Manifest } from "../../src/archive/manifest.ts";
import { IntegrityError, ObjectNotFound } from "../../src/errors.ts";
import { toHex } from "../../src/format/bytes.ts";
import type { MountArchive, MountSource } from "../../src/mount/source.ts";

interface SynchronousRepository {
  prepare(): Promise<void>;
  getSync(id: Uint8Array): Uint8Array;
}

export interface RepositoryArchive extends MountArchive {
  info: ArchiveInfo;
}

export function mountArchive(info: ArchiveInfo): RepositoryArchive {
  return { name: info.name, timeNs: BigInt(info.micros) * 1000n, info };
}

/** @param warn told of chunks that are missing or damaged */
export async function repositorySource(
  manifest: Manifest,
  archives: readonly ArchiveInfo[],
  warn: (message: string) => void,
): Promise<MountSource> {
  const { objects } = manifest;
  const { repository } = objects;
  const shown = archives.map(mountArchive);
  const unpack = (id: Uint8Array, blob: Uint8Array): Uint8Array | undefined => {
    try {
      return objects.unpack(id, blob);
    } catch (e) {
      if (!(e instanceof IntegrityError)) throw e;
      warn(`chunk ${toHex(id)}: ${e.message}`);
      return undefined;
    }
  };
  const missing = (id: Uint8Array): undefined => {
    warn(`chunk ${toHex(id)} is missing in the repository`);
    return undefined;
  };
  const itemChunks = async (archive: MountArchive): Promise<Uint8Array[]> =>
    (await Archive.load(manifest, (archive as RepositoryArchive).info.id)).metadata.items;

  if ("getSync" in repository && "prepare" in repository) {
    const local = repository as unknown as SynchronousRepository;
    await local.prepare();
    const getChunkNow = (id: Uint8Array): Uint8Array | undefined => {
      let blob: Uint8Array;
      try {
        blob = local.getSync(id);
      } catch (e) {
        if (e instanceof ObjectNotFound) return missing(id);
        if (!(e instanceof IntegrityError)) throw e;
        warn(`chunk ${toHex(id)}: ${e.message}`);
        return undefined;
      }
      return unpack(id, blob);
    };
    return {
      archives: () => shown,
      itemChunks,
      getChunkNow,
      getChunks: async (ids) => ids.map(getChunkNow),
    };
  }
  return {
    archives: () => shown,
    itemChunks,
    async getChunks(ids) {
      const chunks: (Uint8Array | undefined)[] = [];
      for await (const blob of repository.getMany(ids, { missing: "skip" })) {
        const id = ids[chunks.length]!;
        chunks.push(blob ? unpack(id, blob) : missing(id));
      }
      return chunks;
    },
  };
}
