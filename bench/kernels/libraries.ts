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

interface Lz4Wasm {
  compress(data: Uint8Array): Uint8Array;
  decompress(data: Uint8Array): Uint8Array;
}

/** Instantiated by hand: the package's own entry needs a bundler or an import flag. */
export const lz4Wasm = () =>
  attempt(async () => {
    const glue = (await import(require.resolve("lz4-wasm/lz4_wasm_bg.js"))) as Lz4Wasm & {
      __wbg_set_wasm(exports: WebAssembly.Exports): void;
    };
    const module = new WebAssembly.Module(readFileSync(require.resolve("lz4-wasm/lz4_wasm_bg.wasm")));
    const instance = new WebAssembly.Instance(module, {
      "./lz4_wasm_bg.js": glue as unknown as WebAssembly.ModuleImports,
    });
    glue.__wbg_set_wasm(instance.exports);
    return glue as Lz4Wasm;
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
