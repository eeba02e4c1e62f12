// Picks the foreign function interface of this runtime. ALCOVE_FFI=none switches it off (everything then goes
// through node:fs and the system's own tools); ALCOVE_FFI=koffi or node:ffi forces one of Node's two.
import process from "node:process";
import { runtime } from "../platform.ts";
import { bunFfi } from "./bun.ts";
import { denoFfi } from "./deno.ts";
import { koffiFfi } from "./koffi.ts";
import { nodeFfi } from "./node.ts";
import type { Ffi } from "./types.ts";

export function openFfi(): Ffi | undefined {
  const wanted = process.env["ALCOVE_FFI"];
  if (wanted === "none") return undefined;
  if (runtime.name === "bun") return bunFfi();
  if (runtime.name === "deno") return denoFfi();
  if (wanted === "koffi") return koffiFfi();
  if (wanted === "node:ffi") return nodeFfi();
  return koffiFfi() ?? nodeFfi();
}
