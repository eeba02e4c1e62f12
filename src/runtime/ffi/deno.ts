// Foreign calls on Deno through Deno.dlopen; needs --allow-ffi, and is skipped without a question otherwise.
import type { CFunction, CType, Ffi } from "./types.ts";

type Pointer = object | null;

interface DenoApi {
  dlopen(
    path: string,
    symbols: Record<string, { parameters: string[]; result: string }>,
  ): { symbols: Record<string, (...args: number[]) => number | bigint> };
  permissions?: { querySync?(d: { name: string }): { state: string } };
  UnsafePointer: {
    of(view: ArrayBufferView): Pointer;
    value(p: Pointer): number | bigint;
    create(v: bigint): Pointer;
  };
  UnsafePointerView: new (
    p: Pointer,
  ) => { getInt32(offset?: number): number; copyInto(to: Uint8Array): void };
}

const types: Record<CType, string> = { i32: "i32", u32: "u32", word: "usize", long: "isize", i64: "i64" };

export function denoFfi(): Ffi | undefined {
  const deno = (globalThis as { Deno?: DenoApi }).Deno;
  if (!deno || typeof deno.dlopen !== "function") return undefined;
  if (deno.permissions?.querySync?.({ name: "ffi" }).state !== "granted") return undefined;
  let errnoView: { getInt32(offset?: number): number } | undefined;
  return {
    name: "Deno.dlopen",
    open(names) {
      for (const name of names) {
        const bind = (symbol: string, result: CType, args: readonly CType[]): CFunction | undefined => {
          try {
            const table = { [symbol]: { parameters: args.map((a) => types[a]), result: types[result] } };
            const f = deno.dlopen(name, table).symbols[symbol]!;
            // 64-bit results come as bigint; all of ours fit a number.
            return result === "i32" || result === "u32" ? (f as CFunction) : (...a) => Number(f(...a));
          } catch {
            return undefined;
          }
        };
        const location = bind("__errno_location", "word", []) ?? bind("__error", "word", []);
        if (!location) continue;
        errnoView = new deno.UnsafePointerView(deno.UnsafePointer.create(BigInt(location())));
        return { bind };
      }
      return undefined;
    },
    address: (memory) => Number(deno.UnsafePointer.value(deno.UnsafePointer.of(memory))),
    peek(address, length) {
      const out = new Uint8Array(length);
      new deno.UnsafePointerView(deno.UnsafePointer.create(BigInt(address))).copyInto(out);
      return out;
    },
    errno: () => errnoView?.getInt32() ?? 0,
  };
}
