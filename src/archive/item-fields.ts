// The names of an item's fields, as numbers, and found by their bytes.

import { ITEM_KEYS } from "./constants.ts";

/** Those that the manifest names, and two more that items may have. */
const fieldNames = [...ITEM_KEYS, "deleted", "nlink"] as const;

// Key bytes to name without making a string: a hash of length, first, third and last byte picks a candidate,
// which is then compared in full.
const keyTable: { name: string; code: number; bytes: Uint8Array }[][] = Array.from({ length: 256 }, () => []);
const keyHash = (buf: Uint8Array, p: number, n: number): number =>
  (n * 7 + buf[p]! * 3 + (buf[p + 2] ?? 0) * 11 + buf[p + n - 1]! * 5) & 255;
for (const [code, name] of fieldNames.entries()) {
  const bytes = Uint8Array.from(name, (c) => c.charCodeAt(0));
  keyTable[keyHash(bytes, 0, bytes.length)]!.push({ name, code, bytes });
}

/** Number of each field where ItemDecoder.locate() tells positions. */
export const FIELD = Object.fromEntries(fieldNames.map((name, code) => [name, code])) as Record<
  (typeof fieldNames)[number],
  number
>;
/** How many there are. */
export const FIELDS = fieldNames.length;

/** The field whose name stands at a place in a buffer; undefined for a key this program does not know. */
export function knownKey(
  buf: Uint8Array,
  p: number,
  n: number,
): (typeof keyTable)[number][number] | undefined {
  if (n === 0) return undefined;
  candidates: for (const key of keyTable[keyHash(buf, p, n)]!) {
    const { bytes } = key;
    if (bytes.length !== n) continue;
    for (let i = 0; i < n; i++) if (bytes[i] !== buf[p + i]) continue candidates;
    return key;
  }
  return undefined;
}
