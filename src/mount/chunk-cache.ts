// Decrypted chunks in memory, bounded by their bytes; the one not used for longest goes first. Two readers that
// want the same chunk at once wait for one read. A chunk that is not there is remembered as missing, too.
import { releaseBuffer } from "../runtime/heap.ts";
import { ChunkMemory } from "./chunk-memory.ts";
import { decrypted, whenTidying } from "./garbage.ts";
import type { MountSource } from "./source.ts";

/** The 32 bytes of an id as a string with one character a byte: a key for a Map. */
export function idKey(id: Uint8Array): string {
  return Buffer.from(id.buffer, id.byteOffset, id.byteLength).toString("latin1");
}

const MISSING: Uint8Array = new Uint8Array(0);
/** A cache below that size has no use for blocks of memory. */
const LEAST_REUSED = 1 << 20;

export class ChunkCache {
  readonly #source: MountSource;
  readonly #limit: number;
  readonly #chunks = new Map<string, Uint8Array>();
  readonly #underWay = new Map<string, Promise<Uint8Array | undefined>>();
  /** Memory for the chunks of a source that needs no waiting, where it may be used again. */
  readonly #memory: ChunkMemory | undefined;
  readonly #take: ((size: number) => Uint8Array) | undefined;
  /** Chunks in memory of their own that are to be released. */
  readonly #spent: Uint8Array[] = [];
  /** Bytes of chunks. */
  #bytes = 0;
  /** Bytes of those in memory of their own. */
  #ownBytes = 0;
  reads = 0;

  /** @param reuse memory of chunks that were dropped is used for others: settle() has to be called whenever nobody
   *  holds chunks that were got before */
  constructor(source: MountSource, limitBytes: number, reuse = false) {
    this.#source = source;
    this.#limit = limitBytes;
    if (!reuse || !source.getChunksNow || limitBytes < LEAST_REUSED) return;
    const memory = new ChunkMemory();
    this.#memory = memory;
    this.#take = (size) => memory.take(size);
    whenTidying(() => memory.trim());
  }

  /** Chunks that were got before are not read any more: memory of those that are gone is used again. */
  settle(): void {
    if (!this.#memory) return;
    this.#memory.settle();
    if (this.#spent.length) for (const data of this.#spent.splice(0)) releaseBuffer(data);
  }

  get statistics(): { chunks: number; bytes: number; limit: number; reads: number } {
    return { chunks: this.#chunks.size, bytes: this.#bytes, limit: this.#limit, reads: this.reads };
  }

  has(id: Uint8Array): boolean {
    const key = idKey(id);
    return this.#chunks.has(key) || this.#underWay.has(key);
  }

  /** The chunk, at once where it is here; undefined where the repository has none. */
  get(id: Uint8Array): Uint8Array | undefined | Promise<Uint8Array | undefined> {
    const key = idKey(id);
    const known = this.#chunks.get(key);
    if (known) {
      this.#chunks.delete(key);
      this.#chunks.set(key, known);
      return known === MISSING ? undefined : known;
    }
    const waiting = this.#underWay.get(key);
    if (waiting) return waiting;
    this.reads++;
    if (this.#source.getChunksNow) {
      const [data] = this.#source.getChunksNow([id], this.#take);
      this.#keep(key, data);
      return data;
    }
    const copy = id.slice();
    const promise = this.#source
      .getChunks([copy])
      .then(([data]) => {
        this.#keep(key, data);
        return data;
      })
      .finally(() => this.#underWay.delete(key));
    this.#underWay.set(key, promise);
    return promise;
  }

  /** Starts reading chunks that will be wanted soon, in one go. Errors are those of the later get. */
  prefetch(ids: Uint8Array[]): void {
    const wanted = ids.filter((id) => !this.has(id)).map((id) => id.slice());
    if (wanted.length === 0) return;
    this.reads += wanted.length;
    if (this.#source.getChunksNow) {
      const found = this.#source.getChunksNow(wanted, this.#take);
      for (let i = 0; i < wanted.length; i++) this.#keep(idKey(wanted[i]!), found[i]);
      return;
    }
    const all = this.#source.getChunks(wanted);
    wanted.forEach((id, i) => {
      const key = idKey(id);
      const one = all
        .then((data) => {
          this.#keep(key, data[i]);
          return data[i];
        })
        .finally(() => this.#underWay.delete(key));
      one.catch(() => undefined);
      this.#underWay.set(key, one);
    });
  }

  /** Says that a chunk was read to its end: it is the next to go. */
  finished(id: Uint8Array): void {
    const key = idKey(id);
    const data = this.#chunks.get(key);
    if (!data || data === MISSING) return;
    this.#drop(key, data);
  }

  #drop(key: string, data: Uint8Array): void {
    this.#chunks.delete(key);
    this.#bytes -= data.length;
    if (this.#memory?.drop(data)) return;
    this.#ownBytes -= data.length;
    if (this.#memory && data !== MISSING) this.#spent.push(data);
  }

  #keep(key: string, data: Uint8Array | undefined): void {
    const before = this.#chunks.get(key);
    if (before) this.#drop(key, before); // asked for twice in one go
    this.#chunks.set(key, data ?? MISSING);
    const bytes = data?.length ?? 0;
    this.#bytes += bytes;
    if (!data || !this.#memory?.keep(data)) {
      this.#ownBytes += bytes;
      decrypted(bytes);
    }
    for (const [oldest, old] of this.#chunks) {
      if (this.#ownBytes + (this.#memory?.bytes ?? 0) <= this.#limit || this.#chunks.size <= 1) break;
      this.#drop(oldest, old);
    }
  }
}
