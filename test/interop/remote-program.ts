// `alcove serve` as a program of its own for tests over ssh: bundled once, and a shell script that starts it.
import { join } from "node:path";
import { build } from "esbuild";
import { loaders } from "../../cli/commands/index.ts";
import { script } from "./remote-sshd.ts";

/** Makes DIR/alcove, which starts DIR/serve.mjs. @returns its path */
export async function serveProgram(dir: string): Promise<string> {
  const whole = "serve" in loaders;
  const outfile = join(dir, "serve.mjs");
  await build({
    entryPoints: [whole ? "cli/main.ts" : "test/interop/remote-entry.ts"],
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
  const node = process.execPath;
  return script(
    join(dir, "alcove"),
    whole ? `exec ${node} ${outfile} "$@"` : `shift\nexec ${node} ${outfile} "$@"`,
  );
}
