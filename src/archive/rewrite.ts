// Changes the metadata of an archive that exists: rename, and `upgrade --archives-tam`. The metadata object gets a
// new id, so the manifest's entry changes and the old object loses its reference. Borg's Archive.set_meta.
import { ArchiveAlreadyExists } from "../errors.ts";
import type { Archive } from "./archive.ts";
import type { ChunkStore } from "./chunk-store.ts";
import { checkArchiveName, type Manifest } from "./manifest.ts";
import { Statistics } from "./stats.ts";

/** Writes an archive's metadata anew, authenticated. The caller writes the manifest and commits.
 *  @returns the new id */
export async function rewriteMetadata(
  archive: Archive,
  store: ChunkStore,
  changes: ReadonlyMap<string, unknown>,
): Promise<Uint8Array> {
  const metadata = new Map([...archive.metadata.raw, ...changes]);
  const { manifest } = archive;
  const data = manifest.key.packAndAuthenticate(metadata, "archive");
  // Metadata does not count in anybody's statistics.
  const nowhere = new Statistics();
  const { id } = await store.addData(data, nowhere);
  manifest.archives.set(archive.name, id, archive.metadata.time);
  await store.dereference(archive.id, nowhere);
  return id;
}

/** @throws ArchiveAlreadyExists */
export async function renameArchive(archive: Archive, store: ChunkStore, name: string): Promise<void> {
  const { archives }: Manifest = archive.manifest;
  checkArchiveName(name);
  if (archives.has(name)) throw new ArchiveAlreadyExists(name);
  const id = await rewriteMetadata(archive, store, new Map([["name", name]]));
  archives.set(name, id, archive.metadata.time);
  archives.delete(archive.name);
}
