// XXH64, the checksum Borg keeps of its index, hints and cache files. One-shot and streaming.

const P1: u64 = 0x9e3779b185ebca87;
const P2: u64 = 0xc2b2ae3d27d4eb4f;
const P3: u64 = 0x165667b19e3779f9;
const P4: u64 = 0x85ebca77c2b2ae63;
const P5: u64 = 0x27d4eb2f165667c5;

// Streaming state: four accumulators, total length, seed, bytes buffered (u32), pad, 32 bytes of buffer.
const TOTAL: usize = 32;
const SEED: usize = 40;
const FILL: usize = 48;
const BUF: usize = 56;
const ONE = memory.data(88, 16);

// @ts-ignore: decorator
@inline
function round(acc: u64, x: u64): u64 {
  return rotl<u64>(acc + x * P2, 31) * P1;
}

// @ts-ignore: decorator
@inline
function merge(h: u64, acc: u64): u64 {
  return (h ^ round(0, acc)) * P1 + P4;
}

// Consumes whole 32-byte stripes; n is a multiple of 32.
function stripes(s: usize, p: usize, n: usize): void {
  let a = load<u64>(s), b = load<u64>(s, 8), c = load<u64>(s, 16), d = load<u64>(s, 24);
  const end = p + n;
  while (p < end) {
    a = round(a, load<u64>(p));
    b = round(b, load<u64>(p, 8));
    c = round(c, load<u64>(p, 16));
    d = round(d, load<u64>(p, 24));
    p += 32;
  }
  store<u64>(s, a);
  store<u64>(s, b, 8);
  store<u64>(s, c, 16);
  store<u64>(s, d, 24);
}

/** Begins a streaming hash in the 88 bytes at s. */
export function xxh64Init(s: usize, seed: u64): void {
  store<u64>(s, seed + P1 + P2);
  store<u64>(s, seed + P2, 8);
  store<u64>(s, seed, 16);
  store<u64>(s, seed - P1, 24);
  store<u64>(s, 0, TOTAL);
  store<u64>(s, seed, SEED);
  store<u32>(s, 0, FILL);
}

/** Adds n bytes at p to the streaming hash at s. */
export function xxh64Update(s: usize, p: usize, n: usize): void {
  store<u64>(s, load<u64>(s, TOTAL) + n, TOTAL);
  const fill = <usize>load<u32>(s, FILL);
  if (fill + n < 32) {
    memory.copy(s + BUF + fill, p, n);
    store<u32>(s, <u32>(fill + n), FILL);
    return;
  }
  if (fill) {
    const take: usize = 32 - fill;
    memory.copy(s + BUF + fill, p, take);
    stripes(s, s + BUF, 32);
    p += take;
    n -= take;
  }
  const whole = n & ~31;
  if (whole) stripes(s, p, whole);
  n -= whole;
  memory.copy(s + BUF, p + whole, n);
  store<u32>(s, <u32>n, FILL);
}

/** The hash of everything added so far; the state stays usable. */
export function xxh64Digest(s: usize): u64 {
  const total = load<u64>(s, TOTAL);
  let h: u64;
  if (total >= 32) {
    const a = load<u64>(s), b = load<u64>(s, 8), c = load<u64>(s, 16), d = load<u64>(s, 24);
    h = rotl<u64>(a, 1) + rotl<u64>(b, 7) + rotl<u64>(c, 12) + rotl<u64>(d, 18);
    h = merge(merge(merge(merge(h, a), b), c), d);
  } else {
    h = load<u64>(s, SEED) + P5;
  }
  h += total;
  let p = s + BUF;
  const end = p + <usize>load<u32>(s, FILL);
  for (; p + 8 <= end; p += 8) h = rotl<u64>(h ^ round(0, load<u64>(p)), 27) * P1 + P4;
  if (p + 4 <= end) {
    h = rotl<u64>(h ^ (<u64>load<u32>(p) * P1), 23) * P2 + P3;
    p += 4;
  }
  for (; p < end; p++) h = rotl<u64>(h ^ (<u64>load<u8>(p) * P5), 11) * P1;
  h = (h ^ (h >> 33)) * P2;
  h = (h ^ (h >> 29)) * P3;
  return h ^ (h >> 32);
}

/** XXH64 of n bytes at p. */
export function xxh64(p: usize, n: usize, seed: u64): u64 {
  xxh64Init(ONE, seed);
  xxh64Update(ONE, p, n);
  return xxh64Digest(ONE);
}
