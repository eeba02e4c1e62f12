// Runs a C library that emscripten compiled, without emscripten's own loader: the instance, its growing heap,
// and allocations that are given back when a call ends.
import { brotliDecompressSync } from "node:zlib";

export type WasmFunction = (...args: number[]) => number;

/** A loaded library. Function names are those of the C API, mapped from the minified exports. */
export class Library<Name extends string> {
  readonly call: Record<Name | "malloc" | "free", WasmFunction>;
  private readonly memory: WebAssembly.Memory;

  /**
   * packed: the module, Brotli-compressed, in base64. names: C name → export. `memory` and `init` are the exports
   * of the memory and of the constructors' function, `grow` the import that enlarges the heap.
   */
  constructor(
    packed: string,
    names: Record<Name | "malloc" | "free", string>,
    special: { memory: string; init: string; grow: string },
  ) {
    const module = new WebAssembly.Module(
      new Uint8Array(brotliDecompressSync(Buffer.from(packed, "base64"))),
    );
    const imports: Record<string, WebAssembly.ModuleImports> = {};
    for (const { module: group, name } of WebAssembly.Module.imports(module)) {
      imports[group] ??= {};
      // Besides growing there are only timers and exits, which a library call never comes to unless it aborts.
      imports[group][name] =
        name === special.grow
          ? (size: number) => this.grow(size >>> 0)
          : () => {
              throw new Error("the library gave up");
            };
    }
    const { exports } = new WebAssembly.Instance(module, imports);
    this.memory = exports[special.memory] as WebAssembly.Memory;
    this.call = {} as Record<Name | "malloc" | "free", WasmFunction>;
    for (const name of Object.keys(names) as (Name | "malloc" | "free")[]) {
      this.call[name] = exports[names[name]] as WasmFunction;
    }
    (exports[special.init] as WasmFunction)();
  }

  private grow(size: number): number {
    const have = this.memory.buffer.byteLength;
    // A fifth more than asked for, so that a heap that grows slowly is not grown often; then just what is needed.
    for (const want of [Math.max(size, have * 1.2), size]) {
      try {
        this.memory.grow(Math.ceil((want - have) / 65536));
        return 1;
      } catch {
        // Beyond the module's maximum or the system's memory.
      }
    }
    return 0;
  }

  /** The whole heap; a new view after each call that may allocate. */
  get bytes(): Uint8Array {
    return new Uint8Array(this.memory.buffer);
  }

  get view(): DataView {
    return new DataView(this.memory.buffer);
  }

  /** Runs body with allocations of the given sizes (their addresses), which are freed afterwards. */
  with<T>(sizes: number[], body: (...addresses: number[]) => T): T {
    const addresses: number[] = [];
    try {
      for (const size of sizes) {
        const address = this.call.malloc(Math.max(1, size)) >>> 0;
        if (address === 0) throw new Error(`no memory for ${size} bytes`);
        addresses.push(address);
      }
      return body(...addresses);
    } finally {
      for (const address of addresses) this.call.free(address);
    }
  }
}
