// The WebAssembly core: one compiled module a process, one instance and one linear memory a thread. Kernels work
// on addresses in that memory, so that data is read from a file straight into it and never copied again; the
// methods over Uint8Array copy small things in (data that already lies in the memory is used where it is).

import { MemoryLimitExceeded } from "../errors.ts";
import { lendCrc32 } from "../runtime/crc32.ts";
import type { CoreExports } from "./exports.ts";
import { engineLanes, type Lanes } from "./lanes.ts";
import { wasmBase64 } from "./wasm.generated.ts";

const PAGE = 65536;
const DIGEST = 32;
const HMAC_SLOT = 64;
const BLAKE2B_SLOT = 400;
const XXH64_STATE = 88;
const HASH_BLOCK = 128 << 10;

let compiled: WebAssembly.Module | undefined;
let instance: Core | undefined;

const MAX_MEMORY = 2 ** 31 - 65536;

/** The compiled module; can be posted to a worker, which passes it to `loadCore`. */
export function coreModule(): WebAssembly.Module {
  compiled ??= new WebAssembly.Module(Buffer.from(wasmBase64, "base64"));
  return compiled;
}

/** This thread's core, compiled and instantiated at the first call. `module`: one posted by another thread. */
export function loadCore(module?: WebAssembly.Module): Core {
  if (module) compiled ??= module;
  if (!instance) {
    instance = new Core(coreModule());
    const core = instance;
    lendCrc32((data, seed) => core.crc32Bytes(data, seed));
  }
  return instance;
}

/** Largest number of bytes `lz4Compress` can produce for n bytes. */
export function lz4Bound(n: number): number {
  return n + Math.floor(n / 255) + 16;
}

// By content: a caller may overwrite its key array.
function same(a: Uint8Array | undefined, b: Uint8Array): boolean {
  return a !== undefined && Buffer.compare(a, b) === 0;
}

/** An instance with its memory. Most code wants `loadCore()`; tests and benchmarks make their own. */
export class Core {
  readonly raw: CoreExports;
  readonly memory: WebAssembly.Memory;
  /** The whole memory. Replaced whenever `alloc` grows it: take it anew after each call that may allocate. */
  u8: Uint8Array<ArrayBuffer>;
  /** The whole memory as u32, for tables of (address, length) pairs. */
  u32: Uint32Array<ArrayBuffer>;
  #top: number;
  #stage = 0;
  #stageSize = 0;
  /** Where crc32Bytes() puts pieces: there from the beginning, as memory that grows takes the views of its callers away. */
  readonly #crcPiece: number;
  /** Regions that were given back, and sizes of those that were not, by address. */
  readonly #free: { at: number; size: number }[] = [];
  readonly #borrowed = new Map<number, number>();
  readonly #out: number;
  readonly #pair: number;
  readonly #xxh: number;
  readonly #hmacSlots: number[] = [];
  readonly #blake2bSlots: number[] = [];
  readonly #lastKey: Record<"hmac" | "blake2b", Uint8Array | undefined> = {
    hmac: undefined,
    blake2b: undefined,
  };

  /** `lanes`: the variant of the hash kernels, by default the one that this engine runs fastest. */
  constructor(module: WebAssembly.Module, lanes: Lanes = engineLanes()) {
    this.raw = new WebAssembly.Instance(module, {
      env: {
        abort: () => {
          throw new Error("the WebAssembly core stopped");
        },
      },
    }).exports as unknown as CoreExports;
    this.memory = this.raw.memory;
    this.raw.sha256Lanes(lanes.sha256 === 5 ? 5 : 4, lanes.sha256 === "4c");
    this.raw.blake2bLanes(lanes.blake2b === 5 ? 5 : 3, lanes.blake2b === "3c");
    this.u8 = new Uint8Array(this.memory.buffer as ArrayBuffer);
    this.u32 = new Uint32Array(this.memory.buffer as ArrayBuffer);
    this.#top = this.raw.heapBase() >>> 0;
    this.#out = this.alloc(DIGEST);
    this.#pair = this.alloc(8);
    this.#xxh = this.alloc(XXH64_STATE);
    this.#crcPiece = this.alloc(PAGE);
  }

  /** Reserves a region for good and returns its address; the memory grows when needed. Contents are zero. */
  alloc(bytes: number, align = 64): number {
    const at = Math.ceil(this.#top / align) * align;
    const end = at + bytes;
    const size = this.memory.buffer.byteLength;
    // Above 2 GiB addresses would be negative numbers to the kernels.
    if (end > MAX_MEMORY) throw new MemoryLimitExceeded(end, MAX_MEMORY);
    // 16 spare bytes at the end: kernels may read (never write) a vector past a region.
    if (end + 16 > size) {
      this.memory.grow(Math.ceil((end + 16 - size) / PAGE));
      this.u8 = new Uint8Array(this.memory.buffer as ArrayBuffer);
      this.u32 = new Uint32Array(this.memory.buffer as ArrayBuffer);
    }
    this.#top = end;
    return at;
  }

  /** As alloc(), for a time: until giveBack(). What is in the region is what others have left there. */
  borrow(bytes: number): number {
    const size = Math.ceil(Math.max(bytes, 1) / PAGE) * PAGE;
    let best = -1;
    for (const [i, free] of this.#free.entries())
      if (free.size >= size && (best < 0 || free.size < this.#free[best]!.size)) best = i;
    const region = best < 0 ? { at: this.alloc(size), size } : this.#free.splice(best, 1)[0]!;
    this.#borrowed.set(region.at, region.size);
    return region.at;
  }

  /** The region may be given to others. Nothing where it was given back before. */
  giveBack(at: number): void {
    const size = this.#borrowed.get(at);
    if (size === undefined) return;
    this.#borrowed.delete(at);
    this.#free.push({ at, size });
  }

  /** A view of [ptr, ptr + length), valid until the memory grows. */
  view(ptr: number, length: number): Uint8Array<ArrayBuffer> {
    return this.u8.subarray(ptr, ptr + length);
  }

  /** A copy of [ptr, ptr + length). */
  copy(ptr: number, length: number): Uint8Array<ArrayBuffer> {
    return this.u8.slice(ptr, ptr + length);
  }

  /**
   * Address of the bytes of `data`: their own where they lie in this memory, else the staging region, into which
   * they are copied; the next call to `stage` overwrites that.
   */
  stage(data: Uint8Array): number {
    if (data.buffer === this.memory.buffer) return data.byteOffset;
    const at = this.stageRegion(data.length);
    this.u8.set(data, at);
    return at;
  }

  /** The staging region with room for at least `size` bytes. */
  stageRegion(size: number): number {
    if (size > this.#stageSize) {
      // Doubling: the regions given up sum to less than the one in use.
      this.#stageSize = Math.max(PAGE, 2 ** Math.ceil(Math.log2(size)));
      this.#stage = this.alloc(this.#stageSize);
    }
    return this.#stage;
  }

  /** True when the range holds zeros only. */
  isZero(ptr: number, length: number): boolean {
    return this.raw.isZero(ptr, length) !== 0;
  }

  /** SHA-256. */
  sha256(data: Uint8Array): Uint8Array<ArrayBuffer> {
    const p = this.stage(data);
    this.raw.sha256(p, data.length, this.#out);
    return this.copy(this.#out, DIGEST);
  }

  /** SHA-256 of n messages, several at a time: `table` = n pairs (ptr u32, len u32), digest i at out + 32 · i. */
  sha256Many(table: number, n: number, out: number): void {
    this.raw.sha256Many(table, n, out);
  }

  /** HMAC-SHA256; the prepared key is remembered until another one comes. */
  hmacSha256(key: Uint8Array, data: Uint8Array): Uint8Array<ArrayBuffer> {
    if (!same(this.#lastKey.hmac, key)) {
      this.hmacSetKey(0, key);
      this.#lastKey.hmac = key.slice();
    }
    const p = this.stage(data);
    this.u32[this.#pair >> 2] = p;
    this.u32[(this.#pair >> 2) + 1] = data.length;
    this.raw.hmacSha256Many(this.#hmacSlots[0]!, this.#pair, 1, this.#out);
    return this.copy(this.#out, DIGEST);
  }

  /** Prepares `key` in slot 1, 2, … for `hmacSha256Many` (slot 0 is `hmacSha256`'s own). */
  hmacSetKey(slot: number, key: Uint8Array): void {
    this.#hmacSlots[slot] ??= this.alloc(HMAC_SLOT);
    if (slot === 0) this.#lastKey.hmac = undefined;
    this.raw.hmacSha256SetKey(this.#hmacSlots[slot]!, this.stage(key), key.length);
  }

  /** HMAC-SHA256 of n messages, several at a time; table and out as for `sha256Many`. */
  hmacSha256Many(slot: number, table: number, n: number, out: number): void {
    this.raw.hmacSha256Many(this.#slot(this.#hmacSlots, slot), table, n, out);
  }

  /** HMAC's second pass over n digests of the first (32-byte messages of the table), with the key of `slot`. */
  hmacOuterMany(slot: number, table: number, n: number, out: number): void {
    this.raw.hmacSha256Outer(this.#slot(this.#hmacSlots, slot), table, n, out);
  }

  /** BLAKE2b-256 of key ‖ data: Borg's `blake2b_256`. The prepared key is remembered like `hmacSha256`'s. */
  blake2bPrefix(key: Uint8Array, data: Uint8Array): Uint8Array<ArrayBuffer> {
    if (!same(this.#lastKey.blake2b, key)) {
      this.blake2bSetKey(0, key);
      this.#lastKey.blake2b = key.slice();
    }
    const p = this.stage(data);
    this.raw.blake2b(this.#blake2bSlots[0]!, p, data.length, this.#out);
    return this.copy(this.#out, DIGEST);
  }

  /** Prepares the prefix `key` in slot 1, 2, … for `blake2bMany` (slot 0 is `blake2bPrefix`'s own). */
  blake2bSetKey(slot: number, key: Uint8Array): void {
    this.#blake2bSlots[slot] ??= this.alloc(BLAKE2B_SLOT);
    if (slot === 0) this.#lastKey.blake2b = undefined;
    this.raw.blake2bSetKey(this.#blake2bSlots[slot]!, this.stage(key), key.length);
  }

  /** BLAKE2b-256 of key ‖ message for n messages, several at a time; table and out as for `sha256Many`. */
  blake2bMany(slot: number, table: number, n: number, out: number): void {
    this.raw.blake2bMany(this.#slot(this.#blake2bSlots, slot), table, n, out);
  }

  #slot(slots: number[], slot: number): number {
    const at = slots[slot];
    if (at === undefined) throw new RangeError(`no key was set in slot ${slot}`);
    return at;
  }

  /** One LZ4 block as liblz4's fast level writes it; its length, or 0 when it needs more than `cap` bytes. */
  lz4Compress(src: number, length: number, dst: number, cap: number): number {
    return this.raw.lz4Compress(src, length, dst, cap) >>> 0;
  }

  /** Decodes one LZ4 block; the decoded length, or −1 when it is damaged or longer than `cap`. */
  lz4Decompress(src: number, length: number, dst: number, cap: number): number {
    return this.raw.lz4Decompress(src, length, dst, cap);
  }

  /** CRC-32, continuing from `seed`. */
  crc32(ptr: number, length: number, seed = 0): number {
    return this.raw.crc32(ptr, length, seed) >>> 0;
  }

  /** Of bytes anywhere: they go through memory that nobody else uses, so that what others have staged stays as it is. */
  crc32Bytes(data: Uint8Array, seed = 0): number {
    let sum = seed;
    for (let from = 0; from < data.length; from += PAGE) {
      const piece = data.subarray(from, from + PAGE);
      this.u8.set(piece, this.#crcPiece);
      sum = this.crc32(this.#crcPiece, piece.length, sum);
    }
    return sum;
  }

  /** XXH64 as an unsigned 64-bit number. */
  xxh64(ptr: number, length: number, seed = 0n): bigint {
    return BigInt.asUintN(64, this.raw.xxh64(ptr, length, seed));
  }

  /** Runs `work` with a streaming state loaded into the memory and stores the state back. For `Xxh64`. */
  withXxh64(state: Uint8Array, work: (at: number) => void): void {
    this.u8.set(state, this.#xxh);
    work(this.#xxh);
    state.set(this.u8.subarray(this.#xxh, this.#xxh + XXH64_STATE));
  }
}

/** Streaming XXH64. The state lives outside the core's memory between calls, so any number may be open. */
export class Xxh64 {
  readonly #core: Core;
  readonly #state = new Uint8Array(XXH64_STATE);

  constructor(core: Core = loadCore(), seed = 0n) {
    this.#core = core;
    core.withXxh64(this.#state, (s) => core.raw.xxh64Init(s, seed));
  }

  update(data: Uint8Array): this {
    const core = this.#core;
    // What lies elsewhere goes through the staging region piece by piece: files of megabytes would make it as large as
    // themselves for good.
    const step = data.buffer === core.memory.buffer ? data.length : HASH_BLOCK;
    for (let at = 0; at < data.length; at += step) {
      const piece = data.subarray(at, at + step);
      const p = core.stage(piece);
      core.withXxh64(this.#state, (s) => core.raw.xxh64Update(s, p, piece.length));
    }
    return this;
  }

  /** The hash of everything so far; more may follow. */
  digest(): bigint {
    let h = 0n;
    this.#core.withXxh64(this.#state, (s) => {
      h = this.#core.raw.xxh64Digest(s);
    });
    return BigInt.asUintN(64, h);
  }

  /** 16 lower-case hexadecimal digits, as Borg writes them. */
  digestHex(): string {
    return this.digest().toString(16).padStart(16, "0");
  }
}
