// The plaintexts of an item stream's chunks, each in the same memory: a hundred buffers of a hundred kilobytes would have to
// be filled with pages, and collected.
import { IntegrityError } from "../errors.ts";
import { toHex } from "../format/bytes.ts";
import type { Objects } from "./objects.ts";

/** In the order of the ids; each is valid until the next one is asked for. @throws ObjectNotFound, IntegrityError */
export async function* itemPieces(objects: Objects, ids: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  let memory = new Uint8Array(0);
  let i = 0;
  for await (const blob of objects.repository.getMany(ids)) {
    const id = ids[i++]!;
    if (blob === undefined) throw new IntegrityError(`Chunk ${toHex(id)} is missing in the repository.`);
    // What the opener gives lies in the core's memory, which moves when somebody needs more of it.
    const data = objects.opener.open(blob, id);
    if (data.length > memory.length) memory = new Uint8Array(2 * data.length);
    memory.set(data);
    yield memory.subarray(0, data.length);
  }
}
