// What each runtime's foreign function interface has to offer to the libc table. Only integers cross the
// border: pointers are addresses inside one block of memory that never moves ("the arena"), so that a call
// makes no garbage and needs no per-call conversion.

/**
 * Types of arguments and results, all of them JavaScript numbers: `i32`, `u32` fixed; `word` an address or
 * size_t; `long` a ssize_t or long; `i64` fixed (off_t of the 64-bit calls, dev_t). Results stay below 2^53.
 */
export type CType = "i32" | "u32" | "word" | "long" | "i64";

export type CFunction = (...args: number[]) => number;

export interface CLibrary {
  /** The function, or undefined where the library has no such symbol. */
  bind(symbol: string, result: CType, args: readonly CType[]): CFunction | undefined;
}

export interface Ffi {
  readonly name: string;
  /** Opens the first library of the list that loads; undefined if none does. */
  open(names: readonly string[]): CLibrary | undefined;
  /** What the running program itself exports, its own libraries among it; absent where that cannot be reached. */
  openSelf?(): CLibrary | undefined;
  /** Address of a view's first byte, as long as its buffer is neither detached nor collected. */
  address(memory: Uint8Array): number;
  /** Copies foreign memory. The caller vouches for the address. */
  peek(address: number, length: number): Uint8Array;
  /** errno of this thread's last call; only meaningful directly after a call that failed. */
  errno(): number;
}
