// Nanoseconds since 1970 as two 32-bit halves, exact and without bigint: what files are compared by, once for each.

/** Writes the upper and lower half to `out` at `at` and `at + 1`. @returns false for times before 1970, which have none */
export function splitNanoseconds(sec: number, nsec: number, out: Uint32Array, at: number): boolean {
  if (sec < 0) return false;
  const high = Math.floor(sec / 65536) * 1e9;
  const low = (high % 65536) * 65536 + (sec % 65536) * 1e9 + nsec;
  out[at] = Math.floor(high / 65536) + Math.floor(low / 4294967296);
  out[at + 1] = low % 4294967296;
  return true;
}
