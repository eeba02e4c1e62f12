// The size of an item's contents, as Borg's Item.get_size: stored, or summed up from the chunks; for a hard link
// that of its master, if known; for a symlink the length of its target.
import { isSymlink } from "./constants.ts";
import type { ChunkRef, Item } from "./item.ts";

/** @param masters chunk lists of hard link masters by path; without, hard links count 0 */
export function itemSize(item: Item, masters?: ReadonlyMap<string, ChunkRef[] | undefined>): number {
  if (item.size !== undefined) return item.size;
  if (isSymlink(item.mode)) return [...(item.source ?? "")].length;
  return sum(item.chunks ?? masters?.get(item.source ?? ""), "size");
}

/** Stored bytes of an item's chunks. */
export function itemCsize(item: Item, masters?: ReadonlyMap<string, ChunkRef[] | undefined>): number {
  if (isSymlink(item.mode)) return [...(item.source ?? "")].length;
  return sum(item.chunks ?? masters?.get(item.source ?? ""), "csize");
}

function sum(chunks: ChunkRef[] | undefined, field: "size" | "csize"): number {
  let n = 0;
  if (chunks) for (const c of chunks) n += c[field];
  return n;
}
