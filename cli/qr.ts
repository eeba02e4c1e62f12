// QR codes (ISO/IEC 18004) in byte mode with error correction level M, versions 1 to 40: what a printed key needs and
// no more. Reed-Solomon over GF(256) with polynomial 0x11d; the mask is the one with the lowest penalty.

/** Rows of modules; true is dark. The quiet zone of four modules is the caller's. */
export function qrCode(data: Uint8Array): boolean[][] {
  const version = smallestVersion(data.length);
  const codewords = interleave(version, encode(version, data));
  const size = version * 4 + 17;
  let best: boolean[][] | undefined;
  let bestPenalty = Number.POSITIVE_INFINITY;
  for (let mask = 0; mask < 8; mask++) {
    const grid = draw(version, size, codewords, mask);
    const p = penalty(grid);
    if (p < bestPenalty) {
      bestPenalty = p;
      best = grid;
    }
  }
  return best!;
}

// For level M, by version: check codewords a block, and the number of blocks.
const CHECK = [
  0, 10, 16, 26, 18, 24, 16, 18, 22, 22, 26, 30, 22, 22, 24, 24, 28, 28, 26, 26, 26, 26, 28, 28, 28, 28, 28,
  28, 28, 28, 28, 28, 28, 28, 28, 28, 28, 28, 28, 28, 28,
];
const BLOCKS = [
  0, 1, 1, 1, 2, 2, 4, 4, 4, 5, 5, 5, 8, 9, 9, 10, 10, 11, 13, 14, 16, 17, 17, 18, 20, 21, 23, 25, 26, 28, 29,
  31, 33, 35, 37, 38, 40, 43, 45, 47, 49,
];

/** Modules that carry data in a version, bits. */
function rawBits(version: number): number {
  let bits = (16 * version + 128) * version + 64;
  if (version >= 2) {
    const n = Math.floor(version / 7) + 2;
    bits -= (25 * n - 10) * n - 55;
    if (version >= 7) bits -= 36;
  }
  return bits;
}

function dataBytes(version: number): number {
  return Math.floor(rawBits(version) / 8) - CHECK[version]! * BLOCKS[version]!;
}

function smallestVersion(length: number): number {
  for (let version = 1; version <= 40; version++) {
    if (4 + (version < 10 ? 8 : 16) + 8 * length <= 8 * dataBytes(version)) return version;
  }
  throw new RangeError(`${length} bytes are too much for a QR code`);
}

function encode(version: number, data: Uint8Array): Uint8Array {
  const out = new Uint8Array(dataBytes(version));
  let bit = 0;
  const push = (value: number, n: number) => {
    for (let i = n - 1; i >= 0; i--, bit++) if ((value >> i) & 1) out[bit >> 3]! |= 0x80 >> (bit & 7);
  };
  push(0b0100, 4);
  push(data.length, version < 10 ? 8 : 16);
  for (const b of data) push(b, 8);
  bit = Math.min(bit + 4, out.length * 8);
  const used = Math.ceil(bit / 8);
  for (let i = used; i < out.length; i++) out[i] = (i - used) % 2 ? 0x11 : 0xec;
  return out;
}

function multiply(a: number, b: number): number {
  let z = 0;
  for (let i = 7; i >= 0; i--) {
    z = (z << 1) ^ ((z >>> 7) * 0x11d);
    z ^= ((b >>> i) & 1) * a;
  }
  return z;
}

/** Coefficients of the generator polynomial without the leading one. */
function generator(degree: number): Uint8Array {
  const out = new Uint8Array(degree);
  out[degree - 1] = 1;
  let root = 1;
  for (let i = 0; i < degree; i++) {
    for (let j = 0; j < degree; j++) {
      out[j] = multiply(out[j]!, root);
      if (j + 1 < degree) out[j]! ^= out[j + 1]!;
    }
    root = multiply(root, 2);
  }
  return out;
}

function remainder(data: Uint8Array, divisor: Uint8Array): Uint8Array {
  const out = new Uint8Array(divisor.length);
  for (const b of data) {
    const factor = b ^ out[0]!;
    out.copyWithin(0, 1);
    out[out.length - 1] = 0;
    for (let i = 0; i < divisor.length; i++) out[i]! ^= multiply(divisor[i]!, factor);
  }
  return out;
}

/** Data and check codewords of all blocks, one codeword of each block in turn. */
function interleave(version: number, data: Uint8Array): Uint8Array {
  const blocks = BLOCKS[version]!;
  const check = CHECK[version]!;
  const total = Math.floor(rawBits(version) / 8);
  const short = blocks - (total % blocks);
  const shortLength = Math.floor(total / blocks) - check;
  const divisor = generator(check);
  const parts: { data: Uint8Array; check: Uint8Array }[] = [];
  let at = 0;
  for (let i = 0; i < blocks; i++) {
    const part = data.subarray(at, at + shortLength + (i < short ? 0 : 1));
    at += part.length;
    parts.push({ data: part, check: remainder(part, divisor) });
  }
  const out: number[] = [];
  for (let i = 0; i <= shortLength; i++) for (const p of parts) if (i < p.data.length) out.push(p.data[i]!);
  for (let i = 0; i < check; i++) for (const p of parts) out.push(p.check[i]!);
  return Uint8Array.from(out);
}

function alignmentCentres(version: number, size: number): number[] {
  if (version === 1) return [];
  const n = Math.floor(version / 7) + 2;
  const step = version === 32 ? 26 : Math.ceil((version * 4 + 4) / (n * 2 - 2)) * 2;
  const out = [6];
  for (let pos = size - 7; out.length < n; pos -= step) out.splice(1, 0, pos);
  return out;
}

const masks: readonly ((x: number, y: number) => boolean)[] = [
  (x, y) => (x + y) % 2 === 0,
  (_, y) => y % 2 === 0,
  (x) => x % 3 === 0,
  (x, y) => (x + y) % 3 === 0,
  (x, y) => (Math.floor(x / 3) + Math.floor(y / 2)) % 2 === 0,
  (x, y) => ((x * y) % 2) + ((x * y) % 3) === 0,
  (x, y) => (((x * y) % 2) + ((x * y) % 3)) % 2 === 0,
  (x, y) => (((x + y) % 2) + ((x * y) % 3)) % 2 === 0,
];

function draw(version: number, size: number, codewords: Uint8Array, mask: number): boolean[][] {
  const grid: boolean[][] = Array.from({ length: size }, () => new Array<boolean>(size).fill(false));
  const fixed: boolean[][] = Array.from({ length: size }, () => new Array<boolean>(size).fill(false));
  const set = (x: number, y: number, dark: boolean) => {
    if (x < 0 || y < 0 || x >= size || y >= size) return;
    grid[y]![x] = dark;
    fixed[y]![x] = true;
  };
  const square = (cx: number, cy: number, reach: number, dark: (d: number) => boolean) => {
    for (let dy = -reach; dy <= reach; dy++) {
      for (let dx = -reach; dx <= reach; dx++)
        set(cx + dx, cy + dy, dark(Math.max(Math.abs(dx), Math.abs(dy))));
    }
  };
  for (let i = 0; i < size; i++) {
    set(6, i, i % 2 === 0);
    set(i, 6, i % 2 === 0);
  }
  for (const [x, y] of [
    [3, 3],
    [size - 4, 3],
    [3, size - 4],
  ] as const) {
    square(x, y, 4, (d) => d !== 2 && d !== 4);
  }
  const centres = alignmentCentres(version, size);
  for (const x of centres) {
    for (const y of centres) {
      const corner = (x === 6 && y === 6) || (x === 6 && y === size - 7) || (x === size - 7 && y === 6);
      if (!corner) square(x, y, 2, (d) => d !== 1);
    }
  }
  drawFormat(set, size, mask);
  drawVersion(set, size, version);
  let bit = 0;
  for (let right = size - 1; right >= 1; right -= 2) {
    if (right === 6) right = 5;
    for (let v = 0; v < size; v++) {
      for (let j = 0; j < 2; j++) {
        const x = right - j;
        const y = ((right + 1) & 2) === 0 ? size - 1 - v : v;
        if (fixed[y]![x]) continue;
        const dark = bit < codewords.length * 8 && ((codewords[bit >> 3]! >> (7 - (bit & 7))) & 1) === 1;
        bit++;
        grid[y]![x] = dark !== masks[mask]!(x, y);
      }
    }
  }
  return grid;
}

function drawFormat(set: (x: number, y: number, dark: boolean) => void, size: number, mask: number): void {
  // Level M is 00 in the two bits before the mask.
  let rest = mask;
  for (let i = 0; i < 10; i++) rest = (rest << 1) ^ ((rest >>> 9) * 0x537);
  const bits = ((mask << 10) | rest) ^ 0x5412;
  const on = (i: number) => ((bits >> i) & 1) === 1;
  for (let i = 0; i <= 5; i++) set(8, i, on(i));
  set(8, 7, on(6));
  set(8, 8, on(7));
  set(7, 8, on(8));
  for (let i = 9; i < 15; i++) set(14 - i, 8, on(i));
  for (let i = 0; i < 8; i++) set(size - 1 - i, 8, on(i));
  for (let i = 8; i < 15; i++) set(8, size - 15 + i, on(i));
  set(8, size - 8, true);
}

function drawVersion(
  set: (x: number, y: number, dark: boolean) => void,
  size: number,
  version: number,
): void {
  if (version < 7) return;
  let rest = version;
  for (let i = 0; i < 12; i++) rest = (rest << 1) ^ ((rest >>> 11) * 0x1f25);
  const bits = (version << 12) | rest;
  for (let i = 0; i < 18; i++) {
    const dark = ((bits >> i) & 1) === 1;
    const a = size - 11 + (i % 3);
    const b = Math.floor(i / 3);
    set(a, b, dark);
    set(b, a, dark);
  }
}

/** The standard's four rules: runs, 2×2 blocks, finder-like patterns, and the balance of dark and light. */
function penalty(grid: boolean[][]): number {
  const size = grid.length;
  let score = 0;
  let dark = 0;
  const column = (x: number) => grid.map((row) => row[x]!);
  for (let i = 0; i < size; i++) {
    for (const line of [grid[i]!, column(i)]) {
      const text = line.map((d) => (d ? "1" : "0")).join("");
      for (const run of text.match(/0{5,}|1{5,}/g) ?? []) score += run.length - 2;
      for (const pattern of ["10111010000", "00001011101"]) {
        for (let at = text.indexOf(pattern); at >= 0; at = text.indexOf(pattern, at + 1)) score += 40;
      }
    }
    dark += grid[i]!.filter((d) => d).length;
  }
  for (let y = 0; y + 1 < size; y++) {
    for (let x = 0; x + 1 < size; x++) {
      const d = grid[y]![x];
      if (d === grid[y]![x + 1] && d === grid[y + 1]![x] && d === grid[y + 1]![x + 1]) score += 3;
    }
  }
  const total = size * size;
  return score + Math.max(0, Math.ceil(Math.abs(dark * 20 - total * 10) / total) - 1) * 10;
}
