// Writes the WebAssembly of the codecs that runtimes lack (zstd on Node 20, xz everywhere) as modules under
// src/compress, Brotli-compressed and in base64, so that they become part of the one file. Not kept in git.
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { brotliCompressSync, constants } from "node:zlib";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const require = createRequire(import.meta.url);

const codecs = [
  // Not exported by the package, but it lies beside its entry point (dist/common/index.node.js).
  ["zstd", join(dirname(require.resolve("@bokuweb/zstd-wasm")), "zstd.wasm"), "@bokuweb/zstd-wasm"],
  ["lzma", require.resolve("node-liblzma/wasm/liblzma.wasm"), "node-liblzma"],
];

export function embedCodecs() {
  for (const [name, file, source] of codecs) {
    const bytes = readFileSync(file);
    const packed = brotliCompressSync(bytes, {
      params: { [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length },
    });
    const text =
      `// Generated from ${source} by scripts/embed-codecs.mjs; not kept in git.\n` +
      `export const wasmBrotliBase64 =\n  "${packed.toString("base64")}";\n`;
    const target = join(root, "src", "compress", `${name}-wasm.generated.ts`);
    if (!existsSync(target) || readFileSync(target, "utf8") !== text) writeFileSync(target, text);
    console.log(`${name}: ${bytes.length} bytes of WebAssembly, ${packed.length} packed`);
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) embedCodecs();
