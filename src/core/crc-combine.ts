// The CRC-32 of two pieces from theirs: in GF(2)[x] modulo the polynomial the first is multiplied by x^(8 · bytes of the
// second), and the second added. Elements are words with the coefficient of x^0 in the highest bit.

const POLYNOMIAL = 0xedb88320;
const ONE = 0x80000000;

/** x^(2^n) for n = 0…31; the order of x divides 2^32 − 1, so that x^(2^32) is x again. */
let squares: Uint32Array | undefined;

function multiply(a: number, b: number): number {
  let product = 0;
  for (let bit = ONE; bit !== 0; bit >>>= 1) {
    if (a & bit) product ^= b;
    b = b & 1 ? (b >>> 1) ^ POLYNOMIAL : b >>> 1;
  }
  return product;
}

function tableOfSquares(): Uint32Array {
  const table = new Uint32Array(32);
  table[0] = ONE >>> 1;
  for (let n = 1; n < 32; n++) table[n] = multiply(table[n - 1]!, table[n - 1]!);
  return table;
}

/** CRC-32 of two pieces one behind the other. @param length bytes of the second */
export function combineCrc32(first: number, second: number, length: number): number {
  squares ??= tableOfSquares();
  let power = ONE;
  // Bits are eight times as many as bytes: from x^8 on.
  for (let n = 3, rest = length; rest > 0; n++, rest = Math.floor(rest / 2))
    if (rest % 2 === 1) power = multiply(power, squares[n % 32]!);
  return (multiply(power, first) ^ second) >>> 0;
}
