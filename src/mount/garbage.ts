// Keeping the serving process small. Decrypted chunks are megabytes outside the heap, which a collector notices late: V8 lets 64 MiB of them pile up
// and more. A mount lives for days, so it asks for a collection after each so many bytes it has decrypted. One takes
// 5 to 7 ms on a heap of this size, against 70 ms or more to decrypt that much.
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { releaseMemory } from "./resident.ts";

/** Bytes decrypted between two collections. */
const EVERY = 8 << 20;

/** How often what is resident is looked after while there is work, in milliseconds. */
const TIDY_MS = 1000;

type Collect = () => void;

function findCollector(): Collect | undefined {
  const { Bun: bun, gc } = globalThis as { Bun?: { gc(wait: boolean): void }; gc?: Collect };
  if (bun) return () => bun.gc(true);
  if (gc) return gc;
  try {
    setFlagsFromString("--expose-gc");
    return runInNewContext("gc") as Collect;
  } catch {
    return undefined; // then the runtime's own idea of when has to do
  }
}

let collector: Collect | undefined | null = null;
let sinceLast = 0;
let scheduled = false;

/** Collects soon, between two requests. */
export function collectSoon(): void {
  if (scheduled) return;
  scheduled = true;
  sinceLast = 0;
  setImmediate(() => {
    scheduled = false;
    collect();
  });
}

function collect(): void {
  if (collector === null) collector = findCollector();
  collector?.();
}

let tidying = false;
let busy = false;

/** Says that there was work: while there is, and once more when there is no more, memory is given back. */
export function working(): void {
  busy = true;
  if (tidying) return;
  tidying = true;
  const timer = setInterval(() => {
    if (!busy) {
      collect();
      clearInterval(timer);
      tidying = false;
    }
    busy = false;
    releaseMemory();
  }, TIDY_MS);
  timer.unref();
}

/** Gives back at once what starting has left behind. */
export function tidyNow(): void {
  collect();
  releaseMemory();
}

/** The same when who waits for an answer has it. */
export function tidySoon(): void {
  setTimeout(tidyNow, 100).unref();
}

/** Counts bytes that were decrypted. */
export function decrypted(bytes: number): void {
  sinceLast += bytes;
  if (sinceLast >= EVERY) collectSoon();
}
