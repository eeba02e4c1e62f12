// Writes the compression functions of SHA-256 (sha256-rounds.generated.ts): one message in 32-bit scalars, four in the
// lanes of a vector (in two ways), and five in both. Rounds name their working variables by rotation instead of moving them.

const NAMES = "abcdefgh";
const named = (prefix, r) => [...NAMES].map((_, i) => prefix + NAMES[(i - (r % 8) + 8) % 8]);

// Round r of a group of sixteen; `w` gives word i of the schedule, which is replaced right after its round if `next`.
function vectorRound(r, next) {
  const [a, b, c, d, e, f, g, h] = named("v", r);
  const w = (i) => `v128.load(W, ${16 * (i & 15)})`;
  return (
    `      ${h} = vfirst(${e}, ${f}, ${g}, ${h}, v128.load_splat<u32>(k, ${4 * r}), ${w(r)}); ${d} = i32x4.add(${d}, ${h}); ${h} = i32x4.add(${h}, vsecond(${a}, ${b}, ${c}));\n` +
    (next ? `      v128.store(W, vnext(${w(r)}, ${w(r + 1)}, ${w(r + 9)}, ${w(r + 14)}), ${16 * r});\n` : "")
  );
}

// The same with what the next round needs of the schedule kept in variables: word r and r + 1 in y0 and y1, and the last
// two that were made in z0 and z1. Two loads a round fewer, and none waits for the store just before it.
function carryingRound(r, next) {
  const [a, b, c, d, e, f, g, h] = named("v", r);
  const w = (i) => `v128.load(W, ${16 * (i & 15)})`;
  const z = `z${r & 1}`;
  return (
    (next && r > 0 ? "" : `      y0 = ${w(r)};\n`) +
    `      ${h} = vfirst(${e}, ${f}, ${g}, ${h}, v128.load_splat<u32>(k, ${4 * r}), y0); ${d} = i32x4.add(${d}, ${h}); ${h} = i32x4.add(${h}, vsecond(${a}, ${b}, ${c}));\n` +
    (next
      ? `      y1 = ${w(r + 1)}; ${z} = vnext(y0, y1, ${w(r + 9)}, ${z}); v128.store(W, ${z}, ${16 * r}); y0 = y1;\n`
      : "")
  );
}

function scalarRound(prefix, r, w, next) {
  const [a, b, c, d, e, f, g, h] = named(prefix, r);
  return (
    `      ${h} += sum1(${e}) + choose(${e}, ${f}, ${g}) + load<u32>(k, ${4 * r}) + ${w(r)}; ${d} += ${h}; ${h} += sum0(${a}) + majority(${a}, ${b}, ${c});\n` +
    (next ? `      ${next}\n` : "")
  );
}

// The fifth message's schedule lies in memory like the vector's.
const word = (i) => `load<u32>(V, ${4 * (i & 15)})`;
const fifthRound = (r, more) =>
  scalarRound("s", r, word, more && `store<u32>(V, ${word(r)} + sigma0(${word(r + 1)}) + ${word(r + 9)} + sigma1(${word(r + 14)}), ${4 * r});`);

const times = (n, make) => Array.from({ length: n }, (_, i) => make(i)).join("");

// All 64 rounds: three groups that prepare the next one's words, and a last one.
const rounds = (round) =>
  `    let k = K;\n    for (; k < K + 192; k += 64) {\n${times(16, (r) => round(r, true))}    }\n${times(16, (r) => round(r, false))}`;

const transposed = times(4, (q) => {
  const o = 16 * q;
  return (
    `    i0 = swap(p0 + ${o}); i1 = swap(p1 + ${o}); i2 = swap(p2 + ${o}); i3 = swap(p3 + ${o});\n` +
    `    x0 = low(i0, i1); x1 = low(i2, i3); x2 = high(i0, i1); x3 = high(i2, i3);\n` +
    `    v128.store(W, low64(x0, x1), ${64 * q}); v128.store(W, high64(x0, x1), ${64 * q + 16}); v128.store(W, low64(x2, x3), ${64 * q + 32}); v128.store(W, high64(x2, x3), ${64 * q + 48});\n`
  );
});
const vectorState = times(8, (i) => `  let v${NAMES[i]} = v128.load(s, ${16 * i});\n`);
const vectorFold = times(8, (i) => `    v128.store(s, (v${NAMES[i]} = i32x4.add(v${NAMES[i]}, v128.load(s, ${16 * i}))), ${16 * i});\n`);
const temporaries = "  let i0: v128, i1: v128, i2: v128, i3: v128, x0: v128, x1: v128, x2: v128, x3: v128;\n";

const one = `
// Compresses \`blocks\` blocks of 64 bytes at p into the eight words at s.
export function compress1(s: usize, p: usize, blocks: usize): void {
${times(8, (i) => `  let s${NAMES[i]} = load<u32>(s, ${4 * i});\n`)}  for (; blocks; blocks--, p += 64) {
${times(16, (i) => `    let w${i} = word(p + ${4 * i});\n`)}    for (let k = K; ; k += 64) {
${times(16, (r) => scalarRound("s", r, (i) => `w${i}`))}      if (k == K + 192) break;
${times(16, (i) => `      w${i} += sigma0(w${(i + 1) & 15}) + w${(i + 9) & 15} + sigma1(w${(i + 14) & 15});\n`)}    }
${times(8, (i) => `    store<u32>(s, (s${NAMES[i]} += load<u32>(s, ${4 * i})), ${4 * i});\n`)}  }
}
`;

const fourOf = (name, more, begin, round) => `
export function ${name}(s: usize, p0: usize, p1: usize, p2: usize, p3: usize, blocks: usize): void {
${vectorState}${temporaries}${more}  for (; blocks; blocks--) {
${transposed}${begin}${rounds(round)}${vectorFold}    p0 += 64; p1 += 64; p2 += 64; p3 += 64;
  }
}
`;

const four = `
// Compresses \`blocks\` blocks of each of four lanes; s holds the lanes' interleaved state.${fourOf("compress4", "", "", vectorRound)}
// The same, carrying words of the schedule from round to round: 4 % faster on V8 11 (Node 20), as fast on V8 13, and a
// quarter slower on JavaScriptCore.${fourOf(
  "compress4c",
  "  let y0: v128, y1: v128, z0: v128, z1: v128;\n",
  "    z0 = v128.load(W, 224); z1 = v128.load(W, 240);\n",
  carryingRound,
)}`;

const five = `
// The same with a fifth message in scalars beside the vector, its state at z: the integer units have nothing else to do.
// 1.08 GB/s where four alone give 0.90 (V8 since 13, Zen 5). Older V8 and JavaScriptCore lack the registers: 0.76 and
// 0.32 where four alone give 0.84 and 0.65.
export function compress5(
  s: usize, z: usize, p0: usize, p1: usize, p2: usize, p3: usize, p4: usize, blocks: usize,
): void {
${vectorState}${times(8, (i) => `  let s${NAMES[i]} = load<u32>(z, ${4 * i});\n`)}${temporaries}  for (; blocks; blocks--) {
${transposed}${times(16, (i) => `    store<u32>(V, word(p4 + ${4 * i}), ${4 * i});\n`)}${rounds((r, next) => vectorRound(r, next) + fifthRound(r, next))}${vectorFold}${times(
  8,
  (i) => `    store<u32>(z, (s${NAMES[i]} += load<u32>(z, ${4 * i})), ${4 * i});\n`,
)}    p0 += 64; p1 += 64; p2 += 64; p3 += 64; p4 += 64;
  }
}
`;

const inline = (signature, result) => `
// @ts-ignore: decorator
@inline
function ${signature} {
  return ${result};
}
`;

export const text = `// Written by sha256-rounds.mjs; not kept in git.

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

// The message schedules of the running blocks, the vector's and the fifth message's. They are kept in memory and each
// word is replaced right after its round: as local variables, or all sixteen at once, the same work takes 20 % longer
// on V8 and 2.5 times as long on Bun.
const W = memory.data(256, 16);
const V = memory.data(64, 16);
${inline("sum0(x: u32): u32", "rotr<u32>(x, 2) ^ rotr<u32>(x, 13) ^ rotr<u32>(x, 22)")}${inline("sum1(x: u32): u32", "rotr<u32>(x, 6) ^ rotr<u32>(x, 11) ^ rotr<u32>(x, 25)")}${inline("sigma0(x: u32): u32", "rotr<u32>(x, 7) ^ rotr<u32>(x, 18) ^ (x >> 3)")}${inline("sigma1(x: u32): u32", "rotr<u32>(x, 17) ^ rotr<u32>(x, 19) ^ (x >> 10)")}${inline("choose(e: u32, f: u32, g: u32): u32", "g ^ (e & (f ^ g))")}${inline("majority(a: u32, b: u32, c: u32): u32", "b ^ ((a ^ b) & (b ^ c))")}${inline("word(p: usize): u32", "bswap<u32>(load<u32>(p))")}${inline("vrotr(x: v128, n: i32): v128", "v128.or(i32x4.shr_u(x, n), i32x4.shl(x, 32 - n))")}${inline("vsum0(x: v128): v128", "v128.xor(v128.xor(vrotr(x, 2), vrotr(x, 13)), vrotr(x, 22))")}${inline("vsum1(x: v128): v128", "v128.xor(v128.xor(vrotr(x, 6), vrotr(x, 11)), vrotr(x, 25))")}${inline("vsigma0(x: v128): v128", "v128.xor(v128.xor(vrotr(x, 7), vrotr(x, 18)), i32x4.shr_u(x, 3))")}${inline("vsigma1(x: v128): v128", "v128.xor(v128.xor(vrotr(x, 17), vrotr(x, 19)), i32x4.shr_u(x, 10))")}
// h + sum1(e) + choose(e, f, g) + k + w${inline("vfirst(e: v128, f: v128, g: v128, h: v128, k: v128, w: v128): v128", "i32x4.add(\n    i32x4.add(i32x4.add(h, w), k),\n    i32x4.add(vsum1(e), v128.bitselect(f, g, e)),\n  )")}
// sum0(a) + majority(a, b, c)${inline("vsecond(a: v128, b: v128, c: v128): v128", "i32x4.add(vsum0(a), v128.xor(b, v128.and(v128.xor(a, b), v128.xor(b, c))))")}${inline("vnext(w: v128, w1: v128, w9: v128, w14: v128): v128", "i32x4.add(i32x4.add(w, vsigma0(w1)), i32x4.add(w9, vsigma1(w14)))")}${inline("swap(p: usize): v128", "i8x16.swizzle(v128.load(p), i8x16(3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8, 15, 14, 13, 12))")}${inline("low(a: v128, b: v128): v128", "v128.shuffle<i32>(a, b, 0, 4, 1, 5)")}${inline("high(a: v128, b: v128): v128", "v128.shuffle<i32>(a, b, 2, 6, 3, 7)")}${inline("low64(a: v128, b: v128): v128", "v128.shuffle<i64>(a, b, 0, 2)")}${inline("high64(a: v128, b: v128): v128", "v128.shuffle<i64>(a, b, 1, 3)")}${one}${four}${five}`;
