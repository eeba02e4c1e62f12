// JavaScript and WebAssembly libraries that the kernels are compared with. Each is loaded when asked for; one that
// does not load on this runtime is left out.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const require = createRequire(import.meta.url);

async function attempt<T>(load: () => Promise<T>): Promise<T | undefined> {
  try {
    return await load();
  } catch {
    return undefined;
  }
}

export const noble = () =>
  attempt(async () => {
    const [{ sha256 }, { blake2b }, { hmac }] = await Promise.all([
      import("@noble/hashes/sha2.js"),
      import("@noble/hashes/blake2.js"),
      import("@noble/hashes/hmac.js"),
    ]);
    return { sha256, blake2b, hmac };
  });

export const hashWasm = () =>
  attempt(async () => {
    const { createSHA256, createBLAKE2b, createCRC32, createXXHash64, createHMAC } = await import(
      "hash-wasm"
    );
    const key = new Uint8Array(32);
    return {
      sha256: await createSHA256(),
      blake2b: await createBLAKE2b(256),
      hmac: await createHMAC(createSHA256(), key),
      crc32: await createCRC32(),
      xxh64: await createXXHash64(0, 0),
    };
  });

interface Lz4Exports {
  memory: WebAssembly.Memory;
  __wbindgen_add_to_stack_pointer(by: number): number;
  __wbindgen_malloc(bytes: number): number;
  __wbindgen_free(ptr: number, bytes: number): void;
  compress(result: number, ptr: number, length: number): void;
  decompress(result: number, ptr: number, length: number): void;
}

/**
 * lz4-wasm's module with a few lines of our own around it: its own import the .wasm as a module, which only bundlers and
 * the newest runtimes can. Blocks have their decoded size in front, four bytes.
 */
export const lz4Wasm = () =>
  attempt(async () => {
    const module = new WebAssembly.Module(readFileSync(require.resolve("lz4-wasm/lz4_wasm_bg.wasm")));
    // Called to make the text of an error, of which there is none here to read it.
    const glue = { __wbindgen_string_new: () => 0 };
    const wasm = new WebAssembly.Instance(module, { "./lz4_wasm_bg.js": glue })
      .exports as unknown as Lz4Exports;
    const call = (work: "compress" | "decompress", data: Uint8Array): Uint8Array => {
      const result = wasm.__wbindgen_add_to_stack_pointer(-16);
      const at = wasm.__wbindgen_malloc(data.length);
      new Uint8Array(wasm.memory.buffer).set(data, at);
      wasm[work](result, at, data.length);
      const [ptr, length, , failed] = new Int32Array(wasm.memory.buffer, result, 4);
      wasm.__wbindgen_add_to_stack_pointer(16);
      if (work === "decompress" && failed) throw new Error("lz4-wasm refuses the block");
      const out = new Uint8Array(wasm.memory.buffer, ptr!, length!).slice();
      wasm.__wbindgen_free(ptr!, length!);
      return out;
    };
    return {
      compress: (data: Uint8Array) => call("compress", data),
      decompress: (data: Uint8Array) => call("decompress", data),
    };
  });

export const fflate = () => attempt(() => import("fflate"));

interface ZstdSimple {
  compress(data: Uint8Array, level: number): Uint8Array;
  decompress(data: Uint8Array): Uint8Array;
}

export const zstdCodec = () =>
  attempt(
    () =>
      new Promise<ZstdSimple>((resolve) => {
        const { ZstdCodec } = require("zstd-codec") as {
          ZstdCodec: { run(ready: (zstd: { Simple: new () => ZstdSimple }) => void): void };
        };
        ZstdCodec.run((zstd) => resolve(new zstd.Simple()));
      }),
  );

export const bokuwebZstd = () =>
  attempt(async () => {
    const zstd = await import("@bokuweb/zstd-wasm");
    await zstd.init();
    return zstd;
  });
