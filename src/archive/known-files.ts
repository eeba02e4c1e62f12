// What the files cache says of a file, as an entry of its own needs it.
import { type FileStamp, type FilesCache, ID_STRIDE, UNCHANGED, UNKNOWN } from "../cache/files.ts";
import type { ChunkStore } from "./chunk-store.ts";
import type { ChunkRef } from "./item.ts";

/** The status of a file, and its chunks, referenced, where it is unchanged and all of them are there.
 *  @param pathHash 32 bytes @param hasAttributes extended ones, as far as was looked for them */
export function knownFile(
  files: FilesCache,
  store: ChunkStore,
  pathHash: Uint8Array,
  stamp: FileStamp,
  hasAttributes: boolean,
): { status: string; chunks?: ChunkRef[] } {
  const answer = files.lookup(pathHash, 0, stamp);
  if (answer !== UNCHANGED) return { status: answer === UNKNOWN ? "A" : "M" };
  // Whatever its entry says.
  if (hasAttributes) files.setBare(false);
  const { buffer, chunkOffset, chunkCount } = files;
  const ids = Array.from({ length: chunkCount }, (_, i) => {
    const at = chunkOffset + i * ID_STRIDE;
    // Copies: the item may wait for others, and the cache's bytes do not stay where they are.
    return buffer.slice(at, at + 32);
  });
  // The cache knows the file, but a chunk was lost: read it like a modified one.
  if (!ids.every((id) => store.has(id))) return { status: "M" };
  return { status: "U", chunks: ids.map((id) => store.reference(id, 0)) };
}
