// The C library, for the few calls of a mount that the runtimes do not offer; opened once. Every function may be
// missing, and every caller has a way without it.
import { openFfi } from "../runtime/ffi/index.ts";
import type { CLibrary, Ffi } from "../runtime/ffi/types.ts";

export interface LoadedLibrary {
  ffi: Ffi;
  library: CLibrary;
}

const names = ["libc.so.6", "libc.musl-x86_64.so.1", "libc.musl-aarch64.so.1", "libc.so"];
let loaded: LoadedLibrary | null | undefined;

/** Undefined where there is no foreign function interface. */
export function cLibrary(): LoadedLibrary | undefined {
  if (loaded === undefined) {
    const ffi = openFfi();
    const library = ffi?.open(names);
    loaded = ffi && library ? { ffi, library } : null;
  }
  return loaded ?? undefined;
}
