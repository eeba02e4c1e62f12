// Behind a link every object costs a round trip unless it is asked for ahead (Borg's preload). The contents of the
// files of one item batch are announced before the batch before it is worked on, so that the link does not run dry
// between the two.
import type { Archive } from "./archive.ts";
import type { Item } from "./item.ts";

/**
 * The archive's item batches; with a remote repository, the contents of the wanted ones are on their way.
 * @param wanted whether the item's content will be read, in the order of the items
 */
export async function* preloadedBatches(
  archive: Archive,
  options: { parts: boolean; encoded?: boolean },
  wanted: (item: Item) => boolean,
): AsyncGenerator<Item[]> {
  const { repository } = archive.objects;
  const batches = archive.itemBatches(options);
  if (!repository.isRemote) {
    yield* batches;
    return;
  }
  let previous: Item[] | undefined;
  for await (const batch of batches) {
    for (const item of batch) {
      // The content of a hard link is its master's; which of the two is read is not known yet.
      if (item.chunks?.length && item.source === undefined && wanted(item))
        repository.preload(item.chunks.map((c) => c.id));
    }
    if (previous) yield previous;
    previous = batch;
  }
  if (previous) yield previous;
}
