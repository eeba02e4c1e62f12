// SHA-256 and HMAC-SHA256: Borg's chunk ids and MACs. One message at a time, and four independent messages in the
// four 32-bit lanes of a vector, where a lane takes the next message as soon as its own has ended. Chunks are
// independent, so the second form has no serial dependency to wait for; it is what the pipeline uses.

const K = memory.data<u32>([
  0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
  0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
  0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
  0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
  0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
  0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
  0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
  0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
], 16);
const IV = memory.data<u32>([
  0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
], 16);

// --- one message -------------------------------------------------------------------------------------------

const STATE = memory.data(32, 16);
const TAIL = memory.data(128, 16);

// @ts-ignore: decorator
@inline
function sum0(x: u32): u32 {
  return rotr<u32>(x, 2) ^ rotr<u32>(x, 13) ^ rotr<u32>(x, 22);
}

// @ts-ignore: decorator
@inline
function sum1(x: u32): u32 {
  return rotr<u32>(x, 6) ^ rotr<u32>(x, 11) ^ rotr<u32>(x, 25);
}

// @ts-ignore: decorator
@inline
function sigma0(x: u32): u32 {
  return rotr<u32>(x, 7) ^ rotr<u32>(x, 18) ^ (x >> 3);
}

// @ts-ignore: decorator
@inline
function sigma1(x: u32): u32 {
  return rotr<u32>(x, 17) ^ rotr<u32>(x, 19) ^ (x >> 10);
}

// @ts-ignore: decorator
@inline
function choose(e: u32, f: u32, g: u32): u32 {
  return g ^ (e & (f ^ g));
}

// @ts-ignore: decorator
@inline
function majority(a: u32, b: u32, c: u32): u32 {
  return (a & b) | (c & (a | b));
}

// @ts-ignore: decorator
@inline
function word(p: usize): u32 {
  return bswap<u32>(load<u32>(p));
}

// Compresses `blocks` blocks of 64 bytes at p into the eight words at s.
function compress1(s: usize, p: usize, blocks: usize): void {
  let a = load<u32>(s, 0), b = load<u32>(s, 4), c = load<u32>(s, 8), d = load<u32>(s, 12), e = load<u32>(s, 16), f = load<u32>(s, 20), g = load<u32>(s, 24), h = load<u32>(s, 28);
  for (; blocks; blocks--, p += 64) {
    let w0 = word(p + 0), w1 = word(p + 4), w2 = word(p + 8), w3 = word(p + 12), w4 = word(p + 16), w5 = word(p + 20), w6 = word(p + 24), w7 = word(p + 28), w8 = word(p + 32), w9 = word(p + 36), w10 = word(p + 40), w11 = word(p + 44), w12 = word(p + 48), w13 = word(p + 52), w14 = word(p + 56), w15 = word(p + 60);
    for (let t: usize = 0; ; t += 64) {
      h += sum1(e) + choose(e, f, g) + load<u32>(K + t, 0) + w0; d += h; h += sum0(a) + majority(a, b, c);
      g += sum1(d) + choose(d, e, f) + load<u32>(K + t, 4) + w1; c += g; g += sum0(h) + majority(h, a, b);
      f += sum1(c) + choose(c, d, e) + load<u32>(K + t, 8) + w2; b += f; f += sum0(g) + majority(g, h, a);
      e += sum1(b) + choose(b, c, d) + load<u32>(K + t, 12) + w3; a += e; e += sum0(f) + majority(f, g, h);
      d += sum1(a) + choose(a, b, c) + load<u32>(K + t, 16) + w4; h += d; d += sum0(e) + majority(e, f, g);
      c += sum1(h) + choose(h, a, b) + load<u32>(K + t, 20) + w5; g += c; c += sum0(d) + majority(d, e, f);
      b += sum1(g) + choose(g, h, a) + load<u32>(K + t, 24) + w6; f += b; b += sum0(c) + majority(c, d, e);
      a += sum1(f) + choose(f, g, h) + load<u32>(K + t, 28) + w7; e += a; a += sum0(b) + majority(b, c, d);
      h += sum1(e) + choose(e, f, g) + load<u32>(K + t, 32) + w8; d += h; h += sum0(a) + majority(a, b, c);
      g += sum1(d) + choose(d, e, f) + load<u32>(K + t, 36) + w9; c += g; g += sum0(h) + majority(h, a, b);
      f += sum1(c) + choose(c, d, e) + load<u32>(K + t, 40) + w10; b += f; f += sum0(g) + majority(g, h, a);
      e += sum1(b) + choose(b, c, d) + load<u32>(K + t, 44) + w11; a += e; e += sum0(f) + majority(f, g, h);
      d += sum1(a) + choose(a, b, c) + load<u32>(K + t, 48) + w12; h += d; d += sum0(e) + majority(e, f, g);
      c += sum1(h) + choose(h, a, b) + load<u32>(K + t, 52) + w13; g += c; c += sum0(d) + majority(d, e, f);
      b += sum1(g) + choose(g, h, a) + load<u32>(K + t, 56) + w14; f += b; b += sum0(c) + majority(c, d, e);
      a += sum1(f) + choose(f, g, h) + load<u32>(K + t, 60) + w15; e += a; a += sum0(b) + majority(b, c, d);
      if (t == 192) break;
      w0 += sigma0(w1) + w9 + sigma1(w14);
      w1 += sigma0(w2) + w10 + sigma1(w15);
      w2 += sigma0(w3) + w11 + sigma1(w0);
      w3 += sigma0(w4) + w12 + sigma1(w1);
      w4 += sigma0(w5) + w13 + sigma1(w2);
      w5 += sigma0(w6) + w14 + sigma1(w3);
      w6 += sigma0(w7) + w15 + sigma1(w4);
      w7 += sigma0(w8) + w0 + sigma1(w5);
      w8 += sigma0(w9) + w1 + sigma1(w6);
      w9 += sigma0(w10) + w2 + sigma1(w7);
      w10 += sigma0(w11) + w3 + sigma1(w8);
      w11 += sigma0(w12) + w4 + sigma1(w9);
      w12 += sigma0(w13) + w5 + sigma1(w10);
      w13 += sigma0(w14) + w6 + sigma1(w11);
      w14 += sigma0(w15) + w7 + sigma1(w12);
      w15 += sigma0(w0) + w8 + sigma1(w13);
    }
    store<u32>(s, (a += load<u32>(s, 0)), 0);
    store<u32>(s, (b += load<u32>(s, 4)), 4);
    store<u32>(s, (c += load<u32>(s, 8)), 8);
    store<u32>(s, (d += load<u32>(s, 12)), 12);
    store<u32>(s, (e += load<u32>(s, 16)), 16);
    store<u32>(s, (f += load<u32>(s, 20)), 20);
    store<u32>(s, (g += load<u32>(s, 24)), 24);
    store<u32>(s, (h += load<u32>(s, 28)), 28);
  }
}

// Writes the eight words at s as a digest.
// @ts-ignore: decorator
@inline
function writeDigest(s: usize, out: usize): void {
  for (let i: usize = 0; i < 32; i += 4) store<u32>(out + i, bswap<u32>(load<u32>(s + i)));
}

// Fills `tail` with the last n % 64 bytes of a message, the padding and the length; returns its blocks (1 or 2).
function pad(tail: usize, p: usize, n: usize, before: u64): usize {
  const rest = n & 63;
  memory.copy(tail, p + (n - rest), rest);
  const size: usize = rest < 56 ? 64 : 128;
  memory.fill(tail + rest, 0, size - rest);
  store<u8>(tail + rest, 0x80);
  store<u64>(tail + size - 8, bswap<u64>((before + <u64>n) << 3));
  return size >> 6;
}

function finish1(s: usize, p: usize, n: usize, before: u64): void {
  if (n >= 64) compress1(s, p, n >> 6);
  compress1(s, TAIL, pad(TAIL, p, n, before));
}

/** SHA-256 of n bytes at p, 32 bytes written at out. */
export function sha256(p: usize, n: usize, out: usize): void {
  memory.copy(STATE, IV, 32);
  finish1(STATE, p, n, 0);
  writeDigest(STATE, out);
}

// --- four messages -----------------------------------------------------------------------------------------

// State words of the four lanes (word i of lane k at 16 * i + 4 * k), and their tails.
const LANES = memory.data(128, 16);
const TAILS = memory.data(512, 16);

// @ts-ignore: decorator
@inline
function vrotr(x: v128, n: i32): v128 {
  return v128.or(i32x4.shr_u(x, n), i32x4.shl(x, 32 - n));
}

// @ts-ignore: decorator
@inline
function vsum0(x: v128): v128 {
  return v128.xor(v128.xor(vrotr(x, 2), vrotr(x, 13)), vrotr(x, 22));
}

// @ts-ignore: decorator
@inline
function vsum1(x: v128): v128 {
  return v128.xor(v128.xor(vrotr(x, 6), vrotr(x, 11)), vrotr(x, 25));
}

// @ts-ignore: decorator
@inline
function vsigma0(x: v128): v128 {
  return v128.xor(v128.xor(vrotr(x, 7), vrotr(x, 18)), i32x4.shr_u(x, 3));
}

// @ts-ignore: decorator
@inline
function vsigma1(x: v128): v128 {
  return v128.xor(v128.xor(vrotr(x, 17), vrotr(x, 19)), i32x4.shr_u(x, 10));
}

// h + sum1(e) + choose(e, f, g) + k + w
// @ts-ignore: decorator
@inline
function vfirst(e: v128, f: v128, g: v128, h: v128, k: usize, w: v128): v128 {
  return i32x4.add(
    i32x4.add(i32x4.add(h, w), v128.load_splat<u32>(k)),
    i32x4.add(vsum1(e), v128.bitselect(f, g, e)),
  );
}

// sum0(a) + majority(a, b, c)
// @ts-ignore: decorator
@inline
function vsecond(a: v128, b: v128, c: v128): v128 {
  return i32x4.add(vsum0(a), v128.xor(b, v128.and(v128.xor(a, b), v128.xor(b, c))));
}

// @ts-ignore: decorator
@inline
function vnext(w: v128, w1: v128, w9: v128, w14: v128): v128 {
  return i32x4.add(i32x4.add(w, vsigma0(w1)), i32x4.add(w9, vsigma1(w14)));
}

// @ts-ignore: decorator
@inline
function swap(p: usize): v128 {
  return i8x16.swizzle(v128.load(p), i8x16(3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8, 15, 14, 13, 12));
}

// @ts-ignore: decorator
@inline
function low(a: v128, b: v128): v128 {
  return v128.shuffle<i32>(a, b, 0, 4, 1, 5);
}

// @ts-ignore: decorator
@inline
function high(a: v128, b: v128): v128 {
  return v128.shuffle<i32>(a, b, 2, 6, 3, 7);
}

// @ts-ignore: decorator
@inline
function low64(a: v128, b: v128): v128 {
  return v128.shuffle<i64>(a, b, 0, 2);
}

// @ts-ignore: decorator
@inline
function high64(a: v128, b: v128): v128 {
  return v128.shuffle<i64>(a, b, 1, 3);
}

// The message schedule of the running block. It is kept in memory and each word is replaced right after its round:
// as local variables, or all sixteen at once, the same work takes 20 % longer on V8 and 2.5 times as long on Bun.
const W = memory.data(256, 16);

// Compresses `blocks` blocks of each lane; `s` holds the lanes' interleaved state.
function compress4(s: usize, p0: usize, p1: usize, p2: usize, p3: usize, blocks: usize): void {
  let a = v128.load(s, 0), b = v128.load(s, 16), c = v128.load(s, 32), d = v128.load(s, 48), e = v128.load(s, 64), f = v128.load(s, 80), g = v128.load(s, 96), h = v128.load(s, 112);
  let i0: v128, i1: v128, i2: v128, i3: v128, x0: v128, x1: v128, x2: v128, x3: v128;
  for (; blocks; blocks--) {
    i0 = swap(p0 + 0); i1 = swap(p1 + 0); i2 = swap(p2 + 0); i3 = swap(p3 + 0);
    x0 = low(i0, i1); x1 = low(i2, i3); x2 = high(i0, i1); x3 = high(i2, i3);
    v128.store(W, low64(x0, x1), 0); v128.store(W, high64(x0, x1), 16); v128.store(W, low64(x2, x3), 32); v128.store(W, high64(x2, x3), 48);
    i0 = swap(p0 + 16); i1 = swap(p1 + 16); i2 = swap(p2 + 16); i3 = swap(p3 + 16);
    x0 = low(i0, i1); x1 = low(i2, i3); x2 = high(i0, i1); x3 = high(i2, i3);
    v128.store(W, low64(x0, x1), 64); v128.store(W, high64(x0, x1), 80); v128.store(W, low64(x2, x3), 96); v128.store(W, high64(x2, x3), 112);
    i0 = swap(p0 + 32); i1 = swap(p1 + 32); i2 = swap(p2 + 32); i3 = swap(p3 + 32);
    x0 = low(i0, i1); x1 = low(i2, i3); x2 = high(i0, i1); x3 = high(i2, i3);
    v128.store(W, low64(x0, x1), 128); v128.store(W, high64(x0, x1), 144); v128.store(W, low64(x2, x3), 160); v128.store(W, high64(x2, x3), 176);
    i0 = swap(p0 + 48); i1 = swap(p1 + 48); i2 = swap(p2 + 48); i3 = swap(p3 + 48);
    x0 = low(i0, i1); x1 = low(i2, i3); x2 = high(i0, i1); x3 = high(i2, i3);
    v128.store(W, low64(x0, x1), 192); v128.store(W, high64(x0, x1), 208); v128.store(W, low64(x2, x3), 224); v128.store(W, high64(x2, x3), 240);
    let t = K;
    for (; t < K + 192; t += 64) {
      h = vfirst(e, f, g, h, t + 0, v128.load(W, 0)); d = i32x4.add(d, h); h = i32x4.add(h, vsecond(a, b, c));
      v128.store(W, vnext(v128.load(W, 0), v128.load(W, 16), v128.load(W, 144), v128.load(W, 224)), 0);
      g = vfirst(d, e, f, g, t + 4, v128.load(W, 16)); c = i32x4.add(c, g); g = i32x4.add(g, vsecond(h, a, b));
      v128.store(W, vnext(v128.load(W, 16), v128.load(W, 32), v128.load(W, 160), v128.load(W, 240)), 16);
      f = vfirst(c, d, e, f, t + 8, v128.load(W, 32)); b = i32x4.add(b, f); f = i32x4.add(f, vsecond(g, h, a));
      v128.store(W, vnext(v128.load(W, 32), v128.load(W, 48), v128.load(W, 176), v128.load(W, 0)), 32);
      e = vfirst(b, c, d, e, t + 12, v128.load(W, 48)); a = i32x4.add(a, e); e = i32x4.add(e, vsecond(f, g, h));
      v128.store(W, vnext(v128.load(W, 48), v128.load(W, 64), v128.load(W, 192), v128.load(W, 16)), 48);
      d = vfirst(a, b, c, d, t + 16, v128.load(W, 64)); h = i32x4.add(h, d); d = i32x4.add(d, vsecond(e, f, g));
      v128.store(W, vnext(v128.load(W, 64), v128.load(W, 80), v128.load(W, 208), v128.load(W, 32)), 64);
      c = vfirst(h, a, b, c, t + 20, v128.load(W, 80)); g = i32x4.add(g, c); c = i32x4.add(c, vsecond(d, e, f));
      v128.store(W, vnext(v128.load(W, 80), v128.load(W, 96), v128.load(W, 224), v128.load(W, 48)), 80);
      b = vfirst(g, h, a, b, t + 24, v128.load(W, 96)); f = i32x4.add(f, b); b = i32x4.add(b, vsecond(c, d, e));
      v128.store(W, vnext(v128.load(W, 96), v128.load(W, 112), v128.load(W, 240), v128.load(W, 64)), 96);
      a = vfirst(f, g, h, a, t + 28, v128.load(W, 112)); e = i32x4.add(e, a); a = i32x4.add(a, vsecond(b, c, d));
      v128.store(W, vnext(v128.load(W, 112), v128.load(W, 128), v128.load(W, 0), v128.load(W, 80)), 112);
      h = vfirst(e, f, g, h, t + 32, v128.load(W, 128)); d = i32x4.add(d, h); h = i32x4.add(h, vsecond(a, b, c));
      v128.store(W, vnext(v128.load(W, 128), v128.load(W, 144), v128.load(W, 16), v128.load(W, 96)), 128);
      g = vfirst(d, e, f, g, t + 36, v128.load(W, 144)); c = i32x4.add(c, g); g = i32x4.add(g, vsecond(h, a, b));
      v128.store(W, vnext(v128.load(W, 144), v128.load(W, 160), v128.load(W, 32), v128.load(W, 112)), 144);
      f = vfirst(c, d, e, f, t + 40, v128.load(W, 160)); b = i32x4.add(b, f); f = i32x4.add(f, vsecond(g, h, a));
      v128.store(W, vnext(v128.load(W, 160), v128.load(W, 176), v128.load(W, 48), v128.load(W, 128)), 160);
      e = vfirst(b, c, d, e, t + 44, v128.load(W, 176)); a = i32x4.add(a, e); e = i32x4.add(e, vsecond(f, g, h));
      v128.store(W, vnext(v128.load(W, 176), v128.load(W, 192), v128.load(W, 64), v128.load(W, 144)), 176);
      d = vfirst(a, b, c, d, t + 48, v128.load(W, 192)); h = i32x4.add(h, d); d = i32x4.add(d, vsecond(e, f, g));
      v128.store(W, vnext(v128.load(W, 192), v128.load(W, 208), v128.load(W, 80), v128.load(W, 160)), 192);
      c = vfirst(h, a, b, c, t + 52, v128.load(W, 208)); g = i32x4.add(g, c); c = i32x4.add(c, vsecond(d, e, f));
      v128.store(W, vnext(v128.load(W, 208), v128.load(W, 224), v128.load(W, 96), v128.load(W, 176)), 208);
      b = vfirst(g, h, a, b, t + 56, v128.load(W, 224)); f = i32x4.add(f, b); b = i32x4.add(b, vsecond(c, d, e));
      v128.store(W, vnext(v128.load(W, 224), v128.load(W, 240), v128.load(W, 112), v128.load(W, 192)), 224);
      a = vfirst(f, g, h, a, t + 60, v128.load(W, 240)); e = i32x4.add(e, a); a = i32x4.add(a, vsecond(b, c, d));
      v128.store(W, vnext(v128.load(W, 240), v128.load(W, 0), v128.load(W, 128), v128.load(W, 208)), 240);
    }
      h = vfirst(e, f, g, h, t + 0, v128.load(W, 0)); d = i32x4.add(d, h); h = i32x4.add(h, vsecond(a, b, c));
      g = vfirst(d, e, f, g, t + 4, v128.load(W, 16)); c = i32x4.add(c, g); g = i32x4.add(g, vsecond(h, a, b));
      f = vfirst(c, d, e, f, t + 8, v128.load(W, 32)); b = i32x4.add(b, f); f = i32x4.add(f, vsecond(g, h, a));
      e = vfirst(b, c, d, e, t + 12, v128.load(W, 48)); a = i32x4.add(a, e); e = i32x4.add(e, vsecond(f, g, h));
      d = vfirst(a, b, c, d, t + 16, v128.load(W, 64)); h = i32x4.add(h, d); d = i32x4.add(d, vsecond(e, f, g));
      c = vfirst(h, a, b, c, t + 20, v128.load(W, 80)); g = i32x4.add(g, c); c = i32x4.add(c, vsecond(d, e, f));
      b = vfirst(g, h, a, b, t + 24, v128.load(W, 96)); f = i32x4.add(f, b); b = i32x4.add(b, vsecond(c, d, e));
      a = vfirst(f, g, h, a, t + 28, v128.load(W, 112)); e = i32x4.add(e, a); a = i32x4.add(a, vsecond(b, c, d));
      h = vfirst(e, f, g, h, t + 32, v128.load(W, 128)); d = i32x4.add(d, h); h = i32x4.add(h, vsecond(a, b, c));
      g = vfirst(d, e, f, g, t + 36, v128.load(W, 144)); c = i32x4.add(c, g); g = i32x4.add(g, vsecond(h, a, b));
      f = vfirst(c, d, e, f, t + 40, v128.load(W, 160)); b = i32x4.add(b, f); f = i32x4.add(f, vsecond(g, h, a));
      e = vfirst(b, c, d, e, t + 44, v128.load(W, 176)); a = i32x4.add(a, e); e = i32x4.add(e, vsecond(f, g, h));
      d = vfirst(a, b, c, d, t + 48, v128.load(W, 192)); h = i32x4.add(h, d); d = i32x4.add(d, vsecond(e, f, g));
      c = vfirst(h, a, b, c, t + 52, v128.load(W, 208)); g = i32x4.add(g, c); c = i32x4.add(c, vsecond(d, e, f));
      b = vfirst(g, h, a, b, t + 56, v128.load(W, 224)); f = i32x4.add(f, b); b = i32x4.add(b, vsecond(c, d, e));
      a = vfirst(f, g, h, a, t + 60, v128.load(W, 240)); e = i32x4.add(e, a); a = i32x4.add(a, vsecond(b, c, d));
    v128.store(s, (a = i32x4.add(a, v128.load(s, 0))), 0);
    v128.store(s, (b = i32x4.add(b, v128.load(s, 16))), 16);
    v128.store(s, (c = i32x4.add(c, v128.load(s, 32))), 32);
    v128.store(s, (d = i32x4.add(d, v128.load(s, 48))), 48);
    v128.store(s, (e = i32x4.add(e, v128.load(s, 64))), 64);
    v128.store(s, (f = i32x4.add(f, v128.load(s, 80))), 80);
    v128.store(s, (g = i32x4.add(g, v128.load(s, 96))), 96);
    v128.store(s, (h = i32x4.add(h, v128.load(s, 112))), 112);
    p0 += 64; p1 += 64; p2 += 64; p3 += 64;
  }
}

// What each lane is doing: next address, blocks left, item, phase.
const AT = memory.data(16, 16);
const LEFT = memory.data(16, 16);
const ITEM = memory.data(16, 16);
const PHASE = memory.data(16, 16);
const BODY: u32 = 0; // whole blocks straight from the message
const LAST: u32 = 1; // the padded tail
const OUTER: u32 = 2; // HMAC's second pass over the first digest
const IDLE: u32 = 3;

// The job of the running call: the table of (address, length) pairs, its next item, the state that a message
// starts from and the bytes that state has seen, and HMAC's outer state (0 for a plain hash).
let jobTable: usize = 0;
let jobItems: usize = 0;
let jobNext: usize = 0;
let jobOut: usize = 0;
let jobInit: usize = 0;
let jobBefore: u64 = 0;
let jobOuter: usize = 0;

function setLane(lane: usize, from: usize): void {
  const s = LANES + (lane << 2);
  for (let i: usize = 0; i < 8; i++) store<u32>(s + (i << 4), load<u32>(from + (i << 2)));
}

function getLane(lane: usize, to: usize): void {
  const s = LANES + (lane << 2);
  for (let i: usize = 0; i < 8; i++) store<u32>(to + (i << 2), load<u32>(s + (i << 4)));
}

function assign(lane: usize, at: usize, blocks: usize, phase: u32): void {
  const o = lane << 2;
  store<u32>(AT + o, <u32>at);
  store<u32>(LEFT + o, <u32>blocks);
  store<u32>(PHASE + o, phase);
}

function beginTail(lane: usize): void {
  const item = jobTable + (<usize>load<u32>(ITEM + (lane << 2)) << 3);
  const tail = TAILS + (lane << 7);
  assign(lane, tail, pad(tail, load<u32>(item), load<u32>(item, 4), jobBefore), LAST);
}

// Gives the lane the next message, or nothing.
function begin(lane: usize): void {
  if (jobNext == jobItems) {
    store<u32>(PHASE + (lane << 2), IDLE);
    return;
  }
  const item = jobTable + (jobNext << 3);
  store<u32>(ITEM + (lane << 2), <u32>jobNext);
  jobNext++;
  setLane(lane, jobInit);
  const n = load<u32>(item, 4);
  if (n >= 64) assign(lane, load<u32>(item), n >> 6, BODY);
  else beginTail(lane);
}

// Called when the lane's blocks are done: the next phase of its message, or the next message.
function advance(lane: usize): void {
  const phase = load<u32>(PHASE + (lane << 2));
  if (phase == BODY) {
    beginTail(lane);
    return;
  }
  getLane(lane, STATE);
  if (phase == LAST && jobOuter) {
    const tail = TAILS + (lane << 7);
    beginOuter(tail);
    setLane(lane, jobOuter);
    assign(lane, tail, 1, OUTER);
    return;
  }
  writeDigest(STATE, jobOut + (<usize>load<u32>(ITEM + (lane << 2)) << 5));
  begin(lane);
}

// The only block of HMAC's second pass: the digest in STATE, padding, and the length of 64 + 32 bytes.
function beginOuter(tail: usize): void {
  writeDigest(STATE, tail);
  memory.fill(tail + 32, 0, 32);
  store<u8>(tail, 0x80, 32);
  store<u16>(tail, 0x0003, 62);
}

function hashMany(table: usize, n: usize, out: usize, init: usize, before: u64, outer: usize): void {
  jobTable = table;
  jobItems = n;
  jobNext = 0;
  jobOut = out;
  jobInit = init;
  jobBefore = before;
  jobOuter = outer;
  for (let k: usize = 0; k < 4; k++) begin(k);
  while (true) {
    let active = 0;
    let some: usize = 0;
    let blocks: u32 = 0xffffffff;
    for (let k: usize = 0; k < 4; k++) {
      if (load<u32>(PHASE + (k << 2)) == IDLE) continue;
      active++;
      some = k;
      const left = load<u32>(LEFT + (k << 2));
      if (left < blocks) blocks = left;
    }
    if (!active) return;
    if (active == 1) {
      // The last message alone: one lane by itself is slower than the scalar loop.
      getLane(some, STATE);
      compress1(STATE, load<u32>(AT + (some << 2)), load<u32>(LEFT + (some << 2)));
      setLane(some, STATE);
      advance(some);
      continue;
    }
    // An idle lane follows another one's data; what it computes is not looked at.
    const spare = <usize>load<u32>(AT + (some << 2));
    compress4(
      LANES,
      load<u32>(PHASE) == IDLE ? spare : <usize>load<u32>(AT),
      load<u32>(PHASE, 4) == IDLE ? spare : <usize>load<u32>(AT, 4),
      load<u32>(PHASE, 8) == IDLE ? spare : <usize>load<u32>(AT, 8),
      load<u32>(PHASE, 12) == IDLE ? spare : <usize>load<u32>(AT, 12),
      blocks,
    );
    for (let k: usize = 0; k < 4; k++) {
      const o = k << 2;
      if (load<u32>(PHASE + o) == IDLE) continue;
      store<u32>(AT + o, load<u32>(AT + o) + (blocks << 6));
      const left = load<u32>(LEFT + o) - blocks;
      store<u32>(LEFT + o, left);
      if (!left) advance(k);
    }
  }
}

/** SHA-256 of n messages: `table` holds (address, length) pairs of u32; digest i is written at out + 32 * i. */
export function sha256Many(table: usize, n: usize, out: usize): void {
  hashMany(table, n, out, IV, 0, 0);
}

/** Prepares HMAC-SHA256 in the 64 bytes at `slot`: the states after the inner and the outer padded key. */
export function hmacSha256SetKey(slot: usize, key: usize, n: usize): void {
  const block = TAILS;
  memory.fill(block, 0, 64);
  if (n > 64) sha256(key, n, block);
  else memory.copy(block, key, n);
  for (let i: usize = 0; i < 64; i++) store<u8>(block + i, load<u8>(block + i) ^ 0x36);
  memory.copy(slot, IV, 32);
  compress1(slot, block, 1);
  for (let i: usize = 0; i < 64; i++) store<u8>(block + i, load<u8>(block + i) ^ 0x6a);
  memory.copy(slot + 32, IV, 32);
  compress1(slot + 32, block, 1);
  memory.fill(block, 0, 64);
}

/** HMAC-SHA256 of n messages with the key prepared at `slot`; table and out as for sha256Many. */
export function hmacSha256Many(slot: usize, table: usize, n: usize, out: usize): void {
  hashMany(table, n, out, slot, 64, slot + 32);
}
