// What is published: the tarball of `npm pack`, installed without network in an empty folder, as a command and as a
// library on each runtime; and the one file alone, copied somewhere without anything near it.
import { spawnSync } from "node:child_process";
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { alcoveCommand, alcoveFile, type RuntimeLabel, root, Sandbox } from "../support/programs.ts";
import { describeTree, makeTree } from "../support/tree.ts";

const runtimes: readonly RuntimeLabel[] = ["node", "bun", "deno"];
/** What starts a script on a runtime. */
const starter = (on: RuntimeLabel): string[] => alcoveCommand(on).slice(0, -1);
const npm = ["npm", "--no-audit", "--no-fund", "--no-update-notifier"];

describe("the package", () => {
  const box = new Sandbox();
  const dir = box.path("app");

  beforeAll(() => {
    mkdirSync(dir);
    box.ok(box.run([...npm, "pack", "--ignore-scripts", "--pack-destination", box.dir], { cwd: root }));
    const tarball = readdirSync(box.dir).find((f) => f.endsWith(".tgz"))!;
    const flags = ["--offline", "--ignore-scripts", "--omit=optional"];
    box.ok(box.run([...npm, "install", ...flags, `../${tarball}`], { cwd: dir }));
    for (const f of readdirSync(join(root, "examples")))
      copyFileSync(join(root, "examples", f), join(dir, f));
    makeTree(box.path("app", "source"), 3);
  });
  afterAll(() => box.remove());

  it("holds what it should, and no more", () => {
    const files = readdirSync(join(dir, "node_modules", "alcove")).sort();
    expect(files).toEqual(
      ["CHANGELOG.md", "LICENSE", "NOTICE", "README.md", "dist", "package.json"].filter(
        (f) => f !== "README.md" || existsSync(join(root, "README.md")),
      ),
    );
    expect(readdirSync(join(dir, "node_modules", "alcove", "dist")).sort()).toEqual([
      "alcove.mjs",
      "lib.d.mts",
      "lib.mjs",
    ]);
    expect(readFileSync(alcoveFile).length).toBeLessThan(1_500_000);
  });

  it("is what publint finds in order", () => {
    const publint = join(root, "node_modules", "publint", "src", "cli.js");
    const r = box.run(
      [process.execPath, publint, "run", "--strict", "--pack", "false", "node_modules/alcove"],
      {
        cwd: dir,
      },
    );
    expect(box.ok(r).stdout).toContain("All good!");
  });

  it("is started by npx, bunx and deno", () => {
    const version = /^alcove \d+\.\d+\.\d+ \(borg 1\.4\.\d+\)\n$/;
    const words = [
      ["npx", "--offline", "alcove"],
      [...starter("bun").slice(0, 1), "x", "--no-install", "alcove"],
      [...starter("deno").slice(0, 1), "run", "-A", "npm:alcove"],
    ];
    for (const w of words) expect(box.ok(box.run([...w, "--version"], { cwd: dir })).stdout).toMatch(version);
  });

  describe.each(runtimes)("as a library on %s", (on) => {
    const example = (name: string, ...args: string[]) =>
      box.run([...starter(on), name, ...args], { cwd: dir });

    it("makes an archive of what is in memory", () => {
      const { stdout } = box.ok(example("memory.mjs", `memory-${on}`));
      expect(stdout).toContain("file dump/table.csv 1127788\n");
      expect(stdout).toMatch(/^Made without a single file\.$/m);
      const env = { BORG_PASSPHRASE: "example" };
      box.ok(box.borg(["check", "--verify-data", join(dir, `memory-${on}`)], { env }));
      const csv = box.ok(
        box.borg(["extract", "--stdout", `${dir}/memory-${on}::dump`, "dump/table.csv"], { env }),
      );
      expect(csv.stdout).toMatch(/^1,row number 1\n[\s\S]*\n50000,row number 50000\n$/);
    });

    it("backs up, checks and restores files with workers", () => {
      mkdirSync(join(dir, `out-${on}`));
      const { stdout, stderr } = box.ok(example("backup.mjs", `backup-${on}`, "source", `out-${on}`));
      expect(stderr).toBe("");
      expect(stdout).toContain("sound\n");
      expect(describeTree(join(dir, `out-${on}`, "source"))).toBe(describeTree(join(dir, "source")));
    });

    it("lists, and tells what is wrong", () => {
      const r = box.run([...starter(on), "list.mjs", `memory-${on}`, "dump/latest"], {
        cwd: dir,
        env: { BORG_PASSPHRASE: "example" },
      });
      expect(box.ok(r).stdout).toMatch(/^\S+ dump\ndump\/latest\n$/);
      const missing = example("list.mjs", "nowhere");
      expect(missing.code).toBe(13);
      expect(missing.stderr).toMatch(/^Repository\.DoesNotExist: /);
    });
  });

  it("has declarations that fit", () => {
    writeFileSync(
      join(dir, "use.mts"),
      `import { type ArchiveItem, type Entry, Repository } from "alcove";
const r = await Repository.open("x", { passphrase: "y", mode: "write" });
const e: Entry = { path: "a", content: "b" };
await r.create("n", [e], { signal: AbortSignal.timeout(3) });
const item: ArchiveItem | undefined = await (await r.archive("x")).item("p");
for await (const p of (await r.archive("x")).read(item!)) console.log(p.length);
// @ts-expect-error a file needs contents
await r.create("n", [{ path: "a" }]);
`,
    );
    const tsc = join(root, "node_modules", "typescript", "bin", "tsc");
    const flags = "--ignoreConfig --noEmit --strict --target es2023 --module nodenext --types node".split(
      " ",
    );
    const roots = ["--typeRoots", join(root, "node_modules", "@types")];
    box.ok(box.run([process.execPath, tsc, ...flags, ...roots, "use.mts"], { cwd: dir }));
  });
});

describe("the one file alone", () => {
  const box = new Sandbox();
  const file = box.path("apart", "alcove.mjs");

  beforeAll(() => {
    mkdirSync(dirname(file));
    copyFileSync(alcoveFile, file);
    chmodSync(file, 0o555);
    symlinkSync("alcove.mjs", box.path("apart", "borg"));
    makeTree(box.path("tree"), 5);
  });
  afterAll(() => box.remove());

  it.each(runtimes)("answers as borg under the name borg: %s", (on) => {
    const borg = box.path("apart", "borg");
    expect(box.ok(box.run([...starter(on), borg, "--version"])).stdout).toMatch(/^borg 1\.4\.\d+\n$/);
    expect(box.ok(box.run([...starter(on), file, "--version"])).stdout).toMatch(/^alcove /);
  });

  it("is a command by itself", () => {
    expect(box.ok(box.run([file, "--version"])).stdout).toMatch(/^alcove /);
  });

  // As an ordinary user, from a place where nothing can be written: Deno and Bun have no libc there to lean on but
  // the system's, Node none at all.
  it.each(runtimes)("backs up and restores for an ordinary user, from a read-only place: %s", (on) => {
    const home = box.path(`home-${on}`);
    mkdirSync(home);
    chmodSync(box.path("apart"), 0o555);
    chmodSync(box.dir, 0o755);
    const ids = process.getuid!() === 0 ? { uid: 65534, gid: 65534 } : {};
    if (process.getuid!() === 0) spawnSync("chown", ["65534:65534", home]);
    const env = { ...box.env, HOME: home, BORG_BASE_DIR: home, DENO_DIR: join(home, "deno") };
    const run = (args: readonly string[], cwd = home): string => {
      const [command, ...rest] = [...starter(on), file, ...args];
      const r = spawnSync(command!, rest, { cwd, env: env as NodeJS.ProcessEnv, encoding: "utf8", ...ids });
      if (r.status !== 0) throw new Error(`${args.join(" ")}: ${r.status} ${r.error ?? ""}\n${r.stderr}`);
      return r.stdout;
    };
    run(["init", "-e", "repokey", "repo"]);
    run(["create", "repo::a", "../tree"]);
    mkdirSync(join(home, "out"));
    if (process.getuid!() === 0) spawnSync("chown", ["65534:65534", join(home, "out")]);
    run(["extract", "../repo::a"], join(home, "out"));
    const owners = / \d+:\d+ /g;
    expect(describeTree(join(home, "out", "tree")).replace(owners, " ")).toBe(
      describeTree(box.path("tree")).replace(owners, " "),
    );
  });
});
