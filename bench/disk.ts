// npm run bench:disk: many small files extracted onto the disk, beside `cp -a` of the same tree and real borg's extract.
// Source and repository are in memory. Creating a file costs the kernel most of the time there, whoever does it; ext4
// makes files at a tenth of its speed for seconds after others were deleted, so nothing is removed before the end.
//   --quick            12,000 files
//   --runs N           (2)
//   --runtime PATH     what runs the program (the Node that runs this)
//   --dir PATH         where to extract to (the temporary directory)
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { compare } from "./compare.ts";
import { corpora } from "./corpora.ts";
import { type Measured, measure, median } from "./pipeline-measure.ts";

const has = (name: string): boolean => process.argv.includes(`--${name}`);
const option = (name: string, otherwise: string): string => {
  const at = process.argv.indexOf(`--${name}`);
  return at < 0 ? otherwise : process.argv[at + 1]!;
};

const runtime = option("runtime", process.execPath);
const program = resolve("dist/alcove.mjs");
const memory = mkdtempSync(join(existsSync("/dev/shm") ? "/dev/shm" : tmpdir(), "alcove-disk-"));
const disk = mkdtempSync(join(option("dir", tmpdir()), "alcove-disk-"));
process.once("exit", () => {
  for (const dir of [memory, disk]) rmSync(dir, { recursive: true, force: true });
});
process.once("SIGINT", () => process.exit(130));

const corpus = corpora(["small"], has("quick"))[0]!;
const source = join(memory, "source");
const repository = join(memory, "repository");
mkdirSync(source);
corpus.make(source);
const env: NodeJS.ProcessEnv = {
  ...process.env,
  BORG_BASE_DIR: join(memory, "base"),
  BORG_PASSPHRASE: "benchmark",
  BORG_RELOCATED_REPO_ACCESS_IS_OK: "yes",
};
const alcove = (...args: string[]): void => {
  execFileSync(runtime, [program, ...args], { cwd: source, env, stdio: "ignore" });
};
alcove("init", "-e", "repokey", repository);
alcove("create", `${repository}::a`, ".");

const commands: Record<string, string[]> = {
  "cp -a": ["cp", "-a", `${source}/.`, "."],
  alcove: [runtime, program, "extract", `${repository}::a`],
  borg: ["borg", "extract", `${repository}::a`],
};
const names = Object.keys(commands);
const found: Record<string, Measured[]> = Object.fromEntries(names.map((name) => [name, []]));
for (let round = 0; round < Number(option("runs", "2")); round++) {
  // Who begins changes.
  for (const name of round % 2 ? names.toReversed() : names) {
    const into = join(disk, `${name.replace(" ", "")}-${round}`);
    mkdirSync(into);
    execFileSync("sync");
    const measured = await measure(commands[name]!, into, env);
    found[name]!.push(measured);
    process.stderr.write(`${name}: ${measured.wall.toFixed(2)} s, CPU ${measured.cpu.toFixed(2)} s\n`);
    if (round === 0) compare(source, into);
  }
}

const wall = (name: string): number => median(found[name]!.map((m) => m.wall));
const rows = names.map((name) => ({
  name,
  wall: wall(name),
  cpu: median(found[name]!.map((m) => m.cpu)),
  toCopy: wall("cp -a") / wall(name),
}));
const table = [
  `${corpus.title}, onto the disk; ${execFileSync(runtime, ["--version"], { encoding: "utf8" }).trim()}`,
  "",
  "| program | wall s | CPU s | × as fast as cp -a |",
  "|---|---|---|---|",
  ...rows.map((r) => `| ${r.name} | ${r.wall.toFixed(2)} | ${r.cpu.toFixed(2)} | ${r.toCopy.toFixed(2)} |`),
  "",
].join("\n");
process.stdout.write(table);
writeFileSync("bench/results/disk.md", table);
