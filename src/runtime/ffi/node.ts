// Foreign calls on Node through its own node:ffi (from Node 26), for installations without koffi.
import { createRequire } from "node:module";
import process from "node:process";
import type { CFunction, CType, Ffi } from "./types.ts";

type BigFunction = (...args: (number | bigint)[]) => number | bigint;

interface NodeFfi {
  DynamicLibrary: new (
    path: string,
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
  return {
    name: "node:ffi",
    open(names) {
      for (const name of names) {
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
          const location = bind("__errno_location", "word", []);
          if (location && errnoAddress === undefined) errnoAddress = BigInt(location());
          return { bind };
        } catch {
          // the next name
        }
      }
      return undefined;
    },
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
  const wide = signature.arguments.map((a) => a.endsWith("64"));
  const [a, b, c, d, e] = wide;
  const w = (is: boolean | undefined, v: number): number | bigint => (is ? BigInt(v) : v);
  switch (wide.length) {
    case 0:
      return () => Number(f());
    case 1:
      return (p) => Number(f(w(a, p!)));
    case 2:
      return (p, q) => Number(f(w(a, p!), w(b, q!)));
    case 3:
      return (p, q, r) => Number(f(w(a, p!), w(b, q!), w(c, r!)));
    case 4:
      return (p, q, r, s) => Number(f(w(a, p!), w(b, q!), w(c, r!), w(d, s!)));
    case 5:
      return (p, q, r, s, t) => Number(f(w(a, p!), w(b, q!), w(c, r!), w(d, s!), w(e, t!)));
    default:
      return (...args) => Number(f(...args.map((v, i) => w(wide[i], v))));
  }
}
