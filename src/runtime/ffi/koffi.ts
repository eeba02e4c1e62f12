// Foreign calls on Node through koffi, an optional dependency with prebuilt binaries (glibc and musl).
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import type { CFunction, CLibrary, CType, Ffi } from "./types.ts";

interface Koffi {
  load(path: string | null): { func(name: string, result: string, args: string[]): CFunction };
  address(value: unknown): bigint;
  errno(): number;
  decode(address: bigint, type: string, length: number): ArrayLike<number>;
}

const types: Record<CType, string> = {
  i32: "int32_t",
  u32: "uint32_t",
  word: "uintptr_t",
  long: "intptr_t",
  i64: "int64_t",
};

export function koffiFfi(): Ffi | undefined {
  let koffi: Koffi;
  try {
    koffi = load();
  } catch {
    return undefined; // not installed, or no binary for this machine
  }
  const open = (name: string | null): CLibrary | undefined => {
    let library: ReturnType<Koffi["load"]>;
    try {
      library = koffi.load(name);
    } catch {
      return undefined;
    }
    return {
      bind(symbol, result, args) {
        try {
          return library.func(
            symbol,
            types[result],
            args.map((a) => types[a]),
          );
        } catch {
          return undefined;
        }
      },
    };
  };
  return {
    name: "koffi",
    open(names) {
      for (const name of names) {
        const library = open(name);
        if (library) return library;
      }
      return undefined;
    },
    openSelf: () => open(null),
    address: (memory) => Number(koffi.address(memory)),
    peek: (address, length) => Uint8Array.from(koffi.decode(BigInt(address), "uint8_t", length)),
    errno: () => koffi.errno(),
  };
}

/** The package's own loader looks in many places and takes 12 ms; its binary, where npm puts it, takes 2. */
function load(): Koffi {
  const require = createRequire(import.meta.url);
  const { platform, arch } = process;
  if (platform === "linux" && (arch === "x64" || arch === "arm64")) {
    const libc = existsSync(`/lib/ld-musl-${arch === "x64" ? "x86_64" : "aarch64"}.so.1`) ? "musl" : "linux";
    try {
      return require(`@koromix/koffi-linux-${arch}/${libc}_${arch}/koffi.node`) as Koffi;
    } catch {
      // Another version of the package, or another layout of node_modules.
    }
  }
  return require("koffi") as Koffi;
}
