// QR codes (ISO/IEC 18004) for a key on paper: byte mode, level M, any of the 40 versions. Only what that needs: the
// tables below are the standard's, everything else in it can be computed.

/** Error correction bytes of each block, and number of blocks, by version, level M. */
const CORRECTION =
  "10 16 26 18 24 16 18 22 22 26 30 22 22 24 24 28 28 26 26 26 26 28 28 28 28 28 28 28 28 28 28 28 28 28 28 28 28 28 28 28"
    .split(" ")
    .map(Number);
const BLOCKS =
  "1 1 1 2 2 4 4 4 5 5 5 8 9 9 10 10 11 13 14 16 17 17 18 20 21 23 25 26 28 29 31 33 35 37 38 40 43 45 47 49"
    .split(" ")
    .map(Number);
/** Level M in the format information. */
const LEVEL_BITS = 0;

/** A square of modules; true is dark. */
export type QrCode = boolean[][];

/** @param mask 0 to 7; by default the one the standard's penalties prefer. @throws RangeError if there is too much data */
export function qrCode(data: Uint8Array, mask?: number): QrCode {
  const version = smallestVersion(data.length);
  const bytes = interleave(encode(data, version), version);
  const grid = new Grid(version);
  grid.fill(bytes);
  if (mask !== undefined) return grid.masked(mask);
  let best: QrCode | undefined;
  let least = Number.POSITIVE_INFINITY;
  for (let m = 0; m < 8; m++) {
    const candidate = grid.masked(m);
    const cost = penalty(candidate);
    if (cost < least) {
      least = cost;
      best = candidate;
    }
  }
  return best!;
}

/** Modules that hold data or correction, as bytes. */
function capacity(version: number): number {
  let modules = (16 * version + 128) * version + 64;
  if (version >= 2) {
    const n = Math.floor(version / 7) + 2;
    modules -= (25 * n - 10) * n - 55;
    if (version >= 7) modules -= 36;
  }
  return Math.floor(modules / 8);
}

function dataCapacity(version: number): number {
  return capacity(version) - CORRECTION[version - 1]! * BLOCKS[version - 1]!;
}

function smallestVersion(length: number): number {
  for (let version = 1; version <= 40; version++) {
    if (length + (version < 10 ? 2 : 3) <= dataCapacity(version)) return version;
  }
  throw new RangeError("too much data for a QR code");
}

/** Mode, length, data, terminator and padding. */
function encode(data: Uint8Array, version: number): Uint8Array {
  const out = new Uint8Array(dataCapacity(version));
  let bit = 0;
  const put = (value: number, bits: number) => {
    for (let i = bits - 1; i >= 0; i--, bit++) {
      if ((value >>> i) & 1) out[bit >> 3]! |= 0x80 >> (bit & 7);
    }
  };
  put(4, 4);
  put(data.length, version < 10 ? 8 : 16);
  for (const byte of data) put(byte, 8);
  bit = Math.min(bit + 4, out.length * 8);
  for (let at = Math.ceil(bit / 8), i = 0; at < out.length; at++, i++) out[at] = i % 2 === 0 ? 0xec : 0x11;
  return out;
}

/** Product in GF(2^8) with the polynomial 0x11d. */
function multiply(a: number, b: number): number {
  let product = 0;
  for (let i = 7; i >= 0; i--) {
    product = (product << 1) ^ ((product >>> 7) * 0x11d);
    if ((b >>> i) & 1) product ^= a;
  }
  return product;
}

/** Coefficients of the Reed-Solomon generator, without the leading 1. */
function generator(degree: number): Uint8Array {
  const g = new Uint8Array(degree);
  g[degree - 1] = 1;
  let root = 1;
  for (let i = 0; i < degree; i++) {
    for (let j = 0; j < degree; j++) g[j] = multiply(g[j]!, root) ^ (g[j + 1] ?? 0);
    root = multiply(root, 2);
  }
  return g;
}

function correction(data: Uint8Array, g: Uint8Array): Uint8Array {
  const rest = new Uint8Array(g.length);
  for (const byte of data) {
    const factor = byte ^ rest[0]!;
    rest.copyWithin(0, 1);
    rest[rest.length - 1] = 0;
    for (let i = 0; i < g.length; i++) rest[i]! ^= multiply(g[i]!, factor);
  }
  return rest;
}

/** Data in blocks, each with its correction, taken in turn. */
function interleave(data: Uint8Array, version: number): Uint8Array {
  const count = BLOCKS[version - 1]!;
  const g = generator(CORRECTION[version - 1]!);
  const short = Math.floor(data.length / count);
  const longFrom = count - (data.length % count);
  const blocks: { data: Uint8Array; correction: Uint8Array }[] = [];
  for (let i = 0, at = 0; i < count; i++) {
    const part = data.subarray(at, at + short + (i >= longFrom ? 1 : 0));
    at += part.length;
    blocks.push({ data: part, correction: correction(part, g) });
  }
  const out: number[] = [];
  for (let i = 0; i <= short; i++) for (const b of blocks) if (i < b.data.length) out.push(b.data[i]!);
  for (let i = 0; i < g.length; i++) for (const b of blocks) out.push(b.correction[i]!);
  return Uint8Array.from(out);
}

class Grid {
  readonly #size: number;
  readonly #dark: QrCode;
  /** Modules of patterns and information, which no mask changes. */
  readonly #fixed: QrCode;

  constructor(version: number) {
    this.#size = 17 + 4 * version;
    const square = () => Array.from({ length: this.#size }, () => new Array<boolean>(this.#size).fill(false));
    this.#dark = square();
    this.#fixed = square();
    const n = this.#size;
    for (let i = 0; i < n; i++) {
      this.#set(6, i, i % 2 === 0);
      this.#set(i, 6, i % 2 === 0);
    }
    for (const [y, x] of [
      [3, 3],
      [3, n - 4],
      [n - 4, 3],
    ] as const) {
      this.#rings(y, x, 4, [0, 1, 3]);
    }
    const centres = alignment(version, n);
    const last = centres.length - 1;
    centres.forEach((y, i) => {
      centres.forEach((x, j) => {
        const inFinder = (i === 0 && j === 0) || (i === 0 && j === last) || (i === last && j === 0);
        if (!inFinder) this.#rings(y, x, 2, [0, 2]);
      });
    });
    this.#format(this.#dark, 0);
    if (version >= 7) this.#version(version);
  }

  #set(y: number, x: number, dark: boolean): void {
    this.#dark[y]![x] = dark;
    this.#fixed[y]![x] = true;
  }

  /** Concentric squares around a module, the dark ones given. */
  #rings(cy: number, cx: number, radius: number, dark: number[]): void {
    for (let y = cy - radius; y <= cy + radius; y++) {
      for (let x = cx - radius; x <= cx + radius; x++) {
        if (y < 0 || x < 0 || y >= this.#size || x >= this.#size) continue;
        this.#set(y, x, dark.includes(Math.max(Math.abs(y - cy), Math.abs(x - cx))));
      }
    }
  }

  /** Level and mask, with their own correction, twice. */
  #format(dark: QrCode, mask: number): void {
    const data = (LEVEL_BITS << 3) | mask;
    let rest = data;
    for (let i = 0; i < 10; i++) rest = (rest << 1) ^ ((rest >>> 9) * 0x537);
    const bits = ((data << 10) | rest) ^ 0x5412;
    const n = this.#size;
    const put = (y: number, x: number, bit: number) => {
      dark[y]![x] = ((bits >>> bit) & 1) === 1;
      this.#fixed[y]![x] = true;
    };
    for (let i = 0; i < 15; i++) {
      if (i < 8) {
        put(i < 6 ? i : i + 1, 8, i);
        put(8, n - 1 - i, i);
      } else {
        put(8, i === 8 ? 7 : 14 - i, i);
        put(n - 15 + i, 8, i);
      }
    }
    dark[n - 8]![8] = true;
    this.#fixed[n - 8]![8] = true;
  }

  #version(version: number): void {
    let rest = version;
    for (let i = 0; i < 12; i++) rest = (rest << 1) ^ ((rest >>> 11) * 0x1f25);
    const bits = (version << 12) | rest;
    for (let i = 0; i < 18; i++) {
      const a = this.#size - 11 + (i % 3);
      const b = Math.floor(i / 3);
      this.#set(a, b, ((bits >>> i) & 1) === 1);
      this.#set(b, a, ((bits >>> i) & 1) === 1);
    }
  }

  /** Lays the bits in two-module columns, up and down from the right. */
  fill(bytes: Uint8Array): void {
    const n = this.#size;
    let bit = 0;
    for (let right = n - 1; right >= 1; right -= 2) {
      // The timing pattern takes a whole column.
      if (right === 6) right = 5;
      const upward = ((right + 1) & 2) === 0;
      for (let i = 0; i < n; i++) {
        const y = upward ? n - 1 - i : i;
        for (const x of [right, right - 1]) {
          if (this.#fixed[y]![x]) continue;
          if (bit < bytes.length * 8) this.#dark[y]![x] = ((bytes[bit >> 3]! >>> (7 - (bit & 7))) & 1) === 1;
          bit++;
        }
      }
    }
  }

  masked(mask: number): QrCode {
    const rule = MASKS[mask]!;
    const out = this.#dark.map((row, y) =>
      row.map((dark, x) => (this.#fixed[y]![x] ? dark : dark !== rule(x, y))),
    );
    this.#format(out, mask);
    return out;
  }
}

/** Rows and columns of the alignment patterns. */
function alignment(version: number, size: number): number[] {
  if (version === 1) return [];
  const n = Math.floor(version / 7) + 2;
  const step = version === 32 ? 26 : Math.ceil((size - 13) / (2 * n - 2)) * 2;
  const centres = [6];
  for (let i = n - 2; i >= 0; i--) centres.push(size - 7 - i * step);
  return centres;
}

const MASKS: ((x: number, y: number) => boolean)[] = [
  (x, y) => (x + y) % 2 === 0,
  (_, y) => y % 2 === 0,
  (x) => x % 3 === 0,
  (x, y) => (x + y) % 3 === 0,
  (x, y) => (Math.floor(x / 3) + Math.floor(y / 2)) % 2 === 0,
  (x, y) => ((x * y) % 2) + ((x * y) % 3) === 0,
  (x, y) => (((x * y) % 2) + ((x * y) % 3)) % 2 === 0,
  (x, y) => (((x + y) % 2) + ((x * y) % 3)) % 2 === 0,
];

/** How hard to read a symbol is: long runs, blocks, what resembles a finder pattern, imbalance. */
function penalty(code: QrCode): number {
  const n = code.length;
  let cost = 0;
  let dark = 0;
  const at = (line: number, i: number, across: boolean) => (across ? code[line]![i]! : code[i]![line]!);
  for (const across of [true, false]) {
    for (let line = 0; line < n; line++) {
      let run = 0;
      let bits = 0;
      for (let i = 0; i < n; i++) {
        const value = at(line, i, across);
        run = i > 0 && value === at(line, i - 1, across) ? run + 1 : 1;
        if (run === 5) cost += 3;
        else if (run > 5) cost++;
        bits = ((bits << 1) | (value ? 1 : 0)) & 0x7ff;
        if (i >= 10 && (bits === 0x05d || bits === 0x5d0)) cost += 40;
      }
    }
  }
  for (let y = 0; y < n; y++) {
    for (let x = 0; x < n; x++) {
      const value = code[y]![x]!;
      if (value) dark++;
      if (
        y > 0 &&
        x > 0 &&
        value === code[y - 1]![x] &&
        value === code[y]![x - 1] &&
        value === code[y - 1]![x - 1]
      )
        cost += 3;
    }
  }
  return cost + 10 * Math.floor(Math.abs((dark * 20) / (n * n) - 10));
}
