// How V8 spends memory and time. By itself it takes 100 MB for what a backup's main thread keeps 10 MB of: young objects get
// two halves of 16 MB, and old garbage may double the heap before it is looked at.
import { setFlagsFromString } from "node:v8";

const FLAGS = ["--semi-space-growth-factor=1", "--heap-growing-percent=40"];
/** A function is worth the second optimising compiler after so many calls, not 3,000: the first one's code is nearly as
 *  good, and each thread compiles its own. 8 % of a first backup of 92,000 files, which this leaves to backups of millions.
 *  Engines without the first one (before V8 13, or by their own choice) keep their ways. */
const PATIENCE = "--invocation-count-for-turbofan=1000000";
const hasFirstCompiler = Number.parseInt(process.versions.v8 ?? "0", 10) >= 13;

/** Makes the engine spend less from now on: its heap stays small, for some more collections (100 MB less in a first
 *  backup, 3 to 6 % more CPU time), and it compiles less. Nothing on engines that have no such switches. */
export function keepEngineLean(): void {
  try {
    for (const flag of FLAGS) setFlagsFromString(flag);
    if (hasFirstCompiler) setFlagsFromString(PATIENCE);
  } catch {
    // Bun's engine has other ways, and Deno does not let programs choose: their heaps stay as they are.
  }
}

/** What a buffer may have behind the view: Bun's ciphers make room for one more block. */
const SLACK = 32;

/** Gives back the memory of a buffer that nobody needs any more, where the runtime can and the view is all of it, from
 *  its first byte on: what begins later is a part of something. Left to the garbage collector, which sees small objects
 *  only, 60 to 300 MB of such buffers gather in each thread. */
export function releaseBuffer(view: Uint8Array): void {
  const { buffer, byteOffset, byteLength } = view;
  if (byteLength === 0 || byteOffset !== 0 || !(buffer instanceof ArrayBuffer)) return;
  // (Slices of Node's pool, which others have parts of, are at most half of it.)
  const rest = buffer.byteLength - byteLength;
  if (rest > SLACK || rest > byteLength / 2) return;
  (buffer as ArrayBuffer & { transfer?: (length: number) => ArrayBuffer }).transfer?.(0);
}
