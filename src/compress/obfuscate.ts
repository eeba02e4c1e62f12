// "obfuscate": hides the size of a compressed chunk by zeros behind it. Header 04 00, the size of the inner blob
// (32 bits, big-endian), the inner blob with its own header, then the zeros.
import { randomBytes } from "node:crypto";
import { DecompressionError } from "../errors.ts";
import type { Decode, Encoder } from "./codec.ts";

/** Borg's MAX_DATA_SIZE: what a repository object may hold; padding stays 1024 bytes below. */
export const MAX_DATA_SIZE = 20_971_479;
/** A specification can nest twice at most; a hostile blob could nest until the stack is full. */
const MAX_NESTING = 4;

/** Bytes to add to a blob of a size, for a level: 1–6 relative and random, 110–123 random up to 2^(level−100), 250 Padmé. */
export function paddingSize(level: number, size: number, random: () => number = uniform): number {
  let added: number;
  if (level <= 6) {
    // The factor is 0.01–0.1 (level 1) in nine of ten cases, ten times that in nine of a hundred, and so on.
    added = Math.trunc((size * (0.001 * 10 ** level)) / Math.max(0.0001, random()));
  } else if (level === 250) added = padme(size);
  else added = Math.trunc(2 ** (level - 100) * random());
  return Math.max(0, Math.min(MAX_DATA_SIZE - 1024 - size, added));
}

/** Padmé: rounds up so that only the leading bits of a size remain, at most 12 % more (Nikitin et al., PURBs, 2019). */
function padme(size: number): number {
  if (size < 2) return 0;
  const exponent = Math.floor(Math.log2(size));
  const kept = Math.floor(Math.log2(exponent)) + 1;
  const unit = 2 ** Math.max(0, exponent - kept);
  return Math.ceil(size / unit) * unit - size;
}

/** 0 ≤ x < 1 with 53 random bits: sizes are what an observer sees, so the generator must not be predictable. */
function uniform(): number {
  const bytes = randomBytes(8);
  return Number(bytes.readBigUInt64LE() >> 11n) / 2 ** 53;
}

export function obfuscateEncoder(level: number, inner: Encoder): Encoder {
  return {
    name: "obfuscate",
    compress(data) {
      const blob = inner.compress(data);
      const padded = new Uint8Array(6 + blob.length + paddingSize(level, blob.length));
      padded[0] = 4;
      new DataView(padded.buffer).setUint32(2, blob.length);
      padded.set(blob, 6);
      return padded;
    },
    decide: () => "obfuscate",
  };
}

/** The inner blob. @throws DecompressionError */
export function unwrap(blob: Uint8Array): Uint8Array {
  if (blob.length < 6) throw new DecompressionError("obfuscate: the object is too short");
  const size = new DataView(blob.buffer, blob.byteOffset, blob.byteLength).getUint32(2);
  if (size > blob.length - 6) throw new DecompressionError("obfuscate: the size is larger than the object");
  return blob.subarray(6, 6 + size);
}

export function decodeObfuscated(blob: Uint8Array, maxSize: number, decode: Decode): Uint8Array {
  let inner = blob;
  for (let depth = 0; inner[0] === 4 && inner[1] === 0; depth++) {
    if (depth === MAX_NESTING) throw new DecompressionError("obfuscate: nested too deeply");
    inner = unwrap(inner);
  }
  return decode(inner, maxSize);
}
