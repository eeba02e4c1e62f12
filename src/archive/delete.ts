// Deletes an archive: every chunk that its items and its metadata refer to loses a reference, objects go with their
// last one, and the manifest's entry goes. Borg's Archive.delete. Damaged archives can be forced: what cannot be
// read then stays behind for `check --repair`.
import { MAX_VALUE } from "../core/hashindex.ts";
import { AlcoveError, IntegrityError, ObjectNotFound } from "../errors.ts";
import { toHex } from "../format/bytes.ts";
import type { Archive } from "./archive.ts";
import type { ChunkStore } from "./chunk-store.ts";
import { ItemDecoder } from "./item-decoder.ts";
import type { Statistics } from "./stats.ts";

export interface DeleteOptions {
  stats: Statistics;
  /** Goes on where items are damaged or missing. */
  forced?: boolean;
  /** Counts part files as if they were files (--consider-part-files). */
  parts?: boolean;
  progress?: (done: number, total: number) => void;
}

const wanted = new Set(["chunks", "part"]);

/** The caller writes the manifest and commits.
 *  @returns false if the archive was damaged and something was left behind (only where forced) */
export async function deleteArchive(
  archive: Archive,
  store: ChunkStore,
  options: DeleteOptions,
): Promise<boolean> {
  const { stats, forced = false } = options;
  const { objects } = archive;
  let intact = true;
  let decoder = new ItemDecoder(wanted);
  const ids = archive.metadata.items;
  const damaged = (e: unknown): void => {
    if (!forced || !(e instanceof AlcoveError)) throw e;
    intact = false;
  };
  let done = 0;
  // Ids of one batch are announced together, so that a remote repository answers without pauses.
  const blobs = objects.repository.getMany(ids, forced ? { missing: "skip" } : {});
  for await (const blob of blobs) {
    const id = ids[done++]!;
    options.progress?.(done, ids.length);
    if (blob === undefined) {
      intact = false;
      decoder = new ItemDecoder(wanted);
      continue;
    }
    try {
      decoder.feed(objects.unpack(id, blob));
      for (let item = decoder.next(); item; item = decoder.next()) {
        const part = !options.parts && item.part !== undefined;
        if (item.chunks)
          for (const chunk of item.chunks) await release(store, chunk.id, stats, part, damaged);
      }
    } catch (e) {
      damaged(e);
      decoder = new ItemDecoder(wanted);
    }
    await release(store, id, stats, false, damaged);
  }
  if (decoder.pending > 0)
    damaged(new IntegrityError(`The item stream of archive ${archive.name} ends inside an item.`));
  await release(store, archive.id, stats, false, damaged);
  archive.manifest.archives.delete(archive.name);
  return intact;
}

/** Drops one reference. Awaits only where an object is deleted: most references are not the last. */
function release(
  store: ChunkStore,
  id: Uint8Array,
  stats: Statistics,
  part: boolean,
  damaged: (e: unknown) => void,
): Promise<void> | undefined {
  const { index } = store;
  const slot = index.find(id);
  // Without the entry nothing is known of the other references: going on would delete what others need.
  if (slot < 0)
    throw new AlcoveError(`Chunk ${toHex(id)} is missing in the chunks index, which is damaged: aborting.`);
  const count = index.word(slot, 0);
  if (count > 1) {
    if (count < MAX_VALUE) index.setWord(slot, 0, count - 1);
    stats.update(-index.word(slot, 1), -index.word(slot, 2), false, part);
    return undefined;
  }
  return store.dereference(id, stats, part).catch((e) => {
    if (e instanceof ObjectNotFound) damaged(e);
    else throw e;
  });
}
