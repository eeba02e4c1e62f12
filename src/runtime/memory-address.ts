// Where a memory lies that is given again and again, for functions that take addresses.
import type { Ffi } from "./ffi/types.ts";

/** Remembers the address of the memory it was asked for last, without keeping that alive. */
export class MemoryAddress {
  readonly #ffi: Ffi;
  #buffer: WeakRef<ArrayBufferLike> | undefined;
  #base = 0;

  constructor(ffi: Ffi) {
    this.#ffi = ffi;
  }

  /** The address of a view's first byte: another one once a WebAssembly memory has grown, so do not keep it. */
  of(memory: Uint8Array): number {
    const { buffer } = memory;
    if (this.#buffer?.deref() !== buffer) {
      this.#base = this.#ffi.address(new Uint8Array(buffer));
      this.#buffer = new WeakRef(buffer);
    }
    return this.#base + memory.byteOffset;
  }
}
