// The secrets of a repository as plain data, and the Sealer that uses them: object ids, and the envelope of an
// encrypted object, TYPE(1) MAC(32) IV(8) CIPHERTEXT. AES-256-CTR counts 16-byte blocks in a 128-bit counter whose
// upper half is always zero; only the lower half is stored. The MAC covers IV and ciphertext, not the type.
// Modes without encryption store TYPE and data. Workers get a KeyMaterial by message and make their own Sealer.

import { type Cipheriv, createCipheriv, createSecretKey, type KeyObject, timingSafeEqual } from "node:crypto";
import { createHasher, type HashKind } from "../core/hasher.ts";
import { aes256ctr, hmacKey, hmacSha256, inPieces, sha256 } from "../core/host.ts";
import { type Core, loadCore } from "../core/index.ts";
import { IntegrityError } from "../errors.ts";
import { type KeyMode, type KeyModeInfo, keyMode, TYPE_PASSPHRASE } from "./modes.ts";

/** Serialisable: may be posted to a worker. */
export interface KeyMaterial {
  mode: KeyMode;
  /** 32 bytes; empty where there is no key. */
  encKey: Uint8Array;
  /** 32 bytes, 128 with BLAKE2b. */
  encHmacKey: Uint8Array;
  /** 32 bytes, 128 with BLAKE2b. */
  idKey: Uint8Array;
  /** Signed 32-bit seed of the chunker. */
  chunkSeed: number;
  /** BORG_WORKAROUNDS=authenticated_no_key: the id key is unknown, ids are not verified. */
  withoutKey?: boolean;
}

export const MAC_SIZE = 32;
export const IV_SIZE = 8;
/** Bytes before the ciphertext of an encrypted object. */
export const ENVELOPE_SIZE = 1 + MAC_SIZE + IV_SIZE;

/** AES blocks that length bytes consume. */
export function blocksOf(length: number): number {
  return Math.ceil(length / 16);
}

const EMPTY = new Uint8Array(0);
// Counters above 2^53 blocks would be 128 PiB of data; a repository that claims so many is damaged or hostile.
const MAX_BLOCK = Number.MAX_SAFE_INTEGER;

/** The material of an unencrypted repository. */
export function plaintextMaterial(): KeyMaterial {
  return { mode: "none", encKey: EMPTY, encHmacKey: EMPTY, idKey: EMPTY, chunkSeed: 0 };
}

/** First counter block of an encrypted object. */
export function nonceOf(blob: Uint8Array): number {
  const view = new DataView(blob.buffer, blob.byteOffset, blob.byteLength);
  const high = view.getUint32(1 + MAC_SIZE);
  if (high > 0x1fffff) throw new IntegrityError("The nonce of an object is out of range.");
  return high * 0x1_0000_0000 + view.getUint32(1 + MAC_SIZE + 4);
}

export class Sealer {
  readonly material: KeyMaterial;
  readonly info: KeyModeInfo;
  /** Bytes that seal adds to the compressed data. */
  readonly overhead: number;
  readonly #encKey: KeyObject | undefined;
  readonly #mac: (data: Uint8Array) => Uint8Array;
  readonly #id: (data: Uint8Array) => Uint8Array;
  readonly #iv = new Uint8Array(16);
  readonly #ivView = new DataView(this.#iv.buffer);

  /** core: given where there is much to hash (a worker's), so that the measured best implementation serves each size.
   *  Without it the host does SHA-256, and no WebAssembly is loaded for a command that opens three objects.
   *  @throws IntegrityError where the keys have not the length their mode needs */
  constructor(material: KeyMaterial, core?: Core) {
    const info = keyMode(material.mode);
    this.material = material;
    this.info = info;
    this.overhead = info.encrypted ? ENVELOPE_SIZE : 1;
    if (!material.withoutKey) checkLengths(material, info);
    if (info.encrypted) this.#encKey = createSecretKey(material.encKey);
    this.#id = hashFunction(kindOf(info, material.idKey), core);
    this.#mac = info.encrypted ? hashFunction(kindOf(info, material.encHmacKey), core) : noMac;
  }

  /** The 32-byte id of an object with this plaintext. */
  idHash(data: Uint8Array): Uint8Array {
    return this.#id(data);
  }

  /** @throws IntegrityError if data is not what the id names. Skipped where the key is unknown (see withoutKey). */
  checkId(id: Uint8Array, data: Uint8Array): void {
    if (this.material.withoutKey) return;
    if (!timingSafeEqual(this.idHash(data), id)) {
      throw new IntegrityError(`Chunk ${hex(id)}: the data does not match its id.`);
    }
  }

  /** Compressed data to a stored object. The blocks from nonce on (blocksOf(length) of them) must be reserved. */
  seal(compressed: Uint8Array, nonce: number): Uint8Array {
    const out = new Uint8Array(compressed.length + this.overhead);
    this.sealInto(compressed, out, 0, nonce);
    return out;
  }

  /** As seal, written to out at outOffset; returns the bytes written (compressed.length + overhead). */
  sealInto(compressed: Uint8Array, out: Uint8Array, outOffset: number, nonce: number): number {
    const total = compressed.length + this.overhead;
    if (outOffset + total > out.length) throw new RangeError("sealInto: the output does not fit");
    out[outOffset] = this.info.type;
    if (this.#encKey === undefined) {
      out.set(compressed, outOffset + 1);
      return total;
    }
    this.#setIv(nonce, compressed.length);
    const body = outOffset + 1 + MAC_SIZE;
    out.set(this.#iv.subarray(8), body);
    out.set(aes256ctr(this.#encKey, this.#iv, compressed), body + IV_SIZE);
    out.set(this.#mac(out.subarray(body, outOffset + total)), outOffset + 1);
    return total;
  }

  /** A stored object to its compressed data; a view into blob where nothing is encrypted. The id, if given, only
   *  names the object in errors: compare it with checkId after decompression.
   *  @throws IntegrityError on a wrong type, a short object or a MAC that does not verify */
  open(blob: Uint8Array, id?: Uint8Array): Uint8Array {
    const cipher = this.#verified(blob, id);
    if (!cipher) return blob.subarray(1);
    const compressed = cipher.update(blob.subarray(ENVELOPE_SIZE));
    cipher.final(); // as aes256ctr
    return compressed;
  }

  /** The cipher at the beginning of an object that was proved to be one, undefined where nothing is encrypted. */
  #verified(blob: Uint8Array, id: Uint8Array | undefined): Cipheriv | undefined {
    const type = blob[0];
    const legacy = type === TYPE_PASSPHRASE && this.info.mode === "repokey";
    if (type !== this.info.type && !legacy)
      throw new IntegrityError(`Chunk ${name(id)}: invalid encryption envelope.`);
    if (this.#encKey === undefined) return undefined;
    if (blob.length < ENVELOPE_SIZE) throw new IntegrityError(`Chunk ${name(id)}: the object is too short.`);
    const authenticated = blob.subarray(1 + MAC_SIZE);
    if (!timingSafeEqual(this.#mac(authenticated), blob.subarray(1, 1 + MAC_SIZE))) {
      throw new IntegrityError(`Chunk ${name(id)}: could not decrypt, MAC authentication failed.`);
    }
    // The stored IV goes in as bytes: what the MAC has proved is used whatever its size.
    this.#iv.fill(0, 0, 8);
    this.#iv.set(authenticated.subarray(0, IV_SIZE), 8);
    return createCipheriv("aes-256-ctr", this.#encKey, this.#iv);
  }

  /** As open, of an encrypted mode, into memory that the caller has: decrypted in pieces that stay in the processor's
   *  cache, without a buffer of the object's size.
   *  @param room told how many bytes there are and which the first of them are; gives the memory for all of them */
  openInto(
    blob: Uint8Array,
    id: Uint8Array | undefined,
    room: (length: number, head: Uint8Array) => Uint8Array,
  ): Uint8Array {
    const cipher = this.#verified(blob, id);
    if (!cipher) throw new IntegrityError(`Chunk ${name(id)}: is not encrypted.`);
    const data = blob.subarray(ENVELOPE_SIZE);
    let out: Uint8Array | undefined;
    inPieces(cipher, data, (piece, at) => {
      out ??= room(data.length, piece);
      out.set(piece, at);
    });
    return out ?? room(0, data);
  }

  #setIv(nonce: number, length: number): void {
    if (!Number.isInteger(nonce) || nonce < 0 || nonce + blocksOf(length) > MAX_BLOCK) {
      throw new RangeError("seal: the nonce is out of range");
    }
    this.#ivView.setUint32(8, Math.floor(nonce / 0x1_0000_0000));
    this.#ivView.setUint32(12, nonce >>> 0);
  }
}

function kindOf(info: KeyModeInfo, key: Uint8Array): HashKind {
  return info.idHash === "sha256" ? { type: "sha256" } : { type: info.idHash, key };
}

// Measuring which implementation is faster takes milliseconds, as long as this many small hashes: who opens only a
// few objects (list, info) is done before that pays.
const CALLS_BEFORE_MEASURING = 200;

function hashFunction(kind: HashKind, core: Core | undefined): (data: Uint8Array) => Uint8Array {
  // No host has a BLAKE2b of 256 bits.
  if (kind.type === "blake2b") return (data) => (core ?? loadCore()).blake2bPrefix(kind.key, data);
  let hash = hostHash(kind);
  if (core === undefined) return hash;
  let calls = 0;
  return (data) => {
    if (calls < CALLS_BEFORE_MEASURING && ++calls === CALLS_BEFORE_MEASURING)
      hash = createHasher(core, kind).one;
    return hash(data);
  };
}

function hostHash(kind: Exclude<HashKind, { type: "blake2b" }>): (data: Uint8Array) => Uint8Array {
  if (kind.type === "sha256") return sha256;
  const key = hmacKey(kind.key);
  return (data) => hmacSha256(key, data);
}

function noMac(): never {
  throw new Error("objects of this mode have no MAC");
}

function checkLengths(material: KeyMaterial, info: KeyModeInfo): void {
  if (info.idHash === "sha256") return;
  // A key that was converted from another program may be longer or shorter for the MAC and the ids, which take any
  // length; AES and Borg's BLAKE2b construction do not.
  const long = info.idHash === "blake2b" ? 128 : 32;
  if (info.encrypted && material.encKey.length !== 32)
    throw new IntegrityError("The encryption key has a wrong length.");
  if (info.encrypted && material.encHmacKey.length !== long)
    throw new IntegrityError("The MAC key has a wrong length.");
  if (material.idKey.length === 0) throw new IntegrityError("The id key has a wrong length.");
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("hex");
}

function name(id: Uint8Array | undefined): string {
  return id ? hex(id) : "(unknown)";
}
