// The chunk lists of files in a repository that lost chunks. A missing chunk is replaced by zeros of its size, and the
// right list is kept as "chunks_healthy"; when the chunk comes back (the same data was backed up again), it takes its
// place again. Borg's ArchiveChecker.verify_file_chunks.
import { equalBytes, toHex } from "../format/bytes.ts";
import type { CheckObjects } from "./check-objects.ts";
import type { ChunkRef, Item } from "./item.ts";
import type { Objects } from "./objects.ts";

export type CheckLog = (level: "debug" | "info" | "warning" | "error", message: string) => void;

export interface FileVerdict {
  /** Something is lost: the check found an error. */
  damaged: boolean;
  /** The item was changed and has to be written anew. */
  changed: boolean;
  /** Bytes that become zeros. */
  zeroed: number;
}

/** The all-zero chunks that stand in for lost ones; equal sizes share one. */
export class Replacements {
  readonly #objects: Objects;
  readonly #known: CheckObjects;
  readonly #repair: boolean;
  readonly #bySize = new Map<number, ChunkRef>();

  constructor(objects: Objects, known: CheckObjects, repair: boolean) {
    this.#objects = objects;
    this.#known = known;
    this.#repair = repair;
  }

  async get(size: number): Promise<ChunkRef> {
    let chunk = this.#bySize.get(size);
    if (!chunk) {
      const zeros = new Uint8Array(size);
      const id = this.#objects.id(zeros);
      const blob = await this.#objects.pack(zeros);
      if (this.#repair && !this.#known.has(id)) await this.#objects.repository.put(id, blob);
      chunk = { id, size, csize: blob.length };
      this.#bySize.set(size, chunk);
    }
    this.#known.add(chunk.id);
    return chunk;
  }

  /** The chunk's id in a check that changes nothing and needs no counters. */
  idOf(size: number): Uint8Array {
    return this.#objects.id(new Uint8Array(size));
  }
}

const unchanged: FileVerdict = { damaged: false, changed: false, zeroed: 0 };

/** Checks an item's chunks and marks them as used; a repair changes the item. */
export async function checkFileChunks(
  item: Item,
  where: string,
  context: { known: CheckObjects; replacements: Replacements; repair: boolean; log: CheckLog },
): Promise<FileVerdict> {
  const { known, replacements, repair, log } = context;
  const current = item.chunks;
  if (!current) return unchanged;
  let healthy = item.chunks_healthy;
  if (!healthy && current.every((c) => known.use(c.id))) {
    checkSize(item, where, log);
    return unchanged;
  }
  const verdict = { ...unchanged };
  if (healthy && healthy.length !== current.length) {
    const how = repair ? "it is removed." : "--repair would remove it.";
    log("warning", `${where}: the list of healthy chunks does not fit the file: ${how}`);
    delete item.chunks_healthy;
    healthy = undefined;
    verdict.changed = true;
  }
  const wanted = healthy ?? current;
  const chunks: ChunkRef[] = [];
  let replaced = false;
  let offset = 0;
  for (const [i, right] of wanted.entries()) {
    const present = current[i]!;
    const isReplaced = !sameChunk(present, right);
    const place = `(Byte ${offset}-${offset + right.size}, Chunk ${toHex(right.id)})`;
    offset += right.size;
    let chunk = right;
    if (known.use(right.id)) {
      if (isReplaced) {
        const how = repair
          ? "A file chunk that was missing is back: healed!"
          : "A file chunk that was missing is back: --repair would heal the file.";
        log("info", `${where}: ${how} ${place}`);
        known.supersede(present.id);
        verdict.changed = true;
      }
    } else if (!isReplaced) {
      const how = repair ? "Its place is filled with zeros." : "--repair would fill its place with zeros.";
      log("error", `${where}: New missing file chunk detected ${place}. ${how}`);
      verdict.zeroed += right.size;
      replaced = true;
      chunk = await replacement(right.size);
    } else if (known.use(present.id)) {
      log("info", `${where}: A file chunk is still missing, zeros are in its place ${place}.`);
      chunk = present;
    } else {
      const how = repair ? "They are made anew." : "--repair would make them anew.";
      log(
        "warning",
        `${where}: The zeros in the place of a missing file chunk are missing too ${place}. ${how}`,
      );
      replaced = true;
      chunk = await replacement(right.size);
    }
    chunks.push(chunk);
  }
  if (replaced) {
    verdict.damaged = verdict.changed = true;
    healthy ??= current;
  }
  const right = healthy;
  if (right && chunks.every((c, i) => sameChunk(c, right[i]!))) {
    // Also where what was lost had been all zeros.
    log(
      "info",
      `${where}: ${repair ? "The file is whole again." : "--repair would make the file whole again."}`,
    );
    healthy = undefined;
    verdict.changed = true;
  }
  if (repair) {
    item.chunks = chunks;
    if (healthy) item.chunks_healthy = healthy;
    else delete item.chunks_healthy;
  }
  checkSize(item, where, log);
  return verdict;

  async function replacement(size: number): Promise<ChunkRef> {
    if (repair) return replacements.get(size);
    const id = replacements.idOf(size);
    known.use(id);
    return { id, size, csize: 0 };
  }
}

function sameChunk(a: ChunkRef, b: ChunkRef): boolean {
  return equalBytes(a.id, b.id);
}

/** Told, but left as it is, so that extract can tell it too. */
function checkSize(item: Item, where: string, log: CheckLog): void {
  if (item.size === undefined) return;
  let size = 0;
  for (const c of item.chunks!) size += c.size;
  if (size !== item.size)
    log("warning", `${where}: size inconsistency: the item says ${item.size}, its chunks have ${size}`);
}
