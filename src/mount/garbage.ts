// Keeping the serving process small. Decrypted chunks are megabytes outside the heap, which a collector notices late:
// V8 lets 64 MiB of them pile up and more. A mount lives for days, so it asks for collections after so many bytes that
// it has decrypted, and gives back memory when there is a pause.
import { findCollector } from "../runtime/collector.ts";
import { releaseMemory } from "./resident.ts";

/** Bytes decrypted between two collections. */
const EVERY = 16 << 20;
/** How often what is resident is looked after while there is work, in milliseconds. */
const TIDY_MS = 1000;

let collector: (() => void) | undefined | null = null;
let sinceLast = 0;
let scheduled = false;
let tidying = false;
let busy = false;

function collect(): void {
  if (collector === null) collector = findCollector();
  collector?.();
}

/** Counts bytes that were decrypted, and collects between two requests. */
export function decrypted(bytes: number): void {
  sinceLast += bytes;
  if (sinceLast < EVERY || scheduled) return;
  scheduled = true;
  setImmediate(() => {
    scheduled = false;
    sinceLast = 0;
    collect();
  });
}

/** Says that there was work: while there is, and once more when there is no more, memory is given back. */
export function working(): void {
  busy = true;
  if (tidying) return;
  tidying = true;
  const timer = setInterval(() => {
    if (busy) releaseMemory();
    else {
      tidyNow();
      clearInterval(timer);
      tidying = false;
    }
    busy = false;
  }, TIDY_MS);
  timer.unref();
}

const idle: (() => void)[] = [];

/** Has something done whenever the process is tidied up after work. */
export function whenIdle(work: () => void): void {
  idle.push(work);
}

function tidyNow(): void {
  for (const work of idle) work();
  collect();
  releaseMemory();
}

/** Gives back what starting or loading has left behind, when who waits for an answer has it. */
export function tidySoon(): void {
  setTimeout(tidyNow, 100).unref();
}
