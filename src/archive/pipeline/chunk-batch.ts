// The output side of the engine: chunks that lie in WebAssembly memory are hashed many at a time, looked up, compressed and
// encrypted where they are new, and recorded in an output slot in the order of the files they belong to.
import { createHasher, type Hasher } from "../../core/hasher.ts";
import { HashIndex, type HashIndexShare } from "../../core/hashindex.ts";
import type { Core } from "../../core/index.ts";
import { idHasherKind } from "../ids.ts";
import type { EngineSetup, OutputSlot } from "./engine-setup.ts";
import {
  BOUNDARY_RECORD_BYTES,
  END_RECORD_BYTES,
  type FreshStat,
  RECORD_END,
  RECORD_KNOWN,
  RECORD_NEW,
} from "./messages.ts";
import { RecentIds } from "./recent.ts";
import { writeBoundary, writeChunk, writeEnd, writeError } from "./records.ts";
import { ChunkSealing } from "./sealing.ts";

/** Chunks that a batch has room for. */
export const MAX_BATCH_CHUNKS = 512;
const MAX_PLANNED = 1024;
const RECENT_LIMIT = 1 << 14;
/** A slot is handed over long before it is full: what is touched stays resident. */
const SLOT_BYTES = 1 << 19;

/** What the driver must do before the engine is resumed: publish the slot and set a new one, grant nonces, or
 *  set the next piece of input (runStream only). */
export type Need = "slot" | "nonces" | "data";

/** The end of a file. */
interface BatchFile {
  /** Chunks of the batch before it. */
  chunksEnd: number;
  flags: number;
  stat: FreshStat | undefined;
}

/** A record to be written once the chunks before it are sealed. */
interface Planned {
  kind: number;
  length: number;
  entryBytes: number;
  idAt: number;
  file: BatchFile | undefined;
}

export class ChunkBatch {
  slot!: OutputSlot;
  readonly #core: Core;
  readonly #hasher: Hasher;
  readonly #sealing: ChunkSealing;
  #index: HashIndex;
  readonly #table: number;
  readonly #ids: number;
  #nonce = 0;
  #nonceEnd = 0;
  readonly #recent = new RecentIds(RECENT_LIMIT);
  /** Bytes of the last zero chunk of a hole, and where its id lies. */
  #zeroSize = 0;
  readonly #zeroId: number;
  // Chunks already read, and where the files they belong to end.
  readonly #pointers: number[] = [];
  readonly #lengths: number[] = [];
  readonly #files: BatchFile[] = [];
  readonly #planned: Planned[] = [];

  constructor(core: Core, setup: EngineSetup) {
    this.#core = core;
    this.#hasher = createHasher(core, idHasherKind(setup.material), setup.choice);
    this.#sealing = new ChunkSealing(
      core,
      setup.material,
      setup.compression,
      setup.choice,
      setup.largestBlob,
    );
    this.#index = HashIndex.attach(setup.index);
    this.#table = core.alloc(MAX_BATCH_CHUNKS * 8);
    this.#ids = core.alloc(MAX_BATCH_CHUNKS * 32);
    this.#zeroId = core.alloc(32);
  }

  /** A larger table has replaced the chunk index. */
  useIndex(share: HashIndexShare): void {
    this.#index = HashIndex.attach(share);
  }

  grantNonces(first: number, end: number): void {
    this.#nonce = first;
    this.#nonceEnd = end;
  }

  hasRoomFor(chunks: number): boolean {
    return this.#pointers.length + chunks <= MAX_BATCH_CHUNKS;
  }

  /** Adds chunks that lie one after the other from `start` on, where there is room. They must stay there until they are stored. */
  push(start: number, cuts: Uint32Array): void {
    for (const n of cuts) {
      this.#pointers.push(start);
      this.#lengths.push(n);
      start += n;
    }
  }

  /** All chunks of a file have been added. @param stat its status where the driver has to be told */
  endFile(flags: number, stat: FreshStat | undefined): void {
    this.#files.push({ chunksEnd: this.#pointers.length, flags, stat });
  }

  /** Stores the chunks added so far, and tells of the files that have ended. */
  *flush(): Generator<Need, void> {
    const hashed = this.#hashBatch();
    let from = 0;
    for (const file of this.#files) {
      yield* this.#chunks(from, file.chunksEnd);
      from = file.chunksEnd;
      this.#planned.push({ kind: RECORD_END, length: 0, entryBytes: 0, idAt: 0, file });
      if (this.#planned.length >= MAX_PLANNED) yield* this.#emit();
    }
    if (from !== hashed) yield* this.#chunks(from, hashed);
    yield* this.#emit();
    this.#clear();
    this.#files.length = 0;
  }

  /** Stores the chunks added so far, of a file that has not ended. */
  *store(): Generator<Need, void> {
    yield* this.#chunks(0, this.#hashBatch());
    yield* this.#emit();
    this.#clear();
  }

  /** Chunks of a hole. Only the first of a size is hashed: a large hole costs a record for each chunk and no more.
   *  @param at where there are `size` bytes of memory to use */
  *zeros(size: number, count: number, at: number): Generator<Need, void> {
    let rest = count;
    if (rest > 0 && this.#zeroSize !== size) {
      this.#core.u8.fill(0, at, at + size);
      this.push(at, Uint32Array.of(size));
      yield* this.store();
      this.#core.u8.copyWithin(this.#zeroId, this.#ids, this.#ids + 32);
      this.#zeroSize = size;
      rest--;
    }
    for (; rest > 0; rest--) {
      this.#planned.push({
        kind: RECORD_KNOWN,
        length: size,
        entryBytes: 0,
        idAt: this.#zeroId,
        file: undefined,
      });
      if (this.#planned.length >= MAX_PLANNED) yield* this.#emit();
    }
    yield* this.#emit();
  }

  /** At once, not when the slot is full. @param offset where the next piece begins; Infinity behind the last one */
  *boundary(offset: number): Generator<Need, void> {
    if (this.slot.recordPos + BOUNDARY_RECORD_BYTES > this.slot.view.byteLength) yield "slot";
    writeBoundary(this.slot, offset);
    yield "slot";
  }

  /** A file that cannot be read on. @param text as errorText() makes it */
  *error(text: Uint8Array): Generator<Need, void> {
    if (this.slot.recordPos + 8 + text.length + 4 > this.slot.view.byteLength) yield "slot";
    writeError(this.slot, text);
  }

  #clear(): void {
    this.#pointers.length = 0;
    this.#lengths.length = 0;
  }

  #hashBatch(): number {
    const n = this.#pointers.length;
    if (n === 0) return 0;
    if (n > MAX_BATCH_CHUNKS) throw new RangeError("create: too many chunks in a batch");
    const table = new Uint32Array(this.#core.u8.buffer, this.#table, n * 2);
    for (let i = 0; i < n; i++) {
      table[i * 2] = this.#pointers[i]!;
      table[i * 2 + 1] = this.#lengths[i]!;
    }
    this.#hasher.many(this.#table, n, this.#ids);
    return n;
  }

  /** Handles the chunks [from, to) of the batch: known ones are recorded, new ones staged and sealed in groups. */
  *#chunks(from: number, to: number): Generator<Need, void> {
    for (let i = from; i < to; i++) {
      const idAt = this.#ids + i * 32;
      const length = this.#lengths[i]!;
      const memory = this.#core.u8;
      let known = this.#index.find(memory, idAt) >= 0;
      if (!known) known = !this.#recent.add(this.#core.u32, idAt >> 2);
      if (!known && !this.#sealing.fits(length)) yield* this.#emit();
      const entryBytes = known ? 0 : this.#sealing.stage(this.#pointers[i]!, length, idAt);
      this.#planned.push({
        kind: known ? RECORD_KNOWN : RECORD_NEW,
        length,
        entryBytes,
        idAt,
        file: undefined,
      });
    }
  }

  /** Seals what is staged and writes the planned records. Ids must still lie where the plan says. */
  *#emit(): Generator<Need, void> {
    if (this.#planned.length === 0) return;
    const recordBytes = this.#planned.length * END_RECORD_BYTES;
    if (
      this.slot.entryPos + this.#sealing.entryBytes > this.slot.entries.length ||
      this.slot.recordPos + recordBytes > this.slot.view.byteLength
    ) {
      yield "slot";
    }
    if (this.#sealing.count > 0) {
      const { blocks } = this.#sealing;
      if (this.#nonce + blocks > this.#nonceEnd) yield "nonces";
      this.slot.entryPos = this.#sealing.seal(this.#nonce, this.slot.entries, this.slot.entryPos);
      this.#nonce += blocks;
    }
    for (const plan of this.#planned) {
      if (plan.file) writeEnd(this.slot, plan.file.flags, plan.file.stat);
      else writeChunk(this.slot, plan.kind, plan.length, plan.entryBytes, this.#core.u8, plan.idAt);
    }
    this.#planned.length = 0;
    if (this.slot.entryPos >= SLOT_BYTES) yield "slot";
  }
}
