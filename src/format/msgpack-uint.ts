// Unsigned numbers of 64 bits, as two halves, in msgpack.

/** Writes the shortest form, as Python does. @param lo its lower 32 bits count @returns the position behind it */
export function writeUint(out: Uint8Array, at: number, hi: number, lo: number): number {
  if (hi > 0) {
    out[at] = 0xcf;
    putWord(out, at + 1, hi);
    putWord(out, at + 5, lo);
    return at + 9;
  }
  const n = lo >>> 0;
  if (n < 0x80) {
    out[at] = n;
    return at + 1;
  }
  if (n < 0x100) {
    out[at] = 0xcc;
    out[at + 1] = n;
    return at + 2;
  }
  if (n < 0x10000) {
    out[at] = 0xcd;
    out[at + 1] = n >>> 8;
    out[at + 2] = n;
    return at + 3;
  }
  out[at] = 0xce;
  putWord(out, at + 1, n);
  return at + 5;
}

function putWord(out: Uint8Array, at: number, n: number): void {
  out[at] = n >>> 24;
  out[at + 1] = n >>> 16;
  out[at + 2] = n >>> 8;
  out[at + 3] = n;
}
