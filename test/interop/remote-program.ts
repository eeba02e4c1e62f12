// The program itself, for tests over ssh: bundled once, with a shell script that starts it.
import { join } from "node:path";
import { build } from "esbuild";
import { script } from "./remote-sshd.ts";

/** Makes DIR/alcove, which starts DIR/serve.mjs. @returns its path */
export async function serveProgram(dir: string): Promise<string> {
  const outfile = join(dir, "serve.mjs");
  await build({
    entryPoints: ["cli/main.ts"],
    outfile,
    bundle: true,
    format: "esm",
    platform: "node",
    external: ["koffi", "bun:ffi", "node:ffi"],
    define: { __ALCOVE_VERSION__: '"0.0.0"' },
    banner: {
      js: 'import { createRequire as __createRequire } from "node:module"; const require = __createRequire(import.meta.url);',
    },
    logLevel: "error",
  });
  return script(join(dir, "alcove"), `exec ${process.execPath} ${outfile} "$@"`);
}
