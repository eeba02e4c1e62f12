// What `alcove benchmark cpu` shows: every primitive in every implementation present on this machine and runtime
// (the WebAssembly core, the host, plain JavaScript), and which of them is used.

import { nativeCrc32 } from "../runtime/crc32.ts";
import { type Choice, choose } from "./choose.ts";
import { createHasher, type HashKind } from "./hasher.ts";
import * as host from "./host.ts";
import { Core, coreModule, lz4Bound } from "./index.ts";
import { laneVariants } from "./lanes.ts";

export interface BenchmarkOptions {
  /** Seconds each implementation is measured for; 0.3 by default. */
  seconds?: number;
  /** The choice to report as used; this process's by default. */
  choice?: Choice;
  /** Also measures the JavaScript implementations (slow ones; true by default). */
  javascript?: boolean;
}

export interface BenchmarkResult {
  primitive: string;
  /** What the figure was measured on, such as "1 MiB messages". */
  on: string;
  implementation: "wasm" | "host" | "javascript";
  /** Where the core has several kernels for it: which, by the number of messages taken at once. */
  variant?: string;
  /** 10^6 bytes a second. */
  mbPerSecond: number;
  /** Whether this implementation serves such data on this machine. */
  used: boolean;
}

const BIG = 1 << 20;
const SMALL = 4096;
const TOTAL = 4 << 20;

interface Work {
  primitive: string;
  on: string;
  bytes: number;
  wasm?: () => void;
  /** The name of `wasm`, and what else the core has; "used" says nothing of those. */
  variant?: string;
  others?: Record<string, () => void>;
  host?: () => void;
  javascript?: () => void;
  used: BenchmarkResult["implementation"];
}

/** Measures; takes `seconds` for each implementation, some eight seconds in all. */
export function benchmarkCpu(options: BenchmarkOptions = {}): BenchmarkResult[] {
  const { seconds = 0.3, choice = choose(), javascript = true } = options;
  const results: BenchmarkResult[] = [];
  for (const work of works(choice)) {
    for (const implementation of ["wasm", "host", "javascript"] as const) {
      const run = work[implementation];
      if (!run || (implementation === "javascript" && !javascript)) continue;
      const { primitive, on, variant, others = {} } = work;
      const measured = (run: () => void) => rate(work.bytes, run, seconds) / 1e6;
      const result = { primitive, on, implementation, mbPerSecond: measured(run) };
      const used = implementation === work.used;
      if (implementation !== "wasm") results.push({ ...result, used });
      else {
        results.push({ ...result, ...(variant && { variant }), used });
        for (const [variant, run] of Object.entries(others))
          results.push({ ...result, variant, mbPerSecond: measured(run), used: false });
      }
    }
  }
  return results;
}

function works(choice: Choice): Work[] {
  const core = new Core(coreModule());
  const data = core.alloc(TOTAL + 64);
  fill(core.view(data, TOTAL));
  const [hmacKey, blakeKey] = [new Uint8Array(32).fill(1), new Uint8Array(128).fill(2)];
  core.hmacSetKey(1, hmacKey);
  core.blake2bSetKey(1, blakeKey);
  const list: Work[] = [];
  const blake2b256 = host.blake2b256();
  // The kernels' other variants work on cores of their own.
  const [own, ...others] = laneVariants();
  const cores = others.map((lanes) => {
    const other = new Core(coreModule(), lanes);
    const at = other.alloc(TOTAL + 64);
    fill(other.view(at, TOTAL));
    other.blake2bSetKey(1, blakeKey);
    return { lanes, core: other, data: at };
  });

  for (const size of [SMALL, BIG]) {
    const n = TOTAL / size;
    const table = core.alloc(8 * n);
    const out = core.alloc(32 * n);
    const views = Array.from({ length: n }, (_, i) => {
      core.u32[table / 4 + 2 * i] = data + i * size;
      core.u32[table / 4 + 2 * i + 1] = size;
      return () => core.view(data + i * size, size);
    });
    const each = (work: (message: Uint8Array) => void) => () => {
      for (const view of views) work(view());
    };
    // The way the pipeline calls the host.
    const hosted = (kind: HashKind) => {
      const hasher = createHasher(core, kind, { ...choice, sha256HostFrom: 0, hmacHostFrom: 0 });
      return () => hasher.many(table, n, out);
    };
    const variants = (
      kernel: "sha256" | "blake2b",
      call: (core: Core, table: number, out: number) => void,
    ): Record<string, () => void> => {
      const found: Record<string, () => void> = {};
      for (const { lanes, core, data } of cores) {
        const name = `${lanes[kernel]} at once`;
        if (lanes[kernel] === own![kernel] || found[name]) continue;
        const [table, out] = [core.alloc(8 * n), core.alloc(32 * n)];
        for (let i = 0; i < n; i++) {
          core.u32[table / 4 + 2 * i] = data + i * size;
          core.u32[table / 4 + 2 * i + 1] = size;
        }
        found[name] = () => call(core, table, out);
      }
      return found;
    };
    const on = size === BIG ? "1 MiB messages" : "4 KiB messages";
    const by = (from: number | null) => (from !== null && size >= from ? "host" : "wasm");
    list.push(
      {
        primitive: "SHA-256",
        on,
        bytes: TOTAL,
        wasm: () => core.sha256Many(table, n, out),
        variant: `${own!.sha256} at once`,
        others: variants("sha256", (core, table, out) => core.sha256Many(table, n, out)),
        host: hosted({ type: "sha256" }),
        used: by(choice.sha256HostFrom),
      },
      {
        primitive: "HMAC-SHA256",
        on,
        bytes: TOTAL,
        wasm: () => core.hmacSha256Many(1, table, n, out),
        variant: `${own!.sha256} at once`,
        host: hosted({ type: "hmac-sha256", key: hmacKey }),
        used: by(choice.hmacHostFrom),
      },
      {
        primitive: "BLAKE2b-256",
        on,
        bytes: TOTAL,
        wasm: () => core.blake2bMany(1, table, n, out),
        variant: `${own!.blake2b} at once`,
        others: variants("blake2b", (core, table, out) => core.blake2bMany(1, table, n, out)),
        host: blake2b256 && each((message) => void blake2b256(blakeKey, message)),
        used: "wasm",
      },
    );
  }

  // The scan that the chunker is made of: all positions, Borg's window and default mask, no skipping.
  const state = core.alloc(2048);
  core.raw.buzhashInit(state, 1, 4095);
  const cuts = core.alloc(64 + 16 * 256) + 64;
  const lane = 65538;
  const scan = () => void core.raw.buzhashScan4(state, data, lane, 2 ** 21 - 1, cuts, 256);
  const crc = nativeCrc32;
  const slot = lz4Bound(BIG);
  const packed = core.alloc(slot);
  const text = core.alloc(BIG);
  prose(core.view(text, BIG));
  const size = core.lz4Compress(text, BIG, packed, slot);
  const back = core.alloc(BIG);
  const block = () => core.view(text, BIG);
  const zlibBlob = host.zlibCodec.compress(block(), 6);
  const zstd = host.zstdCodec();
  const zstdBlob = zstd?.compress(block(), 3);
  const [key, iv] = [new Uint8Array(32), new Uint8Array(16)];
  const one = (
    primitive: string,
    on: string,
    bytes: number,
    used: Work["used"],
    implementations: Partial<Work>,
  ): Work => ({ primitive, on, bytes, used, ...implementations });
  list.push(
    one("buzhash", "256 KiB of random data", 4 * lane, "wasm", {
      wasm: scan,
      variant: "4 streams",
      others: { "1 stream": () => void core.raw.buzhashScan(state, data, 4 * lane, 4095, 2 ** 21 - 1) },
    }),
    one("CRC-32", "1 MiB", BIG, choice.crc32, {
      wasm: () => void core.crc32(data, BIG),
      host: crc && (() => void crc(core.view(data, BIG))),
      javascript: () => void crcTable(core.view(data, BIG)),
    }),
    one("XXH64", "1 MiB", BIG, "wasm", { wasm: () => void core.xxh64(data, BIG) }),
    one("AES-256-CTR", "1 MiB", BIG, "host", {
      host: () => void host.aes256ctr(key, iv, core.view(data, BIG)),
    }),
    one("LZ4 compress", "words", BIG, "wasm", { wasm: () => void core.lz4Compress(text, BIG, packed, slot) }),
    one("LZ4 decompress", "words", BIG, "wasm", {
      wasm: () => void core.lz4Decompress(packed, size, back, BIG),
    }),
    one("zlib,6 compress", "words", BIG, "host", { host: () => void host.zlibCodec.compress(block(), 6) }),
    one("zlib decompress", "words", BIG, "host", {
      host: () => void host.zlibCodec.decompress(zlibBlob, BIG),
    }),
  );
  if (zstd && zstdBlob) {
    list.push(
      one("zstd,3 compress", "words", BIG, "host", { host: () => void zstd.compress(block(), 3) }),
      one("zstd decompress", "words", BIG, "host", { host: () => void zstd.decompress(zstdBlob, BIG) }),
    );
  }
  return list;
}

// Bytes a second: the best of short rounds, after one to warm up.
function rate(bytes: number, work: () => void, seconds: number): number {
  const stop = performance.now() + seconds * 1000;
  let calls = 1;
  let least = Infinity;
  work();
  do {
    const start = performance.now();
    for (let i = 0; i < calls; i++) work();
    const spent = performance.now() - start;
    least = Math.min(least, spent / calls);
    // Rounds long enough for a coarse clock.
    if (spent < 5) calls *= 2;
  } while (performance.now() < stop);
  return bytes / (Math.max(least, 1e-6) / 1000);
}

function fill(out: Uint8Array): void {
  let x = 1;
  for (let i = 0; i < out.length; i++) {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    out[i] = x;
  }
}

// Words of a small vocabulary: compresses about as well as source text.
function prose(out: Uint8Array): void {
  let x = 7;
  const next = () => {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    return x >>> 0;
  };
  const words = Array.from({ length: 2000 }, () =>
    Buffer.from(
      `${next()
        .toString(36)
        .slice(0, 2 + (next() % 6))} `,
    ),
  );
  for (let at = 0; at < out.length; ) {
    // Squared, so that some words are frequent.
    const word = words[Math.floor((next() / 2 ** 32) ** 2 * words.length)]!;
    out.set(word.subarray(0, out.length - at), at);
    at += word.length;
  }
}

let table: Uint32Array | undefined;

// One table look-up a byte: the plain JavaScript that the others are compared with.
function crcTable(data: Uint8Array): number {
  table ??= Uint32Array.from({ length: 256 }, (_, i) => {
    let c = i;
    for (let k = 0; k < 8; k++) c = c & 1 ? (c >>> 1) ^ 0xedb88320 : c >>> 1;
    return c;
  });
  let c = -1;
  for (let i = 0; i < data.length; i++) c = table[(c ^ data[i]!) & 0xff]! ^ (c >>> 8);
  return ~c >>> 0;
}
