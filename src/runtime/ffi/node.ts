// Foreign calls on Node through its own node:ffi (from Node 26), for installations without koffi.
import { createRequire } from "node:module";
import process from "node:process";
import type { CFunction, CLibrary, CType, Ffi } from "./types.ts";

type BigFunction = (...args: (number | bigint)[]) => number | bigint;

interface NodeFfi {
  DynamicLibrary: new (
    path: string | null,
  ) => { getFunction(name: string, signature: { arguments: string[]; return: string }): BigFunction };
  getRawPointer(buffer: ArrayBufferView): bigint;
  getInt32(address: bigint): number;
  toBuffer(address: bigint, length: number, copy?: boolean): Uint8Array;
}

export function nodeFfi(): Ffi | undefined {
  const ffi = load();
  if (!ffi) return undefined;
  const bits = process.arch === "arm" || process.arch === "ia32" ? "32" : "64";
  const types: Record<CType, string> = {
    i32: "int32",
    u32: "uint32",
    word: `uint${bits}`,
    long: `int${bits}`,
    i64: "int64",
  };
  let errnoAddress: bigint | undefined;
  /** @param name null: the program itself */
  const open = (name: string | null): CLibrary | undefined => {
    try {
      const library = new ffi.DynamicLibrary(name);
      const bind = (symbol: string, result: CType, args: readonly CType[]): CFunction | undefined => {
        try {
          const signature = { arguments: args.map((a) => types[a]), return: types[result] };
          return numbersOnly(library.getFunction(symbol, signature), signature);
        } catch {
          return undefined;
        }
      };
      if (errnoAddress === undefined) {
        const location = bind("__errno_location", "word", []);
        if (location) errnoAddress = BigInt(location());
      }
      return { bind };
    } catch {
      return undefined;
    }
  };
  return {
    name: "node:ffi",
    open(names) {
      for (const name of names) {
        const library = open(name);
        if (library) return library;
      }
      return undefined;
    },
    openSelf: () => open(null),
    address: (memory) => Number(ffi.getRawPointer(memory)),
    peek: (address, length) => Uint8Array.from(ffi.toBuffer(BigInt(address), length, true)),
    errno: () => (errnoAddress === undefined ? 0 : ffi.getInt32(errnoAddress)),
  };
}

/** Loading it prints "FFI is an experimental feature" to the terminal: the user did not ask, so it is held back. */
function load(): NodeFfi | undefined {
  const emitWarning = process.emitWarning;
  try {
    process.emitWarning = () => {};
    return createRequire(import.meta.url)("node:ffi") as NodeFfi;
  } catch {
    return undefined;
  } finally {
    process.emitWarning = emitWarning;
  }
}

/** node:ffi takes and gives bigints for 64-bit integers; everything here fits a number. */
function numbersOnly(f: BigFunction, signature: { arguments: string[]; return: string }): CFunction {
  const to = signature.arguments.map((a) => (a.endsWith("64") ? wide() : narrow));
  const [a, b, c, d, e] = to as [Converter, Converter, Converter, Converter, Converter];
  switch (to.length) {
    case 0:
      return () => Number(f());
    case 1:
      return (p) => Number(f(a(p!)));
    case 2:
      return (p, q) => Number(f(a(p!), b(q!)));
    case 3:
      return (p, q, r) => Number(f(a(p!), b(q!), c(r!)));
    case 4:
      return (p, q, r, s) => Number(f(a(p!), b(q!), c(r!), d(s!)));
    case 5:
      return (p, q, r, s, t) => Number(f(a(p!), b(q!), c(r!), d(s!), e(t!)));
    default:
      return (...args) => Number(f(...args.map((v, i) => to[i]!(v))));
  }
}

type Converter = (value: number) => number | bigint;

const narrow: Converter = (value) => value;

/** Most arguments are the same as last time: places in the arena, and sizes. */
function wide(): Converter {
  let last = 0;
  let made = 0n;
  return (value) => {
    if (value !== last) {
      made = BigInt(value);
      last = value;
    }
    return made;
  };
}
