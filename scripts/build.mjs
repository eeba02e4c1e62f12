// Builds what the sources need: `wasm` compiles assembly/ and writes it as a module (src/core/wasm.generated.ts);
// without an argument also bundles the command-line program into the one file dist/alcove.mjs and the library
// into dist/lib.mjs with its declarations. Runs on plain Node ≥ 20 without any set-up but `npm install`.
import { execFileSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { generateKernels } from "../assembly/generate.mjs";
import { embedCodecs } from "./embed-codecs.mjs";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const require = createRequire(import.meta.url);
process.chdir(root);

function buildWasm() {
  mkdirSync("build", { recursive: true });
  const asc = join(dirname(require.resolve("assemblyscript/package.json")), "bin", "asc.js");
  execFileSync(process.execPath, [asc, "--config", "asconfig.json"], { stdio: "inherit" });
  const bytes = readFileSync("build/core.wasm");
  const text =
    "// Generated from assembly/ by scripts/build.mjs; not kept in git.\n" +
    `export const wasmSize = ${bytes.length};\n` +
    `export const wasmBase64 =\n  "${bytes.toString("base64")}";\n`;
  // Written only when it differs, so that watchers and caches stay quiet.
  const target = "src/core/wasm.generated.ts";
  if (!existsSync(target) || readFileSync(target, "utf8") !== text) writeFileSync(target, text);
  console.log(`build/core.wasm: ${bytes.length} bytes`);
}

const shim =
  'import { createRequire as __createRequire } from "node:module"; const require = __createRequire(import.meta.url);';

async function bundle() {
  const { build } = await import("esbuild");
  const version = JSON.parse(readFileSync("package.json", "utf8")).version;
  const common = {
    bundle: true,
    format: "esm",
    platform: "node",
    target: "node20.19",
    minify: true,
    keepNames: false,
    legalComments: "none",
    external: ["koffi", "bun:ffi", "node:ffi"],
    define: { __ALCOVE_VERSION__: JSON.stringify(version) },
    logLevel: "warning",
  };
  if (existsSync("cli/main.ts")) {
    const { oneFile } = await import("./one-file.mjs");
    mkdirSync("dist", { recursive: true });
    writeFileSync("dist/alcove.mjs", await oneFile("cli/main.ts", common, "#!/usr/bin/env node"));
    chmodSync("dist/alcove.mjs", 0o755);
    console.log(`dist/alcove.mjs: ${statSync("dist/alcove.mjs").size} bytes`);
  }
  if (existsSync("src/index.ts")) {
    const { writeTypes } = await import("./types.mjs");
    // Deno finds the declarations of a plain file by this comment; the others by the package's exports.
    const banner = { js: `// @ts-self-types="./lib.d.mts"\n${shim}` };
    await build({ ...common, entryPoints: ["src/index.ts"], outfile: "dist/lib.mjs", banner });
    writeTypes(root, "dist/lib.d.mts");
    console.log(`dist/lib.mjs: ${statSync("dist/lib.mjs").size} bytes`);
  }
}

await generateKernels();
buildWasm();
embedCodecs();
if (process.argv[2] !== "wasm") await bundle();
