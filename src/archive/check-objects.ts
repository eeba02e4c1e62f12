// The objects of a repository while it is checked: which there are, and which of them archives need. One word an
// object. What a repair adds is put into the repository's open transaction and known here at once.
import { HashIndex } from "../core/hashindex.ts";
import { IntegrityError, ObjectNotFound } from "../errors.ts";
import { toHex } from "../format/bytes.ts";
import type { Repository } from "../repository/types.ts";
import { MANIFEST_ID } from "./manifest.ts";
import type { Objects } from "./objects.ts";

const UNUSED = 0;
const USED = 1;
/** Belonged to metadata that was written anew, or to a replacement that healed: garbage, but no orphan. */
const SUPERSEDED = 2;

const LIST_LIMIT = 100_000;

export class CheckObjects {
  readonly repository: Repository;
  readonly #index: HashIndex;

  private constructor(repository: Repository, index: HashIndex) {
    this.repository = repository;
    this.#index = index;
  }

  static async load(repository: Repository): Promise<CheckObjects> {
    const index = HashIndex.create(1, Math.ceil((await repository.count()) * 1.1));
    let marker: Uint8Array | undefined;
    for (;;) {
      const ids = await repository.list(LIST_LIMIT, marker);
      if (ids.length === 0) return new CheckObjects(repository, index);
      marker = ids.at(-1);
      for (const id of ids) index.insert(id, 0, UNUSED);
    }
  }

  get size(): number {
    return this.#index.size;
  }

  has(id: Uint8Array): boolean {
    return this.#index.find(id) >= 0;
  }

  /** Marks an object as needed; false if it is not there. */
  use(id: Uint8Array): boolean {
    const slot = this.#index.find(id);
    if (slot < 0) return false;
    this.#index.setWord(slot, 0, USED);
    return true;
  }

  /** Marks an object as replaced, unless something needs it. */
  supersede(id: Uint8Array): void {
    const slot = this.#index.find(id);
    if (slot >= 0 && this.#index.word(slot, 0) === UNUSED) this.#index.setWord(slot, 0, SUPERSEDED);
  }

  add(id: Uint8Array): void {
    if (!this.use(id)) this.#index.insert(id, 0, USED);
  }

  /** Forgets an object that is deleted or of no use. */
  forget(id: Uint8Array): void {
    const slot = this.#index.find(id);
    if (slot >= 0) this.#index.remove(slot);
  }

  /** Every id, the manifest's first: it is the object that names the key's last counter. */
  *ids(): Generator<Uint8Array> {
    if (this.has(MANIFEST_ID)) yield MANIFEST_ID;
    for (let slot = this.#index.next(-1); slot >= 0; slot = this.#index.next(slot)) {
      const id = this.#index.key(slot);
      if (id.some((byte) => byte !== 0)) yield id;
    }
  }

  /** Objects that nothing needs, the manifest excepted. */
  garbage(): { orphans: Uint8Array[]; superseded: Uint8Array[] } {
    const orphans: Uint8Array[] = [];
    const superseded: Uint8Array[] = [];
    for (let slot = this.#index.next(-1); slot >= 0; slot = this.#index.next(slot)) {
      const state = this.#index.word(slot, 0);
      if (state === USED) continue;
      const id = this.#index.key(slot);
      if (id.every((byte) => byte === 0)) continue;
      (state === UNUSED ? orphans : superseded).push(id);
    }
    return { orphans, superseded };
  }

  /** Plaintexts in the order of the ids, or what is wrong with them: undefined for those that are not there. */
  async *read(
    objects: Objects,
    ids: readonly Uint8Array[],
  ): AsyncGenerator<{ id: Uint8Array; blob?: Uint8Array; data?: Uint8Array; error?: IntegrityError }> {
    for (let from = 0; from < ids.length; ) {
      if (!this.has(ids[from]!)) {
        yield { id: ids[from++]! };
        continue;
      }
      let to = from;
      while (to < ids.length && this.has(ids[to]!)) to++;
      const run = ids.slice(from, to);
      let at = 0;
      try {
        for await (const blob of this.repository.getMany(run)) {
          const id = run[at++]!;
          yield blob ? { id, blob, ...opened(objects, id, blob) } : { id };
        }
      } catch (e) {
        // The object whose turn it is failed; the ones behind it are asked for anew.
        if (!(e instanceof IntegrityError) && !(e instanceof ObjectNotFound)) throw e;
        const id = run[at++]!;
        yield { id, error: e instanceof IntegrityError ? e : lost(id) };
      }
      from += at;
    }
  }
}

function opened(
  objects: Objects,
  id: Uint8Array,
  blob: Uint8Array,
): { data: Uint8Array } | { error: IntegrityError } {
  try {
    return { data: objects.unpack(id, blob) };
  } catch (e) {
    if (e instanceof IntegrityError) return { error: e };
    throw e;
  }
}

function lost(id: Uint8Array): IntegrityError {
  return new IntegrityError(`Chunk ${toHex(id)}: the index names it, but it is not in the repository.`);
}
