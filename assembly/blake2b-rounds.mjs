// Writes the compression functions of BLAKE2b (blake2b-rounds.generated.ts): the same twelve rounds for one message in
// 64-bit scalars, and for several at once in vectors of two lanes beside a scalar. What the variants are and why is said
// in the text they are written under.

const SIGMA = [
  [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
  [14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3],
  [11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4],
  [7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8],
  [9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13],
  [2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9],
  [12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11],
  [13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10],
  [6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5],
  [10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0],
];
const ROUNDS = [...SIGMA, SIGMA[0], SIGMA[1]];

// The words that the eight mixings of a round take: columns, then diagonals.
const MIXINGS = [
  [0, 4, 8, 12], [1, 5, 9, 13], [2, 6, 10, 14], [3, 7, 11, 15],
  [0, 5, 10, 15], [1, 6, 11, 12], [2, 7, 8, 13], [3, 4, 9, 14],
];

/** Bytes from one state word of all lanes to the next. */
const STRIDE = 48;

// The eight steps of a mixing of the words `name`a, … with the message words x and y.
function scalarMixing(name, [a, b, c, d], x, y) {
  const [A, B, C, D] = [a, b, c, d].map((i) => name + i);
  const half = (m, r1, r2) => [
    `${A} += ${B} + ${m}; ${D} = rotr<u64>(${D} ^ ${A}, ${r1});`,
    `${C} += ${D}; ${B} = rotr<u64>(${B} ^ ${C}, ${r2});`,
  ];
  return [...half(x, 32, 24), ...half(y, 16, 63)];
}

// `by24` and `by16`: the byte orders of two rotations.
const vectorMixing = (by24, by16) => (name, [a, b, c, d], x, y) => {
  const [A, B, C, D] = [a, b, c, d].map((i) => name + i);
  const half = (m, r1, r2) => [
    `${A} = i64x2.add(i64x2.add(${A}, ${m}), ${B}); ${D} = ${r1(`v128.xor(${D}, ${A})`)};`,
    `${C} = i64x2.add(${C}, ${D}); ${B} = ${r2(`v128.xor(${B}, ${C})`)};`,
  ];
  const rotr32 = (x) => `rotr32(${x})`;
  const rotr24 = (x) => `i8x16.swizzle(${x}, ${by24})`;
  const rotr16 = (x) => `i8x16.swizzle(${x}, ${by16})`;
  const rotr63 = (x) => `rotr63(${x})`;
  return [...half(x, rotr32, rotr24), ...half(y, rotr16, rotr63)];
};
const BY24 = "3, 4, 5, 6, 7, 0, 1, 2, 11, 12, 13, 14, 15, 8, 9, 10";
const BY16 = "2, 3, 4, 5, 6, 7, 0, 1, 10, 11, 12, 13, 14, 15, 8, 9";
const variableMixing = vectorMixing("by24", "by16");
const constantMixing = vectorMixing(`i8x16(${BY24})`, `i8x16(${BY16})`);

// One round: the four mixings of a half take turns with those of the other streams, column by column.
// `streams`: [mixing, name, (j) => the message word at place j of the round's order].
function round(streams) {
  return MIXINGS.map((words, g) => {
    const steps = streams.map(([mixing, name, word]) => mixing(name, words, word(2 * g), word(2 * g + 1)));
    return [0, 1, 2, 3].flatMap((i) => steps.map((step) => `    ${step[i]}\n`)).join("");
  }).join("");
}

const sixteen = (make) => Array.from({ length: 16 }, (_, i) => make(i)).join("");
const eight = (make) => Array.from({ length: 8 }, (_, i) => make(i)).join("");

// Loads, and folds back, the state of a stream whose words lie at `at`, `stride` bytes apart.
const scalarLoad = (name, at, stride, offset, t, f) =>
  sixteen((i) => `  let ${name}${i} = load<u64>(${i < 8 ? `${at}, ${i * stride + offset}` : `IV, ${8 * (i - 8)}`});\n`) +
  `  ${name}12 ^= ${t}; ${name}14 ^= ${f};\n`;
const scalarStore = (name, at, stride, offset) =>
  eight((i) => {
    const o = i * stride + offset;
    return `  store<u64>(${at}, load<u64>(${at}, ${o}) ^ ${name}${i} ^ ${name}${i + 8}, ${o});\n`;
  });
const vectorLoad = (name, offset) =>
  sixteen((i) =>
    i < 8
      ? `  let ${name}${i} = v128.load(LANES, ${i * STRIDE + offset});\n`
      : `  let ${name}${i} = v128.load_splat<u64>(IV, ${8 * (i - 8)});\n`,
  ) + `  ${name}12 = v128.xor(${name}12, v128.load(COUNT, ${offset})); ${name}14 = v128.xor(${name}14, v128.load(FINAL, ${offset}));\n`;
const vectorStore = (name, offset) =>
  eight((i) => {
    const o = i * STRIDE + offset;
    return `  v128.store(LANES, v128.xor(v128.load(LANES, ${o}), v128.xor(${name}${i}, ${name}${i + 8})), ${o});\n`;
  });

// Counts the block of a lane, or of two.
const scalarCount = (k) => `  store<u64>(COUNT, load<u64>(COUNT, ${8 * k}) + load<u64>(STEP, ${8 * k}), ${8 * k});\n`;
const vectorCount = (k) => `  v128.store(COUNT, i64x2.add(v128.load(COUNT, ${8 * k}), v128.load(STEP, ${8 * k})), ${8 * k});\n`;

// Interleaves the blocks at p and q: word i of both at to + slot * i.
const weave = (p, q, slot, to) =>
  Array.from({ length: 8 }, (_, i) => {
    const [lo, hi] = [2 * i * slot + to, (2 * i + 1) * slot + to];
    return (
      `  x = v128.load(${p}, ${16 * i}); y = v128.load(${q}, ${16 * i});\n` +
      `  v128.store(WORDS, v128.shuffle<i64>(x, y, 0, 2), ${lo}); v128.store(WORDS, v128.shuffle<i64>(x, y, 1, 3), ${hi});\n`
    );
  }).join("");

const unrolled = (streams) => ROUNDS.map((order) => round(streams(order))).join("");

const one = `
// Compresses one block at p into the state at h; t is the number of bytes up to and including it, f all ones for the
// last block. Unrolled, as message words at constant offsets cost nothing to find: 1.2 to 1.4 GB/s on V8 where a loop
// over the rounds gives 0.9.
export function compress1(h: usize, p: usize, t: u64, f: u64): void {
${scalarLoad("s", "h", 8, 0, "t", "f")}${unrolled((order) => [
  [scalarMixing, "s", (j) => `load<u64>(p, ${8 * order[j]})`],
])}${scalarStore("s", "h", 8, 0)}}
`;

// The streams of compress3 in a round.
const beside = (mixing) => (order) => [
  [mixing, "a", (j) => `v128.load(WORDS, ${16 * order[j]})`],
  [scalarMixing, "s", (j) => `load<u64>(p2, ${8 * order[j]})`],
];
const three = (name, setUp, mixing) => `export function ${name}(p0: usize, p1: usize, p2: usize): void {
  let x: v128, y: v128;
${vectorCount(0)}${scalarCount(2)}${weave("p0", "p1", 16, 0)}${setUp}${vectorLoad("a", 0)}${scalarLoad("s", "LANES", STRIDE, 16, "load<u64>(COUNT, 16)", "load<u64>(FINAL, 16)")}${unrolled(beside(mixing))}${vectorStore("a", 0)}${scalarStore("s", "LANES", STRIDE, 16)}}
`;
const turns = "  const by24 = v128.load(TURNS), by16 = v128.load(TURNS, 16);\n";

const threes = `
// Three messages: lanes 0 and 1 in a vector, lane 2 in scalars. A vector alone waits for its own results (Zen 5 takes two
// cycles for each) and leaves the integer units idle, so the scalar stream is nearly free: 1.9 GB/s on V8, where two
// vectors give 1.45 and one 1.3. Unrolled it is 21 KB of machine code; more streams would not fit the instruction cache.
${three("compress3", turns, variableMixing)}
// The same with the byte orders of rotations as constants: V8 up to 12 keeps these in registers and so saves the clamping
// that a variable order needs (1.87 GB/s for 1.78); newer ones put them together anew at every use (1.73 for 1.92).
${three("compress3Constant", "", constantMixing)}`;

const five = `
// Five messages: two vectors and a scalar, looping over the rounds, the message order as addresses in a table. For
// JavaScriptCore, which cannot place the registers of the unrolled function (0.5 GB/s) and makes 1.5 GB/s of this one.
export function compress5(p0: usize, p1: usize, p2: usize, p3: usize, p4: usize): void {
  let x: v128, y: v128;
${vectorCount(0)}${vectorCount(2)}${scalarCount(4)}${weave("p0", "p1", 48, 0)}${weave("p2", "p3", 48, 16)}${sixteen(
  (i) => `  store<u64>(WORDS, load<u64>(p4, ${8 * i}), ${48 * i + 32});\n`,
)}${turns}${vectorLoad("a", 0)}${vectorLoad("b", 16)}${scalarLoad("s", "LANES", STRIDE, 32, "load<u64>(COUNT, 32)", "load<u64>(FINAL, 32)")}
  for (let o: usize = 0; o < ${ROUNDS.length * 64}; o += 64) {
${round([
  [variableMixing, "a", (j) => `v128.load(<usize>load<u32>(ORDER + o, ${4 * j}))`],
  [variableMixing, "b", (j) => `v128.load(<usize>load<u32>(ORDER + o, ${4 * j}), 16)`],
  [scalarMixing, "s", (j) => `load<u64>(<usize>load<u32>(ORDER + o, ${4 * j}), 32)`],
])}  }
${vectorStore("a", 0)}${vectorStore("b", 16)}${scalarStore("s", "LANES", STRIDE, 32)}}
`;

export const text = `// Written by blake2b-rounds.mjs; not kept in git.

export const IV = memory.data<u64>([
  0x6a09e667f3bcc908, 0xbb67ae8584caa73b, 0x3c6ef372fe94f82b, 0xa54ff53a5f1d36f1,
  0x510e527fade682d1, 0x9b05688c2b3e6c1f, 0x1f83d9abfb41bd6b, 0x5be0cd19137e2179,
], 16);

// The lanes' states: word i of lane k at ${STRIDE} * i + 8 * k.
export const LANES = memory.data(${8 * STRIDE}, 16);
// Bytes of each lane hashed so far, of its next block, and all ones where that is the last; a u64 each.
export const COUNT = memory.data(48, 16);
export const STEP = memory.data(48, 16);
export const FINAL = memory.data(48, 16);
// Message blocks, interleaved; and for the looped variant the addresses in there, in the order of use.
const WORDS = memory.data(${16 * 48}, 16);
const ORDER = memory.data(${ROUNDS.length * 64}, 16);
const SIGMA = memory.data<u8>([
${ROUNDS.map((order) => `  ${order.join(", ")},`).join("\n")}
], 16);
// Byte orders of two rotations, for engines that are better off loading them.
const TURNS = memory.data<u8>([
  ${BY24},
  ${BY16},
], 16);

/** To be called before compress5. */
export function initOrder(): void {
  if (load<u32>(ORDER)) return;
  for (let i: usize = 0; i < ${ROUNDS.length * 16}; i++) store<u32>(ORDER + (i << 2), <u32>WORDS + 48 * <u32>load<u8>(SIGMA + i));
}

// @ts-ignore: decorator
@inline
function rotr32(x: v128): v128 {
  return v128.shuffle<i32>(x, x, 1, 0, 3, 2);
}

// @ts-ignore: decorator
@inline
function rotr63(x: v128): v128 {
  return v128.xor(i64x2.add(x, x), i64x2.shr_u(x, 63));
}
${one}${threes}${five}`;
