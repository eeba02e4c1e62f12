// Writes the parts of the core that are unrolled by a program and not by hand: NAME.generated.ts from NAME.mjs, before
// the compiler runs. AssemblyScript has no macros, and Binaryen does not unroll.
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));

export async function generateKernels() {
  for (const name of ["blake2b-rounds", "sha256-rounds"]) {
    const { text } = await import(`./${name}.mjs`);
    const target = join(here, `${name}.generated.ts`);
    if (!existsSync(target) || readFileSync(target, "utf8") !== text) writeFileSync(target, text);
  }
}
