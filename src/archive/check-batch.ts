// Verifies many small objects at a time, in the core's memory: MACs and ids several at once, and one AES call for
// neighbours whose counters follow each other, as create leaves them (a cipher object alone costs more than decrypting
// a small chunk). It only tells which objects are sound: whatever is unusual or wrong is left to the way for single
// objects, which knows every codec and says what is wrong.
import { createCipheriv, createSecretKey, type KeyObject } from "node:crypto";
import { createHasher, type Hasher } from "../core/hasher.ts";
import type { Core } from "../core/index.ts";
import { blocksOf, ENVELOPE_SIZE, IV_SIZE, type KeyMaterial, MAC_SIZE } from "../crypto/material.ts";
import { type KeyModeInfo, keyMode } from "../crypto/modes.ts";

const MOST_OBJECTS = 256;
const LARGEST_OBJECT = 256 << 10;
const STAGE_BYTES = 1 << 20;
const PLAIN_BYTES = 8 << 20;
const ID_SIZE = 32;

export class BatchVerifier {
  readonly #core: Core;
  readonly #info: KeyModeInfo;
  readonly #usable: boolean;
  readonly #cipherKey: KeyObject | undefined;
  readonly #mac: Hasher | undefined;
  readonly #id: Hasher;
  /** Objects from their counter on (encrypted) or from their compressed data on, at multiples of 16. */
  readonly #stageAt: number;
  readonly #plainAt: number;
  readonly #table: number;
  readonly #digests: number;
  /** Ciphertexts without counters between them, each at a block's start. */
  readonly #cipherText = new Uint8Array(STAGE_BYTES);
  readonly #cipherAt = new Uint32Array(MOST_OBJECTS);
  readonly #lengths = new Uint32Array(MOST_OBJECTS);
  readonly #staged = new Uint32Array(MOST_OBJECTS);
  readonly #macs = new Uint8Array(MOST_OBJECTS * MAC_SIZE);
  readonly #ivs = new Uint8Array(MOST_OBJECTS * IV_SIZE);
  readonly #ids = new Uint8Array(MOST_OBJECTS * ID_SIZE);
  readonly #numbers = new Uint32Array(MOST_OBJECTS);
  #stageUsed = 0;
  #cipherUsed = 0;
  #count = 0;

  constructor(material: KeyMaterial, core: Core) {
    this.#core = core;
    const info = keyMode(material.mode);
    this.#info = info;
    this.#usable = !material.withoutKey;
    const blake = info.idHash === "blake2b";
    if (info.encrypted) {
      this.#cipherKey = createSecretKey(material.encKey);
      this.#mac = createHasher(core, { type: blake ? "blake2b" : "hmac-sha256", key: material.encHmacKey });
    }
    this.#id = createHasher(
      core,
      info.idHash === "sha256" ? { type: "sha256" } : { type: info.idHash, key: material.idKey },
    );
    this.#stageAt = core.alloc(STAGE_BYTES);
    this.#plainAt = core.alloc(PLAIN_BYTES);
    this.#table = core.alloc(MOST_OBJECTS * 8);
    this.#digests = core.alloc(MOST_OBJECTS * 32);
  }

  /** Whether an object of this length is for a batch at all. */
  takes(blob: Uint8Array): boolean {
    const least = this.#info.encrypted ? ENVELOPE_SIZE + 2 : 3;
    return (
      this.#usable && blob.length >= least && blob.length <= LARGEST_OBJECT && blob[0] === this.#info.type
    );
  }

  get full(): boolean {
    return this.#count === MOST_OBJECTS || this.#stageUsed + LARGEST_OBJECT + 32 > STAGE_BYTES;
  }

  /** @param number what run() calls the object by */
  add(number: number, id: Uint8Array, blob: Uint8Array): void {
    const n = this.#count++;
    this.#numbers[n] = number;
    this.#ids.set(id, n * ID_SIZE);
    const encrypted = this.#info.encrypted;
    const body = blob.subarray(encrypted ? 1 + MAC_SIZE : 1);
    const at = this.#stageAt + this.#stageUsed;
    this.#core.u8.set(body, at);
    this.#staged[n] = at;
    this.#stageUsed += (body.length + 15) & ~15;
    this.#lengths[n] = encrypted ? body.length - IV_SIZE : body.length;
    if (!encrypted) return;
    this.#macs.set(blob.subarray(1, 1 + MAC_SIZE), n * MAC_SIZE);
    this.#ivs.set(body.subarray(0, IV_SIZE), n * IV_SIZE);
    this.#cipherAt[n] = this.#cipherUsed;
    this.#cipherText.set(body.subarray(IV_SIZE), this.#cipherUsed);
    this.#cipherUsed += 16 * blocksOf(this.#lengths[n]!);
  }

  /** The numbers of the added objects that are not known to be sound; empties the batch.
   *  @param plain gets the number and the data of each sound one: a view that is valid during the call only */
  run(plain?: (number: number, data: Uint8Array) => void): number[] {
    const n = this.#count;
    const rest = new Uint8Array(n);
    if (this.#mac) {
      for (let i = 0; i < n; i++) this.#entry(i, this.#staged[i]!, this.#lengths[i]! + IV_SIZE);
      this.#mac.many(this.#table, n, this.#digests);
      this.#compare(this.#macs, rest);
      this.#decrypt();
    }
    this.#decompress(rest);
    this.#id.many(this.#table, n, this.#digests);
    this.#compare(this.#ids, rest);
    this.#count = this.#stageUsed = this.#cipherUsed = 0;
    const numbers: number[] = [];
    const { u8, u32 } = this.#core;
    for (let i = 0; i < n; i++) {
      if (rest[i]) numbers.push(this.#numbers[i]!);
      else if (plain) {
        const at = u32[this.#table / 4 + 2 * i]!;
        plain(this.#numbers[i]!, u8.subarray(at, at + u32[this.#table / 4 + 2 * i + 1]!));
      }
    }
    return numbers;
  }

  #entry(i: number, pointer: number, length: number): void {
    this.#core.u32[this.#table / 4 + 2 * i] = pointer;
    this.#core.u32[this.#table / 4 + 2 * i + 1] = length;
  }

  #compare(expected: Uint8Array, rest: Uint8Array): void {
    const { u8 } = this.#core;
    for (let i = 0; i < this.#count; i++) {
      let difference = 0;
      for (let k = 0; k < 32; k++) difference |= u8[this.#digests + 32 * i + k]! ^ expected[32 * i + k]!;
      if (difference) rest[i] = 1;
    }
  }

  /** Puts the compressed data where the objects are staged. */
  #decrypt(): void {
    const { u8 } = this.#core;
    const iv = new Uint8Array(16);
    const ivs = new DataView(this.#ivs.buffer);
    for (let from = 0; from < this.#count; ) {
      let to = from + 1;
      for (; to < this.#count; to++) {
        const follows = ivs.getUint32(8 * (to - 1) + 4) + blocksOf(this.#lengths[to - 1]!);
        if (ivs.getUint32(8 * to) !== ivs.getUint32(8 * from) || ivs.getUint32(8 * to + 4) !== follows) break;
      }
      iv.set(this.#ivs.subarray(8 * from, 8 * from + 8), 8);
      const start = this.#cipherAt[from]!;
      const end = this.#cipherAt[to - 1]! + this.#lengths[to - 1]!;
      const data = createCipheriv("aes-256-ctr", this.#cipherKey!, iv).update(
        this.#cipherText.subarray(start, end),
      );
      for (let i = from; i < to; i++) {
        const at = this.#cipherAt[i]! - start;
        u8.set(data.subarray(at, at + this.#lengths[i]!), this.#staged[i]!);
      }
      from = to;
    }
  }

  /** Fills the table with the plaintexts; what is neither stored as it is nor LZ4, or does not fit, is left. */
  #decompress(rest: Uint8Array): void {
    const core = this.#core;
    let used = 0;
    for (let i = 0; i < this.#count; i++) {
      const at = this.#staged[i]!;
      const length = this.#lengths[i]!;
      const codec = core.u8[at + 1] === 0 ? core.u8[at]! : -1;
      this.#entry(i, at + 2, length - 2);
      if (rest[i] || codec === 0) continue;
      const size =
        codec === 1 && length > 2
          ? core.lz4Decompress(at + 2, length - 2, this.#plainAt + used, PLAIN_BYTES - used)
          : -1;
      if (size < 0) {
        rest[i] = 1;
        continue;
      }
      this.#entry(i, this.#plainAt + used, size);
      used = Math.min(PLAIN_BYTES, (used + size + 15) & ~15);
    }
  }
}
