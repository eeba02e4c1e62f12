// How V8 spends memory and time. By itself it takes 100 MB for what a backup's main thread keeps 10 MB of: young objects get
// two halves of 16 MB, and old garbage may double the heap before it is looked at.
import { setFlagsFromString } from "node:v8";

const SMALL_HEAP = ["--semi-space-growth-factor=1", "--heap-growing-percent=40"];
const FEW_COMPILED = ["--invocation-count-for-turbofan=1000000"];
/** From here on there is a first optimising compiler, which is used unless the engine's owner decided otherwise. */
const TWO_COMPILERS = 13;

/** Keeps this process's heap small from now on, for some more collections: 100 MB less in a first backup, 3 to 6 % more
 *  CPU time; more where much garbage is made. Nothing on engines that have no such switches. */
export function keepHeapSmall(): void {
  setFlags(SMALL_HEAP);
}

/** Leaves functions to the engine's first optimising compiler, until they were called a million times and not 3,000: its
 *  code is nearly as good, and each thread compiles its own. 8 % of a first backup of 92,000 files. */
export function compileLess(): void {
  if (Number.parseInt(process.versions.v8 ?? "0", 10) >= TWO_COMPILERS) setFlags(FEW_COMPILED);
}

function setFlags(flags: readonly string[]): void {
  try {
    for (const flag of flags) setFlagsFromString(flag);
  } catch {
    // Bun's engine has other ways, and Deno does not let programs choose: they stay as they are.
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
