// Which implementation serves which primitive: measured once a process, in a few milliseconds, and handed to
// workers as plain data. The core's hashes take several messages at once and cost nothing to call; the host's are
// faster a byte where the processor has SHA instructions, but pay for every call. So the answer for a hash is the
// length of message from which on the host is the better one.

import { hasNativeCrc32 } from "../runtime/crc32.ts";
import * as host from "./host.ts";
import { hmacInnerInto, sha256Into } from "./host-hash.ts";
import type { Core } from "./index.ts";
import { loadCore } from "./index.ts";

/** Plain data: can be posted to a worker. Sizes in bytes; `null` stands for "never". */
export interface Choice {
  /** Messages of at least this length are hashed by the host. */
  sha256HostFrom: number | null;
  hmacHostFrom: number | null;
  crc32: "host" | "wasm";
}

let remembered: Choice | undefined;

/** This process's choice: measured at the first call, unless `set` gives the one another thread has measured. */
export function choose(set?: Choice): Choice {
  if (set) remembered = set;
  remembered ??= probe(loadCore());
  return remembered;
}

/** The core for everything, for tests and for machines where nothing shall be measured. */
export const wasmOnly: Choice = { sha256HostFrom: null, hmacHostFrom: null, crc32: "wasm" };

const SAMPLE = 16384;
const SMALL = 64;
const BATCH = 4;

// Seconds a call of `work` takes: the best of a few rounds, so that a preempted one does not count.
function best(rounds: number, calls: number, work: () => void): number {
  let least = Infinity;
  for (let r = 0; r < rounds; r++) {
    const start = performance.now();
    for (let i = 0; i < calls; i++) work();
    least = Math.min(least, performance.now() - start);
  }
  return least / 1000 / calls;
}

function probe(core: Core): Choice {
  const at = core.stageRegion(SAMPLE * BATCH + 1024);
  // Kept by the core for good, like a hasher's.
  const [sha, hmac] = [sha256Into(core), hmacInnerInto(core, new Uint8Array(32))];
  const out = at + SAMPLE * BATCH;
  const data = core.view(at, SAMPLE);
  const measured = (hash: typeof sha) =>
    line(
      SMALL,
      best(12, 30, () => hash(at, SMALL, out)),
      SAMPLE,
      best(3, 3, () => hash(at, SAMPLE, out)),
    );
  const rates = { sha: measured(sha), hmac: measured(hmac) };
  const sha512 = best(3, 3, () => host.sha512(data)) / SAMPLE;
  const instructions = sha512 > 1.2 * rates.sha.perByte;
  // Where the host wins anyway only the length from which on is open, and to measure the core would cost more than a rough
  // figure: its optimised code comes out near the speed of a native SHA-512 (0.92 and 0.85 GB/s on Zen 5).
  const wasmPerByte = instructions ? sha512 : wasmRate(core, at, 15);
  return {
    sha256HostFrom: threshold(rates.sha, wasmPerByte, 0),
    // The host hashes the key's block at every message, which the core does not; the second pass is the core's anyway.
    hmacHostFrom: threshold(rates.hmac, wasmPerByte, 0),
    // Wherever it is there it is two times as fast and more (bench/results): to measure it would be to load it.
    crc32: hasNativeCrc32() ? "host" : "wasm",
  };
}

interface Line {
  perCall: number;
  perByte: number;
}

function line(n1: number, t1: number, n2: number, t2: number): Line {
  const perByte = Math.max((t2 - t1) / (n2 - n1), 1e-12);
  return { perByte, perCall: Math.max(0, t1 - n1 * perByte) };
}

/**
 * Seconds a byte of the four-lane SHA-256, measured for at most `milliseconds`. V8 runs a new module in its
 * baseline code at first and optimises in the background, so the figure is taken again until it stops falling;
 * the work is not lost, as the optimised code is the one used later.
 */
function wasmRate(core: Core, at: number, milliseconds: number): number {
  const table = at + SAMPLE * BATCH;
  const out = table + 8 * BATCH;
  for (let i = 0; i < BATCH; i++) {
    core.u32[table / 4 + 2 * i] = at + i * SAMPLE;
    core.u32[table / 4 + 2 * i + 1] = SAMPLE;
  }
  const stop = performance.now() + milliseconds;
  let least = Infinity;
  do
    least = Math.min(
      least,
      best(1, 1, () => core.sha256Many(table, BATCH, out)),
    );
  while (performance.now() < stop);
  return least / (SAMPLE * BATCH);
}

// The length at which the host's line crosses the core's.
function threshold(host: Line, wasmPerByte: number, wasmPerCall: number): number | null {
  const gain = wasmPerByte - host.perByte;
  if (gain <= 0.05 * wasmPerByte) return null;
  const length = Math.ceil(Math.max(0, host.perCall - wasmPerCall) / gain);
  return length > 1 << 20 ? null : Math.max(length, 128);
}
