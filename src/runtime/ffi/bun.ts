// Foreign calls on Bun through bun:ffi.
import { createRequire } from "node:module";
import type { CFunction, CType, Ffi } from "./types.ts";

interface BunFfi {
  dlopen(
    path: string,
    symbols: Record<string, { args: string[]; returns: string }>,
  ): { symbols: Record<string, (...args: number[]) => number | bigint> };
  ptr(view: ArrayBufferView): number;
  read: { i32(address: number, offset: number): number };
  toArrayBuffer(address: number, offset: number, length: number): ArrayBuffer;
}

// "i64_fast" and "u64_fast" give a number wherever it fits.
const types: Record<CType, string> = {
  i32: "i32",
  u32: "u32",
  word: "u64_fast",
  long: "i64_fast",
  i64: "i64_fast",
};

export function bunFfi(): Ffi | undefined {
  let ffi: BunFfi;
  try {
    ffi = createRequire(import.meta.url)("bun:ffi") as BunFfi;
  } catch {
    return undefined;
  }
  let errnoAddress = 0;
  return {
    name: "bun:ffi",
    open(names) {
      for (const name of names) {
        const bind = (symbol: string, result: CType, args: readonly CType[]): CFunction | undefined => {
          try {
            const table = { [symbol]: { args: args.map((a) => types[a]), returns: types[result] } };
            return ffi.dlopen(name, table).symbols[symbol] as CFunction;
          } catch {
            return undefined;
          }
        };
        const location = bind("__errno_location", "word", []) ?? bind("__error", "word", []);
        if (!location) continue;
        errnoAddress = Number(location());
        return { bind };
      }
      return undefined;
    },
    address: (memory) => ffi.ptr(memory),
    peek: (address, length) => new Uint8Array(ffi.toArrayBuffer(address, 0, length)).slice(),
    errno: () => (errnoAddress === 0 ? 0 : ffi.read.i32(errnoAddress, 0)),
  };
}
