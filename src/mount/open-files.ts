// Chunk lists of files read lately or to be read soon, bounded by their number and by their chunks together. There is
// no open and close in it: the kernel is told that opening needs no message.
import type { ChunkList } from "./items.ts";

const MOST_FILES = 64;
const MOST_CHUNKS = 1 << 16;

export interface OpenFile {
  node: number;
  chunks: ChunkList;
  /** Where the last read ended: what goes on there is read ahead. */
  readTo: number;
}

/** Number of the chunk that holds the byte at offset. */
export function chunkAt(chunks: ChunkList, offset: number): number {
  let low = 0;
  let high = chunks.count - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (chunks.starts[middle]! <= offset) low = middle;
    else high = middle - 1;
  }
  return low;
}

export class OpenFiles {
  /** The one used last comes last. */
  readonly #files = new Map<number, OpenFile>();
  #chunks = 0;

  get(node: number): OpenFile | undefined {
    return this.#files.get(node);
  }

  /** As get; it is the last to go now. */
  use(node: number): OpenFile | undefined {
    const file = this.#files.get(node);
    if (file) {
      this.#files.delete(node);
      this.#files.set(node, file);
    }
    return file;
  }

  keep(file: OpenFile): OpenFile {
    this.#chunks += file.chunks.count - (this.#files.get(file.node)?.chunks.count ?? 0);
    this.#files.delete(file.node);
    this.#files.set(file.node, file);
    for (const [node, { chunks }] of this.#files) {
      const fits = this.#files.size <= MOST_FILES && this.#chunks <= MOST_CHUNKS;
      if (fits || node === file.node) break;
      this.#chunks -= chunks.count;
      this.#files.delete(node);
    }
    return file;
  }
}
