// Cutting a stream into chunks as Borg 1.x does, in the core's memory. A chunker looks at a buffer that starts at
// a chunk's start and says which chunks are certain; what remains, the caller moves to the front, appends to, and
// shows again.

import type { Core } from "../core/index.ts";
import { Buzhash } from "./buzhash.ts";
import { FixedChunker } from "./fixed.ts";
import type { ChunkerParams } from "./params.ts";
import type { Chunker } from "./types.ts";

export { BoundarySearch, hasBoundaries } from "./boundary.ts";
export { Buzhash, type BuzhashOptions } from "./buzhash.ts";
export { FixedChunker } from "./fixed.ts";
export {
  type BuzhashParams,
  type ChunkerParams,
  defaultChunkerParams,
  type FixedParams,
  itemsChunkerParams,
  parseChunkerParams,
} from "./params.ts";
export type { Chunker } from "./types.ts";

/** The chunker for parsed parameters; `seed` is the repository's chunk_seed (signed or unsigned 32 bits). */
export function createChunker(core: Core, params: ChunkerParams, seed: number): Chunker {
  return params.algo === "fixed" ? new FixedChunker(params) : new Buzhash(core, { seed, ...params });
}
