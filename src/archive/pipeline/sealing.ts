// Seals many chunks at once. Compressed chunks are staged in the core's memory on 16-byte boundaries with
// counters in a row, so that one AES-CTR call encrypts all of them (a cipher object costs 3 µs, more than
// encrypting a small file's chunk), MACs are computed several at a time, and finished PUT entries lie back to
// back, ready to be written. The bytes are those Sealer.sealInto gives for the same counters (a test compares).
import { createHmac, createSecretKey, type KeyObject } from "node:crypto";
import { type CompressionSpec, type Compressor, createCompressor } from "../../compress/index.ts";
import type { Choice } from "../../core/choose.ts";
import { combineCrc32 } from "../../core/crc-combine.ts";
import { createHasher, createHostHmac, type Hasher } from "../../core/hasher.ts";
import { aes256ctrInPieces } from "../../core/host.ts";
import type { HostHmac } from "../../core/host-hash.ts";
import type { Core } from "../../core/index.ts";
import { lz4Bound } from "../../core/index.ts";
import { ENVELOPE_SIZE, IV_SIZE, type KeyMaterial, MAC_SIZE } from "../../crypto/material.ts";
import { type KeyModeInfo, keyMode } from "../../crypto/modes.ts";
import { crc32 } from "../../runtime/crc32.ts";
import { type NativeCtr, nativeCtr } from "../../runtime/index.ts";

/** CRC, size, tag and key before the data of a PUT entry. */
export const PUT_HEADER = 4 + 4 + 1 + 32;
const TAG_PUT = 0;
const MAX_CHUNKS = 256;
// What is compressed together is still in the cache when it is encrypted.
const STAGE_BYTES = 1 << 18;
// From here on a chunk's entry is made while its pieces are in the cache, or, where two messages are hashed at once, beside
// others as large.
const LARGE_BYTES = 1 << 17;
const LARGE_TOGETHER = 4;

/** Where entries are made without a buffer in between. */
interface Direct {
  cipher: NativeCtr;
  key: Uint8Array;
  hmac: HostHmac;
}

export class ChunkSealing {
  readonly #core: Core;
  readonly #info: KeyModeInfo;
  readonly #overhead: number;
  readonly #compressor: Compressor;
  readonly #plainLz4: boolean;
  readonly #cipherKey: KeyObject | undefined;
  readonly #mac: Hasher | undefined;
  /** For the MACs of large chunks, where the host makes them. */
  readonly #macKey: KeyObject | undefined;
  readonly #hostCrc: typeof crc32 | undefined;
  readonly #direct: Direct | undefined;
  readonly #stageAt: number;
  readonly #stageCapacity: number;
  readonly #entriesAt: number;
  readonly #macTable: number;
  readonly #macs: number;
  readonly #iv = Buffer.alloc(16);
  #stageUsed = 0;
  #entryBytes = 0;
  #count = 0;
  readonly #offsets = new Uint32Array(MAX_CHUNKS);
  readonly #lengths = new Uint32Array(MAX_CHUNKS);
  /** Where their data go among the entries. */
  readonly #targets = new Uint32Array(MAX_CHUNKS);
  readonly #macLengths = new Uint32Array(MAX_CHUNKS);
  readonly #ids = new Uint8Array(MAX_CHUNKS * 32);

  /** @param largestBlob bytes of the largest compressed chunk there can be
   *  @param cipher null to encrypt through node:crypto */
  constructor(
    core: Core,
    material: KeyMaterial,
    compression: CompressionSpec,
    choice: Choice,
    largestBlob: number,
    cipher: NativeCtr | null = nativeCtr() ?? null,
  ) {
    this.#core = core;
    this.#info = keyMode(material.mode);
    this.#overhead = this.#info.encrypted ? ENVELOPE_SIZE : 1;
    this.#compressor = createCompressor(compression, core);
    this.#plainLz4 = compression.name === "lz4";
    if (this.#info.encrypted) {
      this.#cipherKey = createSecretKey(material.encKey);
      const type = this.#info.idHash === "blake2b" ? "blake2b" : "hmac-sha256";
      this.#mac = createHasher(core, { type, key: material.encHmacKey }, choice);
      const isHosts = type === "hmac-sha256" && choice.hmacHostFrom !== null && choice.crc32 === "host";
      if (isHosts) this.#macKey = createSecretKey(material.encHmacKey);
      const hmac = isHosts && cipher ? createHostHmac(core, material.encHmacKey, choice) : undefined;
      if (cipher && hmac) this.#direct = { cipher, key: material.encKey, hmac };
    }
    this.#hostCrc = choice.crc32 === "host" ? crc32 : undefined;
    this.#stageCapacity = Math.max(STAGE_BYTES, largestBlob) + lz4Bound(0) + 64;
    this.#stageAt = core.alloc(this.#stageCapacity);
    // Of large chunks there are none here where they are made directly.
    const room = this.#macKey ? STAGE_BYTES : this.#stageCapacity;
    this.#entriesAt = this.#direct ? 0 : core.alloc(room + MAX_CHUNKS * (PUT_HEADER + ENVELOPE_SIZE));
    this.#macTable = core.alloc(MAX_CHUNKS * 8);
    this.#macs = core.alloc(MAX_CHUNKS * 32);
  }

  /** Chunks staged. */
  get count(): number {
    return this.#count;
  }

  /** Bytes the staged chunks will take as entries. */
  get entryBytes(): number {
    return this.#entryBytes;
  }

  /** Counter blocks the staged chunks will take. */
  get blocks(): number {
    return this.#info.encrypted ? this.#stageUsed / 16 : 0;
  }

  /** Whether a chunk of this length can be staged beside what is there. */
  fits(length: number): boolean {
    if (this.#count === 0) return true;
    const used = this.#stageUsed + lz4Bound(length) + 32;
    if (this.#direct && length >= LARGE_BYTES && this.#count < LARGE_TOGETHER)
      return used <= this.#stageCapacity;
    return this.#count < MAX_CHUNKS && used <= STAGE_BYTES;
  }

  /** Compresses the chunk at [ptr, ptr + length) of the core's memory; its id lies at idAt. @returns entry bytes */
  stage(ptr: number, length: number, idAt: number): number {
    const at = this.#stageAt + this.#stageUsed;
    const size = this.#plainLz4 ? this.#lz4(ptr, length, at) : this.#any(ptr, length, at);
    const n = this.#count++;
    this.#offsets[n] = this.#stageUsed;
    this.#lengths[n] = size;
    const { u8 } = this.#core;
    for (let i = 0; i < 32; i++) this.#ids[n * 32 + i] = u8[idAt + i]!;
    this.#stageUsed += (size + 15) & ~15;
    const total = PUT_HEADER + this.#overhead + size;
    this.#entryBytes += total;
    return total;
  }

  // LZ4, the default, goes straight to its place; what does not get smaller is kept as it is.
  #lz4(ptr: number, length: number, at: number): number {
    const size = length === 0 ? 0 : this.#core.lz4Compress(ptr, length, at + 2, lz4Bound(length));
    const { u8 } = this.#core;
    u8[at + 1] = 0;
    if (size > 0 && size < length) {
      u8[at] = 1;
      return size + 2;
    }
    u8[at] = 0;
    u8.copyWithin(at + 2, ptr, ptr + length);
    return length + 2;
  }

  #any(ptr: number, length: number, at: number): number {
    const blob = this.#compressor.compress(this.#core.u8.subarray(ptr, ptr + length));
    if (this.#stageUsed + blob.length + 16 > this.#stageCapacity)
      throw new Error("create: a compressed chunk is larger than expected");
    this.#core.u8.set(blob, at);
    return blob.length;
  }

  /**
   * Encrypts what is staged and writes the entries to `out`, back to back. @returns the position behind them
   * @param nonce first of `blocks` counters reserved for this call
   */
  seal(nonce: number, out: Uint8Array, at: number): number {
    if (this.#direct) return this.#sealDirect(this.#direct, nonce, out, at);
    if (this.#macKey && this.#stageUsed >= LARGE_BYTES && this.#count === 1)
      return this.#sealLarge(this.#macKey, nonce, out, at);
    const entries = this.#sealAll(nonce);
    out.set(entries, at);
    return at + entries.length;
  }

  /** As #sealAll, with the cipher writing to the entries. */
  #sealDirect({ cipher, key, hmac }: Direct, nonce: number, out: Uint8Array, start: number): number {
    const { u8 } = this.#core;
    const count = this.#count;
    if (start + this.#entryBytes > out.length) throw new RangeError("seal: the output does not fit");
    this.#setIv(nonce);
    cipher.begin(key, this.#iv);
    this.#zeroGaps();
    for (let i = 0, at = start; i < count; i++) {
      const offset = this.#offsets[i]!;
      const length = this.#lengths[i]!;
      const iv = at + PUT_HEADER + 1 + MAC_SIZE;
      // Counters go on at the next block: up to 15 bytes more are encrypted, over which the next entry is written.
      const bytes = i + 1 < count ? (length + 15) & ~15 : length;
      cipher.encrypt(u8, this.#stageAt + offset, out, iv + IV_SIZE, bytes);
      putCounter(out, iv, nonce + offset / 16);
      this.#targets[i] = iv;
      this.#macLengths[i] = IV_SIZE + length;
      at = iv + IV_SIZE + length;
    }
    hmac.many(out, this.#targets, this.#macLengths, count, this.#macs);
    // Only now: until then the places before the messages were the hash's.
    return this.#finish(out, start);
  }

  /** Gaps between chunks are encrypted too and thrown away; zeroed so that nothing old goes through the cipher. */
  #zeroGaps(): void {
    const { u8 } = this.#core;
    for (let i = 0; i < this.#count; i++) {
      const end = this.#stageAt + this.#offsets[i]! + this.#lengths[i]!;
      for (let at = end; (at & 15) !== 0; at++) u8[at] = 0;
    }
  }

  /** A large chunk: each piece is authenticated, checksummed and written right after it was encrypted. */
  #sealLarge(macKey: KeyObject, nonce: number, out: Uint8Array, at: number): number {
    const length = this.#lengths[0]!;
    const total = PUT_HEADER + ENVELOPE_SIZE + length;
    if (at + total > out.length) throw new RangeError("seal: the output does not fit");
    const head = new Uint8Array(PUT_HEADER + ENVELOPE_SIZE);
    this.#putHead(head, 0, 0);
    this.#setIv(nonce);
    const ivAt = PUT_HEADER + 1 + MAC_SIZE;
    head.set(this.#iv.subarray(8), ivAt);
    const mac = createHmac("sha256", macKey).update(head.subarray(ivAt));
    const body = at + head.length;
    let crc = 0;
    const { u8 } = this.#core;
    const data = u8.subarray(this.#stageAt, this.#stageAt + length);
    aes256ctrInPieces(this.#cipherKey!, this.#iv, data, (piece, offset) => {
      mac.update(piece);
      crc = this.#hostCrc!(piece, crc);
      out.set(piece, body + offset);
    });
    head.set(mac.digest(), PUT_HEADER + 1);
    // What comes first is known last.
    putUint32(head, 0, combineCrc32(this.#hostCrc!(head.subarray(4)), crc, length));
    out.set(head, at);
    this.#clear();
    return at + total;
  }

  /** Makes the entries in the core's memory. */
  #sealAll(nonce: number): Uint8Array {
    const core = this.#core;
    const { u8 } = core;
    for (let i = 0, at = this.#entriesAt; i < this.#count; i++) {
      const offset = this.#offsets[i]!;
      const length = this.#lengths[i]!;
      const data = at + PUT_HEADER;
      if (this.#cipherKey) {
        const iv = data + 1 + MAC_SIZE;
        putCounter(u8, iv, nonce + offset / 16);
        this.#targets[i] = iv + IV_SIZE;
        core.u32[this.#macTable / 4 + i * 2] = iv;
        core.u32[this.#macTable / 4 + i * 2 + 1] = IV_SIZE + length;
      } else u8.copyWithin(data + 1, this.#stageAt + offset, this.#stageAt + offset + length);
      at = data + this.#overhead + length;
    }
    if (this.#cipherKey) {
      this.#zeroGaps();
      this.#setIv(nonce);
      let next = 0;
      const staged = u8.subarray(this.#stageAt, this.#stageAt + this.#stageUsed);
      aes256ctrInPieces(this.#cipherKey, this.#iv, staged, (piece, at) => {
        next = this.#scatter(piece, at, next);
      });
    }
    if (this.#mac) this.#mac.many(this.#macTable, this.#count, this.#macs);
    return u8.subarray(this.#entriesAt, this.#finish(u8, this.#entriesAt));
  }

  /** Copies a piece of the ciphertexts to the entries. @param from first chunk it may belong to @returns the last one */
  #scatter(piece: Uint8Array, at: number, from: number): number {
    const { u8 } = this.#core;
    const end = at + piece.length;
    for (let i = from; ; i++) {
      const offset = this.#offsets[i]!;
      const stop = offset + this.#lengths[i]!;
      const first = Math.max(offset, at);
      const last = Math.min(stop, end);
      if (first < last) u8.set(piece.subarray(first - at, last - at), this.#targets[i]! + first - offset);
      if (stop > end || i + 1 === this.#count) return i;
    }
  }

  /** Writes what comes before the data of the entries from `start` of a memory on: the core's where the core makes the
   *  CRCs. Nothing is staged then. @returns the position behind them */
  #finish(memory: Uint8Array, start: number): number {
    const core = this.#core;
    const { u8 } = core;
    let at = start;
    for (let i = 0; i < this.#count; i++) {
      const total = this.#putHead(memory, at, i);
      const mac = at + PUT_HEADER + 1;
      if (this.#mac) for (let k = 0; k < MAC_SIZE; k++) memory[mac + k] = u8[this.#macs + i * 32 + k]!;
      const crc = this.#hostCrc
        ? this.#hostCrc(memory.subarray(at + 4, at + total))
        : core.crc32(at + 4, total - 4);
      putUint32(memory, at, crc);
      at += total;
    }
    this.#clear();
    return at;
  }

  /** Size, tag, id and the key's type of entry i, which begins at `at`. @returns its size */
  #putHead(memory: Uint8Array, at: number, i: number): number {
    const total = PUT_HEADER + this.#overhead + this.#lengths[i]!;
    putUint32(memory, at + 4, total);
    memory[at + 8] = TAG_PUT;
    for (let k = 0; k < 32; k++) memory[at + 9 + k] = this.#ids[i * 32 + k]!;
    memory[at + PUT_HEADER] = this.#info.type;
    return total;
  }

  #clear(): void {
    this.#stageUsed = this.#entryBytes = this.#count = 0;
  }

  #setIv(nonce: number): void {
    if (!Number.isSafeInteger(nonce) || nonce < 0 || nonce + this.blocks > Number.MAX_SAFE_INTEGER) {
      throw new RangeError("seal: the nonce is out of range");
    }
    this.#iv.fill(0, 0, 8);
    this.#iv.writeUInt32BE(Math.floor(nonce / 0x1_0000_0000), 8);
    this.#iv.writeUInt32BE(nonce >>> 0, 12);
  }
}

/** The eight bytes of a counter that an entry holds. */
function putCounter(out: Uint8Array, at: number, counter: number): void {
  let high = Math.floor(counter / 0x1_0000_0000);
  let low = counter >>> 0;
  for (let k = 3; k >= 0; k--, high >>>= 8, low >>>= 8) {
    out[at + k] = high;
    out[at + 4 + k] = low;
  }
}

/** Little endian. */
function putUint32(out: Uint8Array, at: number, n: number): void {
  out[at] = n;
  out[at + 1] = n >>> 8;
  out[at + 2] = n >>> 16;
  out[at + 3] = n >>> 24;
}
