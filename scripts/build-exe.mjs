// Stand-alone executables of the one file, with the runtime inside: by Bun for linux-x64 and linux-arm64 (Bun's
// binaries come from npm; the one for the other processor is only copied, never run), and by Node as a single
// executable for the machine this runs on, where this Node can build one by itself.
//   node scripts/build-exe.mjs [linux-x64] [linux-arm64] [node] [--out DIR]
import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { foreignPackage } from "./foreign.mjs";
import { root } from "./setup.mjs";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { out: { type: "string", default: join(root, "dist", "exe") } },
});
const out = resolve(values.out);
const wanted = positionals.length ? positionals : ["linux-x64", "linux-arm64", "node"];
const modules = join(root, "test", "runtimes", "node_modules");
const bun = join(modules, ".bin", "bun");
const file = join(root, "dist", "alcove.mjs");

/** Bun for a processor: the installed one, or npm's package of the same version. */
function bunBinary(arch) {
  const installed = join(modules, "bun", "bin", "bun.exe");
  if (arch === process.arch && process.platform === "linux") return installed;
  const { version } = JSON.parse(readFileSync(join(modules, "bun", "package.json"), "utf8"));
  const name = arch === "arm64" ? "bun-linux-aarch64" : "bun-linux-x64";
  return join(foreignPackage(`@oven/${name}`, version), "bin", "bun");
}

function withBun(arch) {
  const target = join(out, `alcove-linux-${arch}`);
  // A backup program must not take settings from whatever directory it is started in.
  const isolated = ["dotenv", "bunfig", "tsconfig", "package-json"].map((n) => `--no-compile-autoload-${n}`);
  const flags = ["build", "--compile", "--minify", `--target=bun-linux-${arch}`, ...isolated];
  const binary = ["--compile-executable-path", bunBinary(arch)];
  execFileSync(bun, [...flags, ...binary, file, "--outfile", target], {
    stdio: ["ignore", "ignore", "inherit"],
  });
  return target;
}

/** Node ≥ 25.5 builds a single executable by itself, modules included. @returns undefined for an older Node */
function withNode() {
  const candidates = [process.execPath, join(modules, "node26", "bin", "node")];
  const node = candidates.find(
    (n) =>
      spawnSync(n, ["--build-sea", "/"], { encoding: "utf8" }).stderr?.includes("single executable") ?? false,
  );
  if (!node) return undefined;
  const target = join(out, `alcove-node-${process.platform}-${process.arch}`);
  const config = join(out, "sea.json");
  writeFileSync(
    config,
    JSON.stringify({
      main: file,
      mainFormat: "module",
      output: target,
      disableExperimentalSEAWarning: true,
    }),
  );
  try {
    execFileSync(node, ["--build-sea", config], { stdio: ["ignore", "ignore", "inherit"] });
  } finally {
    rmSync(config);
  }
  return target;
}

mkdirSync(out, { recursive: true });
for (const what of wanted) {
  const made = what === "node" ? withNode() : withBun(what.replace("linux-", ""));
  if (made) console.log(`${made}: ${statSync(made).size} bytes`);
  else console.log("node: this needs a Node that knows --build-sea (25.5 or newer)");
}
