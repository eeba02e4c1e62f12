// Small helpers over byte arrays, and the conversion between bytes and strings that Borg uses for everything
// Unix gives as bytes: UTF-8, with undecodable bytes as lone surrogates U+DC80..U+DCFF (surrogateescape).
import { timingSafeEqual } from "node:crypto";
import { IntegrityError } from "../errors.ts";

export { fsDecode, fsDecodeRange, fsEncode } from "../runtime/pathbytes.ts";

const HEX = Array.from({ length: 256 }, (_, i) => i.toString(16).padStart(2, "0"));

/** Lower-case hex, as Borg writes ids. */
export function toHex(bytes: Uint8Array): string {
  let text = "";
  for (let i = 0; i < bytes.length; i++) text += HEX[bytes[i]!];
  return text;
}

/** Bytes of a hex string, either case. @throws IntegrityError if it is not one */
export function fromHex(text: string): Uint8Array {
  if (text.length % 2 !== 0 || !/^[0-9a-fA-F]*$/.test(text)) {
    throw new IntegrityError(`not a hexadecimal string: ${JSON.stringify(text.slice(0, 80))}`);
  }
  const bytes = new Uint8Array(text.length / 2);
  for (let i = 0; i < bytes.length; i++) bytes[i] = Number.parseInt(text.slice(2 * i, 2 * i + 2), 16);
  return bytes;
}

export function concatBytes(...parts: Uint8Array[]): Uint8Array {
  let size = 0;
  for (const part of parts) size += part.length;
  const whole = new Uint8Array(size);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** Plain comparison; for anything secret use equalSecret. */
export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

/** Comparison in time that depends on the lengths only: for MACs and ids. */
export function equalSecret(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && timingSafeEqual(a, b);
}
