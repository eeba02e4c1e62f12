// Nanoseconds since 1970 as two 32-bit halves, exact and without bigint: what files are compared by, once for each.

/** Writes the upper and lower half to `out` at `at` and `at + 1`. @returns false for times before 1970, which have none */
export function splitNanoseconds(sec: number, nsec: number, out: Uint32Array, at: number): boolean {
  if (sec < 0) return false;
  // (Remainders by multiplying and subtracting: exact below 2^53, where % of floating point numbers is a call.)
  const days = Math.floor(sec / 65536);
  const high = days * 1e9;
  const upper = Math.floor(high / 65536);
  const low = (high - upper * 65536) * 65536 + (sec - days * 65536) * 1e9 + nsec;
  const carry = Math.floor(low / 4294967296);
  out[at] = upper + carry;
  out[at + 1] = low - carry * 4294967296;
  return true;
}
