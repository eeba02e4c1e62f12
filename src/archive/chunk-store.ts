// Reference counting between archives and repository objects: adds chunks that are new, references those that
// are known, and deletes an object when its last reference goes. The counts are those of Borg's chunks cache
// (HashIndex with refcount, size, csize); MAX_VALUE is sticky, for counts that are not known exactly.
import { type HashIndex, type HashIndexShare, MAX_VALUE } from "../core/hashindex.ts";
import { AlcoveError, IntegrityError } from "../errors.ts";
import { toHex } from "../format/bytes.ts";
import { ID_SIZE, PUT_HEADER_SIZE } from "../repository/entry.ts";
import type { ChunkRef } from "./item.ts";
import type { Objects } from "./objects.ts";
import type { ChunkSink } from "./pipeline/intake.ts";
import type { Statistics } from "./stats.ts";

const REFCOUNT = 0;
const SIZE = 1;
const CSIZE = 2;

/** A repository that takes finished PUT entries in bulk (the local one does). */
interface BulkRepository {
  beginTransaction(): Promise<void>;
  appendObjects(buffer: Uint8Array, places: Uint32Array): void;
}
/** A remote one takes them as well, and copies what it cannot send at once. */
interface SendingRepository {
  putEntries(buffer: Uint8Array, places: Uint32Array): Promise<void>;
}
export class ChunkStore implements ChunkSink {
  readonly objects: Objects;
  readonly index: HashIndex;
  /** Statistics of file contents. */
  readonly stats: Statistics;
  readonly #bulk: BulkRepository | undefined;
  #share: HashIndexShare;
  #slots = new Int32Array(0);

  constructor(objects: Objects, index: HashIndex, stats: Statistics) {
    this.objects = objects;
    this.index = index;
    this.stats = stats;
    this.#share = index.share();
    this.#bulk =
      "appendObjects" in objects.repository ? (objects.repository as unknown as BulkRepository) : undefined;
  }

  /** Whether the chunk whose id lies at the offset is known. */
  has(id: Uint8Array, offset = 0): boolean {
    return this.index.find(id, offset) >= 0;
  }

  /** Adds a reference to a known chunk. @param size used where the count came without sizes (no cache sync) */
  reference(id: Uint8Array, size: number, stats = this.stats, part = false): ChunkRef {
    const slot = this.#refer(id, 0, size, stats, part);
    return { id, size: this.index.word(slot, SIZE), csize: this.index.word(slot, CSIZE) };
  }

  /** Counts a chunk of a file without making anything for it: references it where it is known, else adds it.
   *  @param at where its id lies in `bytes`
   *  @param csize −1 where no object is at hand: it must be known then
   *  @returns its compressed size, or −1 if it was added with the one given */
  count(bytes: Uint8Array, at: number, size: number, csize: number): number {
    if (csize < 0 || this.index.find(bytes, at) >= 0)
      return this.index.word(this.#refer(bytes, at, size, this.stats, false), CSIZE);
    this.index.insert(bytes, at, 1, size, csize);
    this.stats.update(size, csize, true);
    return -1;
  }

  expect(bytes: Uint8Array, places: Uint32Array, count: number): void {
    this.index.touch(bytes, places, 1, 0, count);
  }

  /** One more reference. @returns the slot */
  #refer(bytes: Uint8Array, at: number, size: number, stats: Statistics, part: boolean): number {
    const { index } = this;
    const slot = index.find(bytes, at);
    const name = (): string => toHex(bytes.slice(at, at + ID_SIZE));
    if (slot < 0) throw new AlcoveError(`Chunk ${name()} is missing in the chunks index.`);
    const count = index.word(slot, REFCOUNT);
    let known = index.word(slot, SIZE);
    if (known === 0) {
      known = size;
      index.setWord(slot, SIZE, size);
    } else if (size !== 0 && known !== size) {
      throw new IntegrityError(`Chunk ${name()} has ${size} bytes here and ${known} in the chunks index.`);
    }
    if (count < MAX_VALUE) index.setWord(slot, REFCOUNT, count + 1);
    stats.update(known, index.word(slot, CSIZE), false, part);
    return slot;
  }

  /** Looks `count` ids up, of eight words each from `from` on. @returns how many are known, up to the first that is not; for
   *  referenceFound() */
  findAll(ids: Uint32Array, from: number, count: number): number {
    if (count > this.#slots.length) this.#slots = new Int32Array(2 * count);
    const slots = this.#slots;
    this.index.findMany(ids, from, ID_SIZE / 4, count, slots);
    for (let i = 0; i < count; i++) if (slots[i]! < 0) return i;
    return count;
  }

  /** Adds a reference to each of the first `count` chunks that findAll() has found. Their sizes and compressed sizes are
   *  written to `sizes` from `at` on, two words each. */
  referenceFound(count: number, sizes: Uint32Array, at: number): void {
    const { index, stats } = this;
    const slots = this.#slots;
    for (let i = 0; i < count; i++) {
      const slot = slots[i]!;
      const references = index.word(slot, REFCOUNT);
      if (references < MAX_VALUE) index.setWord(slot, REFCOUNT, references + 1);
      const size = index.word(slot, SIZE);
      const csize = index.word(slot, CSIZE);
      stats.update(size, csize, false);
      sizes[at + 2 * i] = size;
      sizes[at + 2 * i + 1] = csize;
    }
  }

  /** Adds a reference to each of `count` chunks, whose ids lie at `at` and then every `stride` bytes, if all of them are
   *  known; their sizes and compressed sizes are written to `sizes`, two words each. Nothing is made for them.
   *  @returns false where one is not known: then nothing was changed */
  referenceAll(bytes: Uint8Array, at: number, stride: number, count: number, sizes: Uint32Array): boolean {
    const { index, stats } = this;
    for (let i = 0; i < count; i++) {
      const slot = index.find(bytes, at + i * stride);
      if (slot < 0) return false;
      sizes[2 * i] = slot;
    }
    for (let i = 0; i < count; i++) {
      const slot = sizes[2 * i]!;
      const references = index.word(slot, REFCOUNT);
      if (references < MAX_VALUE) index.setWord(slot, REFCOUNT, references + 1);
      const size = index.word(slot, SIZE);
      const csize = index.word(slot, CSIZE);
      stats.update(size, csize, false);
      sizes[2 * i] = size;
      sizes[2 * i + 1] = csize;
    }
    return true;
  }

  add(id: Uint8Array, size: number, csize: number, stats = this.stats): { chunk: ChunkRef; isNew: boolean } {
    if (this.index.find(id) >= 0) return { chunk: this.reference(id, size, stats), isNew: false };
    this.index.insert(id, 0, 1, size, csize);
    stats.update(size, csize, true);
    return { chunk: { id, size, csize }, isNew: true };
  }

  /** Adds a chunk by its plaintext (metadata and small things; files go through the pipeline). @param id of the data */
  async addData(data: Uint8Array, stats: Statistics, id = this.objects.id(data)): Promise<ChunkRef> {
    if (this.index.find(id) >= 0) return this.reference(id, data.length, stats);
    const blob = await this.objects.pack(data);
    const { chunk } = this.add(id, data.length, blob.length, stats);
    await this.objects.repository.put(id, blob);
    return chunk;
  }

  /** Drops a reference; the object goes with the last one. @throws AlcoveError if the chunk is not known */
  async dereference(id: Uint8Array, stats: Statistics, part = false): Promise<void> {
    const slot = this.index.find(id);
    if (slot < 0)
      throw new AlcoveError(`Chunk ${toHex(id)} is missing in the chunks index, which is damaged: aborting.`);
    const count = this.index.word(slot, REFCOUNT);
    const size = this.index.word(slot, SIZE);
    const csize = this.index.word(slot, CSIZE);
    if (count === 1) {
      this.index.remove(slot);
      await this.objects.repository.delete(id);
      stats.update(-size, -csize, true, part);
      return;
    }
    if (count < MAX_VALUE) this.index.setWord(slot, REFCOUNT, count - 1);
    stats.update(-size, -csize, false, part);
  }

  async release(chunks: ChunkRef[]): Promise<void> {
    for (const c of chunks) await this.dereference(c.id, this.stats);
  }

  store(buffer: Uint8Array, places: Uint32Array): Promise<void> {
    return this.#bulk ? this.#append(this.#bulk, buffer, places) : this.#putAll(buffer, places);
  }

  async #append(bulk: BulkRepository, buffer: Uint8Array, places: Uint32Array): Promise<void> {
    await bulk.beginTransaction();
    bulk.appendObjects(buffer, places);
  }

  async #putAll(buffer: Uint8Array, places: Uint32Array): Promise<void> {
    if ("putEntries" in this.objects.repository) {
      return (this.objects.repository as unknown as SendingRepository).putEntries(buffer, places);
    }
    for (let i = 0; i < places.length; i += 2) {
      const data = places[i]! + PUT_HEADER_SIZE;
      // Copies: the repository may keep them, and the slot is given back to its worker.
      const id = buffer.slice(data - ID_SIZE, data);
      await this.objects.repository.put(id, buffer.slice(data, places[i]! + places[i + 1]!));
    }
  }

  newIndex(): HashIndexShare | undefined {
    const share = this.index.share();
    if (share.buffer === this.#share.buffer) return undefined;
    this.#share = share;
    return share;
  }

  reserveNonces(blocks: number): Promise<number> {
    return this.objects.key.nonces.reserve(blocks);
  }
}
