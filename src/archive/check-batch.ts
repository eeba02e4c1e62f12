// Verifies many objects at a time where they were read to: a window of the segment in the core's memory. MACs are
// computed in place, several at once; ciphertexts whose counters follow each other, as create leaves them, are decrypted
// in one call (a cipher object alone costs more than decrypting a small chunk); ids are computed several at once. It
// only tells which objects are sound: whatever is unusual or wrong is left to the way for single objects, which says
// what is wrong. Neither an array nor a copy is made for an object, but that of its ciphertext.
import { BLOB_HEADER, InCoreDecompressor } from "../compress/in-core.ts";
import type { Core } from "../core/index.ts";
import { blocksOf, ENVELOPE_SIZE, IV_SIZE, type KeyMaterial, MAC_SIZE } from "../crypto/material.ts";
import { releaseBuffer } from "../runtime/heap.ts";
import { BatchKeys, DIGEST_SIZE, sameDigest } from "./batch-keys.ts";

/** Bytes of a segment that lie in the memory at a time. */
export const WINDOW_BYTES = 4 << 20;
const MOST_OBJECTS = 256;
/** What is in a batch stays in the processor's second cache from its MAC to its id. */
const BATCH_BYTES = 256 << 10;
const BLOCK = 16;
const STAGE_BYTES = WINDOW_BYTES + BATCH_BYTES + BLOCK * MOST_OBJECTS;
const PLAIN_BYTES = 8 << 20;

// A core's memory is never given back, so all verifiers of a core share one set of regions: each uses them between two
// awaits only.
const regions = new WeakMap<Core, Record<"window" | "stage" | "plain" | "table" | "digests", number>>();

/** Addresses of a core's regions. */
function regionsOf(core: Core) {
  let known = regions.get(core);
  if (!known) {
    known = {
      window: core.alloc(WINDOW_BYTES),
      stage: core.alloc(STAGE_BYTES),
      plain: core.alloc(PLAIN_BYTES),
      table: core.alloc(MOST_OBJECTS * 8),
      digests: core.alloc(MOST_OBJECTS * DIGEST_SIZE),
    };
    regions.set(core, known);
  }
  return known;
}

/** Address of a core's window, for who reads without verifying. */
export function windowOf(core: Core): number {
  return regionsOf(core).window;
}

export class BatchVerifier {
  /** Address of the window. */
  readonly window: number;
  readonly #core: Core;
  readonly #decompressor: InCoreDecompressor;
  readonly #keys: BatchKeys;
  /** Ciphertexts, each at a block's start, and in their place then what they hold. */
  readonly #stage: number;
  readonly #plain: number;
  readonly #table: number;
  readonly #digests: number;
  /** Addresses of the expected ids and of the objects, and the objects' lengths. */
  readonly #ids = new Uint32Array(MOST_OBJECTS);
  readonly #blobs = new Uint32Array(MOST_OBJECTS);
  readonly #lengths = new Uint32Array(MOST_OBJECTS);
  /** Addresses and lengths of the compressed data. */
  readonly #packed = new Uint32Array(MOST_OBJECTS);
  readonly #packedLengths = new Uint32Array(MOST_OBJECTS);
  readonly #numbers = new Uint32Array(MOST_OBJECTS);
  readonly #bad = new Uint8Array(MOST_OBJECTS);
  #count = 0;
  #bytes = 0;

  constructor(material: KeyMaterial, core: Core) {
    this.#core = core;
    this.#decompressor = new InCoreDecompressor(core);
    this.#keys = new BatchKeys(material, core);
    const { window, stage, plain, table, digests } = regionsOf(core);
    this.window = window;
    this.#stage = stage;
    this.#plain = plain;
    this.#table = table;
    this.#digests = digests;
  }

  /** Whether the object at this address of the window is for a batch at all. */
  takes(blob: number, length: number): boolean {
    const { usable, info } = this.#keys;
    const least = info.encrypted ? ENVELOPE_SIZE + 2 : 3;
    return usable && length >= least && this.#core.u8[blob] === info.type;
  }

  get full(): boolean {
    return this.#count === MOST_OBJECTS || this.#bytes >= BATCH_BYTES;
  }

  /** @param number what run() calls the object by
   *  @param id address of the id that the object has to have */
  add(number: number, id: number, blob: number, length: number): void {
    const n = this.#count++;
    this.#numbers[n] = number;
    this.#ids[n] = id;
    this.#blobs[n] = blob;
    this.#lengths[n] = length;
    this.#bytes += length;
  }

  /** The numbers of the added objects that are not known to be sound; empties the batch. */
  run(): number[] {
    const n = this.#count;
    this.#bad.fill(0, 0, n);
    const { mac } = this.#keys;
    if (mac) {
      for (let i = 0; i < n; i++) {
        const head = 1 + MAC_SIZE;
        this.#entry(i, this.#blobs[i]! + head, this.#lengths[i]! - head);
      }
      mac.many(this.#table, n, this.#digests);
      for (let i = 0; i < n; i++) this.#compare(i, this.#digests + DIGEST_SIZE * i, this.#blobs[i]! + 1);
      this.#decrypt(n);
    } else {
      for (let i = 0; i < n; i++) {
        this.#packed[i] = this.#blobs[i]! + 1;
        this.#packedLengths[i] = this.#lengths[i]! - 1;
      }
    }
    for (let from = 0; from < n; ) from = this.#identify(from, n);
    this.#count = this.#bytes = 0;
    const numbers: number[] = [];
    for (let i = 0; i < n; i++) if (this.#bad[i]) numbers.push(this.#numbers[i]!);
    return numbers;
  }

  #entry(i: number, pointer: number, length: number): void {
    this.#keys.entry(this.#table, i, pointer, length);
  }

  #compare(i: number, digest: number, expected: number): void {
    const { u8 } = this.#core;
    if (!sameDigest(u8, digest, u8, expected)) this.#bad[i] = 1;
  }

  #decrypt(n: number): void {
    const { u8 } = this.#core;
    let used = 0;
    for (let i = 0; i < n; i++) {
      const length = this.#lengths[i]! - ENVELOPE_SIZE;
      const from = this.#blobs[i]! + ENVELOPE_SIZE;
      const to = this.#stage + used;
      u8.copyWithin(to, from, from + length);
      this.#packed[i] = to;
      this.#packedLengths[i] = length;
      used += BLOCK * blocksOf(length);
    }
    for (let from = 0; from < n; ) {
      let to = from + 1;
      let next = this.#counter(from) + blocksOf(this.#packedLengths[from]!);
      while (to < n && this.#counter(to) === next) next += blocksOf(this.#packedLengths[to++]!);
      const start = this.#packed[from]!;
      const end = this.#packed[to - 1]! + this.#packedLengths[to - 1]!;
      const counter = this.#blobs[from]! + 1 + MAC_SIZE;
      const plain = this.#keys.decrypt(u8.subarray(counter, counter + IV_SIZE), u8.subarray(start, end));
      u8.set(plain, start);
      releaseBuffer(plain);
      from = to;
    }
  }

  /** Of the counter's 8 bytes the lower 6: where these wrap, a run of counters ends, which is all they decide. */
  #counter(i: number): number {
    const { u8 } = this.#core;
    const at = this.#blobs[i]! + 1 + MAC_SIZE;
    let value = 0;
    for (let k = 2; k < IV_SIZE; k++) value = value * 256 + u8[at + k]!;
    // The upper two bytes are 0 in what was ever written; anything else is a run of its own.
    return u8[at] || u8[at + 1] ? -1 - i : value;
  }

  /** Decompresses as many as there is room for, and compares their ids. @returns the first of those that are left */
  #identify(from: number, n: number): number {
    let used = 0;
    let to = from;
    for (; to < n; to++) {
      const [at, length] = [this.#packed[to]!, this.#packedLengths[to]!];
      const i = to - from;
      this.#entry(i, at + BLOB_HEADER, length - BLOB_HEADER);
      if (this.#bad[to] || this.#decompressor.isStored(at)) continue;
      const size = this.#decompressor.decompress(at, length, this.#plain + used, PLAIN_BYTES - used);
      if (size >= 0) {
        this.#entry(i, this.#plain + used, size);
        used = Math.min(PLAIN_BYTES, (used + size + 15) & ~15);
      } else if (used > 0) break;
      else this.#bad[to] = 1;
    }
    this.#keys.id.many(this.#table, to - from, this.#digests);
    for (let i = from; i < to; i++) this.#compare(i, this.#digests + DIGEST_SIZE * (i - from), this.#ids[i]!);
    return to;
  }
}
