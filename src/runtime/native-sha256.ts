// SHA-256 of two messages at once by the OpenSSL that Node consists of (sha256_multi_block, x86-64 with SHA instructions): one
// message leaves half of the unit that computes rounds idle, as each round waits for the one before. 1.6 times the bytes a
// second of node:crypto's hash, and a third of its cost a call.
import crypto from "node:crypto";
import type { CFunction } from "./ffi/types.ts";
import { type Libc, libc } from "./libc.ts";
import { MemoryAddress } from "./memory-address.ts";

const BLOCK = 64;
const LANES = 2;
/** The function's state: each of the eight words for eight lanes. */
const STATE_LANES = 8;
const STATE = 0;
/** What it is told of each lane: address, number of blocks, padding. */
const LANE = 256;
const LANE_BYTES = 16;
/** For each lane the last blocks of its message. */
const TAIL = 512;
const TAIL_BYTES = 128;
/** The state of a lane alone. */
const ALONE = 768;
const SMALL_BYTES = 1024;
/** How many messages are put into order. */
const FEW = 32;
/** The function takes lanes four at a time; two have nothing to do. */
const FOUR_LANES = 1;

const START = Uint32Array.of(
  0x6a09e667,
  0xbb67ae85,
  0x3c6ef372,
  0xa54ff53a,
  0x510e527f,
  0x9b05688c,
  0x1f83d9ab,
  0x5be0cd19,
);

// Where a lane is in its message.
const NONE = 0;
const BODY = 1;
const LAST = 2;
const OUTER = 3;

/** Where hashing starts: at the beginning, or behind a key's block; and the state behind HMAC's outer one. */
export interface HashStart {
  state: Uint32Array;
  /** Bytes that the state has seen. */
  before: number;
  outer: Uint32Array | undefined;
}

export const PLAIN_START: HashStart = { state: START, before: 0, outer: undefined };

export class NativeSha256 {
  /** How many messages many() takes. */
  static readonly MOST = 256;
  /** Digests that many() gave, 32 bytes each. */
  readonly digests = new Uint8Array(NativeSha256.MOST * 32);
  readonly #two: CFunction;
  readonly #one: CFunction;
  readonly #bytes: Uint8Array<ArrayBuffer>;
  readonly #words: Uint32Array;
  readonly #address: number;
  readonly #memory: MemoryAddress;
  // Of each lane: its message, the address and number of blocks that come next, and the phase.
  readonly #message = new Int32Array(LANES);
  readonly #at = new Float64Array(LANES);
  readonly #left = new Int32Array(LANES);
  readonly #phase = new Int32Array(LANES);
  /** Numbers of the messages in the order they are taken. */
  readonly #order = new Uint32Array(NativeSha256.MOST);

  private constructor(c: Libc, two: CFunction, one: CFunction) {
    this.#memory = new MemoryAddress(c.ffi);
    this.#two = two;
    this.#one = one;
    this.#bytes = new Uint8Array(new ArrayBuffer(SMALL_BYTES));
    this.#words = new Uint32Array(this.#bytes.buffer);
    this.#address = c.ffi.address(this.#bytes);
  }

  /** Undefined where there is no such function, it does not give what node:crypto gives, or gives it no sooner. */
  static make(): NativeSha256 | undefined {
    const c = libc();
    const own = c?.ffi.openSelf?.();
    const two = own?.bind("sha256_multi_block", "i32", ["word", "word", "i32"]);
    const one = own?.bind("sha256_block_data_order", "i32", ["word", "word", "word"]);
    if (!c || !two || !one) return undefined;
    const made = new NativeSha256(c, two, one);
    return made.#works() && made.#isFaster() ? made : undefined;
  }

  /** The start of HMAC with a key. */
  hmacStart(key: Uint8Array): HashStart {
    const short = key.length > BLOCK ? crypto.createHash("sha256").update(key).digest() : key;
    const [inner, outer] = [0x36, 0x5c].map((pad) => {
      const block = new Uint8Array(BLOCK).fill(pad);
      for (let i = 0; i < short.length; i++) block[i]! ^= short[i]!;
      return this.#afterBlock(block);
    });
    return { state: inner!, before: BLOCK, outer };
  }

  /** Hashes n messages of one memory into `digests`. */
  many(memory: Uint8Array, offsets: Uint32Array, lengths: Uint32Array, n: number, start: HashStart): void {
    if (n > NativeSha256.MOST) throw new RangeError("hash: too many messages");
    // What is read here nobody else checks.
    for (let i = 0; i < n; i++)
      if (offsets[i]! + lengths[i]! > memory.length) throw new RangeError("hash: not within the memory");
    const base = this.#memory.of(memory);
    const left = this.#left;
    const at = this.#at;
    const order = this.#order;
    for (let i = 0; i < n; i++) order[i] = i;
    // The longest first, so that none is left alone for long. Among many this matters little.
    if (n <= FEW) order.subarray(0, n).sort((a, b) => lengths[b]! - lengths[a]!);
    let next = 0;
    for (;;) {
      for (let lane = 0; lane < LANES; lane++) {
        while (left[lane] === 0) {
          if (this.#phase[lane] === NONE) {
            if (next === n) break;
            const i = order[next++]!;
            this.#message[lane] = i;
            this.#phase[lane] = BODY;
            this.#setState(lane, start.state);
            at[lane] = base + offsets[i]!;
            left[lane] = lengths[i]! >>> 6;
          } else this.#proceed(lane, memory, offsets, lengths, start);
        }
      }
      const a = left[0]!;
      const b = left[1]!;
      if (a > 0 && b > 0) this.#compress(Math.min(a, b));
      else if (a > 0) this.#compressAlone(0);
      else if (b > 0) this.#compressAlone(1);
      else return;
    }
  }

  /** Takes a lane, whose blocks are done, to the next phase of its message. */
  #proceed(
    lane: number,
    memory: Uint8Array,
    offsets: Uint32Array,
    lengths: Uint32Array,
    { before, outer }: HashStart,
  ): void {
    const i = this.#message[lane]!;
    const tail = TAIL + lane * TAIL_BYTES;
    if (this.#phase[lane] === BODY) {
      const length = lengths[i]!;
      const rest = length & 63;
      const from = offsets[i]! + length - rest;
      const bytes = this.#bytes;
      for (let k = 0; k < rest; k++) bytes[tail + k] = memory[from + k]!;
      this.#pad(lane, rest, before + length);
      this.#phase[lane] = LAST;
      return;
    }
    if (this.#phase[lane] === LAST && outer) {
      this.#getDigest(lane, this.#bytes, tail);
      this.#setState(lane, outer);
      this.#pad(lane, 32, BLOCK + 32);
      this.#phase[lane] = OUTER;
      return;
    }
    this.#getDigest(lane, this.digests, i * 32);
    this.#phase[lane] = NONE;
  }

  /** Ends a lane's last blocks, of which `used` bytes are there. @param total bytes of the message */
  #pad(lane: number, used: number, total: number): void {
    const bytes = this.#bytes;
    const tail = TAIL + lane * TAIL_BYTES;
    const size = used < 56 ? BLOCK : 2 * BLOCK;
    bytes[tail + used] = 0x80;
    for (let k = used + 1; k < size - 8; k++) bytes[tail + k] = 0;
    // In bits, big endian.
    const high = Math.floor(total / 0x2000_0000);
    const low = (total << 3) >>> 0;
    for (let k = 0; k < 4; k++) {
      bytes[tail + size - 8 + k] = high >>> (24 - 8 * k);
      bytes[tail + size - 4 + k] = low >>> (24 - 8 * k);
    }
    this.#at[lane] = this.#address + tail;
    this.#left[lane] = size / BLOCK;
  }

  /** The next blocks of both lanes. */
  #compress(blocks: number): void {
    const words = this.#words;
    for (let lane = 0; lane < LANES; lane++) {
      const at = (LANE + lane * LANE_BYTES) >> 2;
      const address = this.#at[lane]!;
      words[at] = address;
      words[at + 1] = Math.floor(address / 0x1_0000_0000);
      words[at + 2] = blocks;
      this.#left[lane]! -= blocks;
      this.#at[lane] = address + blocks * BLOCK;
    }
    this.#two(this.#address + STATE, this.#address + LANE, FOUR_LANES);
  }

  /** All next blocks of a lane that has no other beside it. */
  #compressAlone(lane: number): void {
    const words = this.#words;
    const blocks = this.#left[lane]!;
    for (let k = 0; k < 8; k++) words[(ALONE >> 2) + k] = words[k * STATE_LANES + lane]!;
    this.#one(this.#address + ALONE, this.#at[lane]!, blocks);
    for (let k = 0; k < 8; k++) words[k * STATE_LANES + lane] = words[(ALONE >> 2) + k]!;
    this.#left[lane] = 0;
    this.#at[lane]! += blocks * BLOCK;
  }

  #afterBlock(block: Uint8Array): Uint32Array {
    this.#bytes.set(block, TAIL);
    this.#setState(0, START);
    this.#at[0] = this.#address + TAIL;
    this.#left[0] = 1;
    this.#compressAlone(0);
    this.#bytes.fill(0, TAIL, TAIL + BLOCK);
    return Uint32Array.from(START, (_, k) => this.#words[k * STATE_LANES]!);
  }

  #setState(lane: number, state: Uint32Array): void {
    for (let k = 0; k < 8; k++) this.#words[k * STATE_LANES + lane] = state[k]!;
  }

  #getDigest(lane: number, into: Uint8Array, at: number): void {
    for (let k = 0; k < 8; k++) {
      const word = this.#words[k * STATE_LANES + lane]!;
      into[at + 4 * k] = word >>> 24;
      into[at + 4 * k + 1] = word >>> 16;
      into[at + 4 * k + 2] = word >>> 8;
      into[at + 4 * k + 3] = word;
    }
  }

  /** Messages of every length around a block's ends, beside each other, plain and with a key. */
  #works(): boolean {
    const memory = new Uint8Array(4096);
    for (let i = 0; i < memory.length; i++) memory[i] = (i * 2654435761) >>> 13;
    const sizes = [0, 1, 55, 56, 63, 64, 65, 119, 120, 127, 128, 1000, 0, 3000, 64];
    const offsets = Uint32Array.from(sizes, (_, i) => i * 11);
    const lengths = Uint32Array.from(sizes);
    const key = memory.slice(7, 39);
    for (const start of [PLAIN_START, this.hmacStart(key)]) {
      this.many(memory, offsets, lengths, sizes.length, start);
      for (const [i, length] of sizes.entries()) {
        const hash = start.outer ? crypto.createHmac("sha256", key) : crypto.createHash("sha256");
        const expected = hash.update(memory.subarray(offsets[i]!, offsets[i]! + length)).digest();
        if (!expected.equals(this.digests.subarray(i * 32, i * 32 + 32))) return false;
      }
    }
    return true;
  }

  #isFaster(): boolean {
    const memory = new Uint8Array(65536);
    const [offsets, lengths] = [new Uint32Array(2), Uint32Array.of(65536, 65536)];
    let [here, there] = [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY];
    for (let round = 0; round < 6; round++) {
      const start = performance.now();
      this.many(memory, offsets, lengths, 2, PLAIN_START);
      const middle = performance.now();
      crypto.createHash("sha256").update(memory).update(memory).digest();
      here = Math.min(here, middle - start);
      there = Math.min(there, performance.now() - middle);
    }
    return here < 0.9 * there;
  }
}

let mine: NativeSha256 | null | undefined;

/** This thread's, or undefined where there is none. */
export function nativeSha256(): NativeSha256 | undefined {
  if (mine === undefined) mine = NativeSha256.make() ?? null;
  return mine ?? undefined;
}
