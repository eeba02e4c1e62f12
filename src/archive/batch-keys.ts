// What opening many objects at a time needs of a repository's keys: the hashers of MACs and ids, which take a table of
// messages in the core's memory, and one AES call for neighbours whose counters follow each other.
import { createSecretKey, type KeyObject } from "node:crypto";
import { createHasher, type Hasher } from "../core/hasher.ts";
import { aes256ctr } from "../core/host.ts";
import type { Core } from "../core/index.ts";
import { IV_SIZE, type KeyMaterial } from "../crypto/material.ts";
import { type KeyModeInfo, keyMode } from "../crypto/modes.ts";
import { idHasherKind } from "./ids.ts";

/** Bytes of a MAC and of an id. */
export const DIGEST_SIZE = 32;

export class BatchKeys {
  readonly info: KeyModeInfo;
  /** False where the key of an encrypted repository is not known. */
  readonly usable: boolean;
  /** None where nothing is encrypted. */
  readonly mac: Hasher | undefined;
  readonly id: Hasher;
  readonly #core: Core;
  readonly #cipherKey: KeyObject | undefined;
  readonly #iv = new Uint8Array(16);

  constructor(material: KeyMaterial, core: Core) {
    this.#core = core;
    this.info = keyMode(material.mode);
    this.usable = !material.withoutKey;
    const { encrypted, idHash } = this.info;
    if (encrypted) {
      this.#cipherKey = createSecretKey(material.encKey);
      const type = idHash === "blake2b" ? "blake2b" : "hmac-sha256";
      this.mac = createHasher(core, { type, key: material.encHmacKey });
    }
    this.id = createHasher(core, idHasherKind(material));
  }

  /** Plaintext of neighbours whose counters follow each other, each ciphertext at a block's start. For who has a MAC.
   *  @param counter 8 bytes, of the first of them
   *  @returns bytes of its own, to be released when they were used */
  decrypt(counter: Uint8Array, ciphertexts: Uint8Array): Uint8Array {
    this.#iv.set(counter, this.#iv.length - IV_SIZE);
    return aes256ctr(this.#cipherKey!, this.#iv, ciphertexts);
  }

  /** Writes message `i` into a table that the hashers take. @param table address of pairs of 32-bit words */
  entry(table: number, i: number, pointer: number, length: number): void {
    const { u32 } = this.#core;
    u32[table / 4 + 2 * i] = pointer;
    u32[table / 4 + 2 * i + 1] = length;
  }
}

/** Whether the digest at an address of `u8` is the one at another place, looking at all of its bytes.
 *  @param expected address in `from` */
export function sameDigest(u8: Uint8Array, digest: number, from: Uint8Array, expected: number): boolean {
  let difference = 0;
  for (let k = 0; k < DIGEST_SIZE; k++) difference |= u8[digest + k]! ^ from[expected + k]!;
  return difference === 0;
}
