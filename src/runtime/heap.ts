// How V8 spends memory and time. By itself it takes 100 MB for what a backup's main thread keeps 10 MB of: young objects get
// two halves of 16 MB, and old garbage may double the heap before it is looked at.
import { setFlagsFromString } from "node:v8";
import { libc } from "./libc.ts";

const SMALL_HEAP = ["--optimize-for-size"];
// glibc's M_ARENA_MAX, M_MMAP_THRESHOLD and M_TRIM_THRESHOLD. An arena for each thread and large blocks among small ones keep
// 12 MB that nobody uses.
const ONE_ARENA = [
  [-8, 1],
  [-3, 128 << 10],
  [-1, 128 << 10],
] as const;
const SHARED_BUILTINS = ["--no-short-builtin-calls"];
const FEW_COMPILED = [
  "--invocation-count-for-turbofan=1000000",
  "--invocation-count-for-maglev=2000",
  "--no-osr-from-maglev",
];
/** From here on there is a first optimising compiler, which is used unless the engine's owner decided otherwise. */
const TWO_COMPILERS = 13;

/** Keeps this process's heap small from now on, for some more collections: 100 MB less in a first backup. Nothing on
 *  engines that have no such switches. */
export function keepHeapSmall(): void {
  setFlags(SMALL_HEAP);
  const mallopt = libc()?.find("mallopt");
  for (const [option, value] of ONE_ARENA) mallopt?.(option, value);
}

const TRIM_MS = 500;
let trimmed = 0;

/** Gives memory that was freed back to the system, at most twice a second: compilers and startup leave 8 MB behind. Costs
 *  less than a millisecond. Nothing where the C library is not glibc. */
export function giveBackMemory(): void {
  const now = performance.now();
  if (now - trimmed < TRIM_MS) return;
  trimmed = now;
  libc()?.find("malloc_trim")?.(0);
}

/** Leaves functions to the engine's first optimising compiler, until they were called a million times and not 3,000: its
 *  code is nearly as good, and each thread compiles its own. 8 % of a first backup of 92,000 files. That one has its turn after
 *  2,000 calls, not 400: 2 % of a backup in which nothing has changed. Nor is the last one used within a loop that is under
 *  way: 10 ms for each of a few loops, which are over before that has paid (5 % of a backup of 1 % changes). */
export function compileLess(): void {
  if (Number.parseInt(process.versions.v8 ?? "0", 10) >= TWO_COMPILERS) setFlags(FEW_COMPILED);
}

/** Threads that are started from now on use the engine's own functions where they are, instead of mapping them once more
 *  beside their code: 2 MB less in each, at the same speed. */
export function shareBuiltins(): void {
  setFlags(SHARED_BUILTINS);
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
