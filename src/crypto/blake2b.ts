// BLAKE2b-256 as Borg uses it with a key: no keyed mode, but the hash of key and data one after the other
// (crypto/low_level.pyx, blake2b_256). The host has only the 512-bit digest, so where no WebAssembly core is at
// hand the audited pure JavaScript of @noble/hashes does it.

import { blake2b } from "@noble/hashes/blake2.js";

/** 32 bytes: BLAKE2b-256 of key followed by data. */
export function blake2b256(key: Uint8Array, data: Uint8Array): Uint8Array {
  return blake2b.create({ dkLen: 32 }).update(key).update(data).digest();
}
