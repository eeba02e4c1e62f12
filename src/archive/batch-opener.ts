// Opens many small objects of a repository at a time, in the core's memory: MACs and ids several at once, and one AES
// call for neighbours whose counters follow each other, as create leaves them. Chunks of small files cost a third of
// what opening each alone costs. Whatever is unusual or wrong is left to the way for single objects, which
// says what is wrong. Memory: one window, one stage and the plaintexts, below 2 MiB.
import { BLOB_HEADER, InCoreDecompressor } from "../compress/in-core.ts";
import type { Core } from "../core/index.ts";
import { blocksOf, ENVELOPE_SIZE, IV_SIZE, type KeyMaterial, MAC_SIZE } from "../crypto/material.ts";
import { releaseBuffer } from "../runtime/heap.ts";
import { BatchKeys, DIGEST_SIZE, sameDigest } from "./batch-keys.ts";

const MOST_OBJECTS = 64;
const STAGE_BYTES = 512 << 10;
const PLAIN_BYTES = 1 << 20;

/** One object of a batch. */
interface Staged {
  /** Index in the caller's list. */
  index: number;
  blob: Uint8Array;
  /** Address of the counter and ciphertext, or of the compressed data where nothing is encrypted. */
  at: number;
  /** Bytes of compressed data. */
  length: number;
  /** Place of the ciphertext among the others, at a block's start. */
  cipherAt: number;
  bad: boolean;
}

/** Told of an object that verified: its index, address and bytes of its plaintext. */
type Keep = (index: number, at: number, length: number) => void;

export class BatchOpener {
  readonly #core: Core;
  readonly #keys: BatchKeys;
  readonly #decompressor: InCoreDecompressor;
  readonly #stage: number;
  readonly #plain: number;
  readonly #table: number;
  readonly #digests: number;
  readonly #cipherText = new Uint8Array(STAGE_BYTES + 16 * MOST_OBJECTS);
  #staged: Staged[] = [];
  #stageUsed = 0;
  #cipherUsed = 0;

  constructor(material: KeyMaterial, core: Core) {
    this.#core = core;
    this.#keys = new BatchKeys(material, core);
    this.#decompressor = new InCoreDecompressor(core);
    this.#stage = core.alloc(STAGE_BYTES);
    this.#plain = core.alloc(PLAIN_BYTES);
    this.#table = core.alloc(MOST_OBJECTS * 8);
    this.#digests = core.alloc(MOST_OBJECTS * DIGEST_SIZE);
  }

  /** Plaintexts of those objects that verify; undefined for the others, which are not necessarily wrong.
   *  @param blobs as stored; they need not stay valid after the next one was taken
   *  @param ids 32 bytes each, of the blob with the same index
   *  @param take gives the memory for a plaintext; each has memory of its own without it */
  open(
    ids: readonly Uint8Array[],
    blobs: Iterable<Uint8Array | undefined>,
    take?: (size: number) => Uint8Array,
  ): (Uint8Array | undefined)[] {
    const found: (Uint8Array | undefined)[] = new Array(ids.length).fill(undefined);
    const keep: Keep = (i, at, length) => {
      const { u8 } = this.#core;
      if (take) {
        const memory = take(length);
        memory.set(u8.subarray(at, at + length));
        found[i] = memory;
      } else found[i] = u8.slice(at, at + length);
    };
    let index = 0;
    for (const blob of blobs) {
      if (blob && !this.#add(index, blob)) {
        this.#run(ids, keep);
        this.#add(index, blob);
      }
      index++;
    }
    this.#run(ids, keep);
    return found;
  }

  /** As open(), without copies: `keep` is told where in the core's memory plaintexts lie until the next call.
   *  @returns how many of the blobs were looked at: as many as there is room for, at least one */
  openInPlace(ids: readonly Uint8Array[], blobs: Iterable<Uint8Array | undefined>, keep: Keep): number {
    let index = 0;
    for (const blob of blobs) {
      if (blob && !this.#add(index, blob)) break;
      index++;
    }
    this.#run(ids, keep);
    return index;
  }

  /** False where the batch has no room for it; an object that is none for a batch counts as added. */
  #add(index: number, blob: Uint8Array): boolean {
    const { usable, info } = this.#keys;
    const { encrypted, type } = info;
    const head = encrypted ? ENVELOPE_SIZE : 1;
    const size = (blob.length + 15) & ~15;
    if (!usable || blob.length < head + 3 || blob[0] !== type || size > STAGE_BYTES) return true;
    if (this.#staged.length === MOST_OBJECTS || this.#stageUsed + size > STAGE_BYTES) return false;
    const at = this.#stage + this.#stageUsed;
    const length = blob.length - head;
    this.#core.u8.set(blob.subarray(encrypted ? 1 + MAC_SIZE : 1), at);
    this.#staged.push({
      index,
      blob: blob.slice(0, head),
      at,
      length,
      cipherAt: this.#cipherUsed,
      bad: false,
    });
    this.#stageUsed += size;
    if (!encrypted) return true;
    this.#cipherText.set(blob.subarray(head), this.#cipherUsed);
    this.#cipherUsed += 16 * blocksOf(length);
    return true;
  }

  #run(ids: readonly Uint8Array[], keep: Keep): void {
    const staged = this.#staged;
    const { mac, id } = this.#keys;
    if (mac) {
      for (const [i, s] of staged.entries()) this.#entry(i, s.at, s.length + IV_SIZE);
      mac.many(this.#table, staged.length, this.#digests);
      for (const [i, s] of staged.entries()) this.#compare(s, i, s.blob.subarray(1, 1 + MAC_SIZE));
      this.#decrypt();
    }
    this.#decompress();
    id.many(this.#table, staged.length, this.#digests);
    const { u32 } = this.#core;
    for (const [i, s] of staged.entries()) {
      this.#compare(s, i, ids[s.index]!);
      if (!s.bad) keep(s.index, u32[this.#table / 4 + 2 * i]!, u32[this.#table / 4 + 2 * i + 1]!);
    }
    this.#staged = [];
    this.#stageUsed = this.#cipherUsed = 0;
  }

  #entry(i: number, pointer: number, length: number): void {
    this.#keys.entry(this.#table, i, pointer, length);
  }

  #compare(s: Staged, i: number, expected: Uint8Array): void {
    if (!sameDigest(this.#core.u8, this.#digests + DIGEST_SIZE * i, expected, 0)) s.bad = true;
  }

  /** Puts the compressed data where the objects are staged. */
  #decrypt(): void {
    const staged = this.#staged;
    const { u8 } = this.#core;
    const counters = staged.map(
      (s) => new DataView(s.blob.buffer, s.blob.byteOffset + 1 + MAC_SIZE, IV_SIZE),
    );
    for (let from = 0; from < staged.length; ) {
      let to = from + 1;
      for (; to < staged.length; to++) {
        const before = counters[to - 1]!;
        const follows = before.getUint32(4) + blocksOf(staged[to - 1]!.length);
        if (counters[to]!.getUint32(0) !== before.getUint32(0) || counters[to]!.getUint32(4) !== follows)
          break;
      }
      const first = staged[from]!;
      const last = staged[to - 1]!;
      const data = this.#keys.decrypt(
        first.blob.subarray(1 + MAC_SIZE),
        this.#cipherText.subarray(first.cipherAt, last.cipherAt + last.length),
      );
      for (let i = from; i < to; i++) {
        const s = staged[i]!;
        const at = s.cipherAt - first.cipherAt;
        u8.set(data.subarray(at, at + s.length), s.at);
      }
      releaseBuffer(data);
      from = to;
    }
  }

  /** Fills the table with the plaintexts; what cannot be decompressed, or does not fit, is left. */
  #decompress(): void {
    let used = 0;
    for (const [i, s] of this.#staged.entries()) {
      this.#entry(i, s.at + BLOB_HEADER, s.length - BLOB_HEADER);
      if (s.bad || this.#decompressor.isStored(s.at)) continue;
      const to = this.#plain + used;
      const size = this.#decompressor.decompress(s.at, s.length, to, PLAIN_BYTES - used);
      if (size < 0) {
        s.bad = true;
        continue;
      }
      this.#entry(i, to, size);
      used = Math.min(PLAIN_BYTES, (used + size + 15) & ~15);
    }
  }
}
