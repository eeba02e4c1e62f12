// The engine that compiles the WebAssembly core. Kernels come in variants, since engines differ in how many values they
// can keep in registers; see core/lanes.ts.
import process from "node:process";
import { runtime } from "./platform.ts";

/** `major`: V8's major version; 0 for JavaScriptCore. */
export const engine: { readonly name: "v8" | "jsc"; readonly major: number } =
  runtime.name === "bun"
    ? { name: "jsc", major: 0 }
    : { name: "v8", major: Number.parseInt(process.versions.v8 ?? "0", 10) };
