// Writes dist/lib.d.mts: the declarations of the public API in one file. tsc emits one declaration file a module;
// those that src/index.ts reaches are joined, inner names without "export", and what is internal is left out.
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";

const IMPORT = /^(?:import|export)\s+(?:type\s+)?\{[^}]*\}\s+from\s+"(\.[^"]+)";\n/gm;
const OTHER_IMPORT = /^import\b[^;]*;\n/gm;

/** @param root the project's directory @param target the file to write */
export function writeTypes(root, target) {
  const require = createRequire(import.meta.url);
  const tsc = join(dirname(require.resolve("typescript/package.json")), "bin", "tsc");
  const out = mkdtempSync(join(tmpdir(), "alcove-types-"));
  try {
    const compilerOptions = {
      noEmit: false,
      declaration: true,
      emitDeclarationOnly: true,
      noCheck: true,
      stripInternal: true,
      rootDir: root,
      outDir: out,
      typeRoots: [join(root, "node_modules", "@types")],
    };
    const config = join(out, "tsconfig.json");
    const settings = { extends: join(root, "tsconfig.json"), compilerOptions };
    writeFileSync(
      config,
      JSON.stringify({ ...settings, include: [], files: [join(root, "src", "index.ts")] }),
    );
    execFileSync(process.execPath, [tsc, "-p", config], { stdio: "inherit" });
    const index = join(out, "src", "index.d.ts");
    const parts = [];
    const seen = new Set();
    const visit = (file) => {
      if (seen.has(file)) return;
      seen.add(file);
      const text = readFileSync(file, "utf8");
      for (const [, path] of text.matchAll(IMPORT))
        visit(resolve(dirname(file), path.replace(/\.ts$/, ".d.ts")));
      if (file !== index) parts.push(inner(text));
    };
    visit(index);
    const names = [...readFileSync(index, "utf8").matchAll(/^export (type )?\{([^}]*)\} from/gm)]
      .flatMap(([, , list]) => list.split(",").map((n) => n.trim()))
      .filter((n) => n);
    const header = "// Declarations of the alcove library, made from its sources by scripts/types.mjs.\n";
    writeFileSync(target, `${header}${parts.join("")}export { ${names.join(", ")} };\n`);
  } finally {
    rmSync(out, { recursive: true, force: true });
  }
}

const inner = (text) =>
  text
    .replace(IMPORT, "")
    .replace(OTHER_IMPORT, "")
    .replace(/^export \{\};\n/gm, "")
    .replace(/^export (?=declare|interface|type|const|class)/gm, "")
    .replace(/^\/\/#.*\n/gm, "");
