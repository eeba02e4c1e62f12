// Keeping the serving process small. Decrypted chunks are megabytes outside the heap, which a collector notices late:
// V8 lets 64 MiB of them pile up and more. A mount lives for days, so it asks for collections after so many bytes that
// it has decrypted, and gives back memory when there is a pause.
import { collectGarbage } from "../runtime/collector.ts";
import { releaseMemory } from "./resident.ts";

/** Bytes decrypted between two collections. */
const EVERY = 16 << 20;
/** What a request counts for: objects of a few hundred bytes to 2 KB, of which the old generation gets some. */
const A_REQUEST = 8192;
/** What comes on top for each byte of a directory's entries. */
const GARBAGE_PER_BYTE = 4;
/** How often what is resident is looked after while there is work, in milliseconds. */
const TIDY_MS = 500;

let sinceLast = 0;
let scheduled = false;
let tidying = false;
let busy = false;
const spares: (() => void)[] = [];

/** Has something done whenever memory is given back. */
export function whenTidying(work: () => void): void {
  spares.push(work);
}

/** Counts a request. @param entries bytes of directory entries in its answer */
export function answered(entries = 0): void {
  decrypted(A_REQUEST + GARBAGE_PER_BYTE * entries);
}

/** Counts bytes that were decrypted to memory of their own, and collects between two requests. */
export function decrypted(bytes: number): void {
  sinceLast += bytes;
  if (sinceLast < EVERY || scheduled) return;
  scheduled = true;
  setImmediate(() => {
    scheduled = false;
    sinceLast = 0;
    collectGarbage();
    // The collector itself has touched 10 MB of the program's code.
    giveBack();
  });
}

/** Says that there was work: while there is, and once more when there is no more, memory is given back. */
export function working(): void {
  busy = true;
  if (tidying) return;
  tidying = true;
  const timer = setInterval(() => {
    if (busy) giveBack();
    else {
      tidyNow();
      clearInterval(timer);
      tidying = false;
    }
    busy = false;
  }, TIDY_MS);
  timer.unref();
}

function giveBack(): void {
  for (const work of spares) work();
  releaseMemory();
}

function tidyNow(): void {
  collectGarbage();
  giveBack();
}

/** Gives back what starting or loading has left behind, when who waits for an answer has it. */
export function tidySoon(): void {
  setTimeout(tidyNow, 100).unref();
}
