// npm run bench: whole commands side by side with real borg, and with restic where it is installed (its own format and
// compression, once a corpus), in turns within one run, medians.
//   --quick            small corpora, one run: about two minutes
//   --runs N           (3)
//   --runtime PATH     what runs the program (the Node that runs this)
//   --program PATH     the bundle (dist/alcove.mjs)
//   --modes LIST       MODE/COMPRESSION separated by spaces ("repokey/lz4"; "all" for four of them)
//   --corpora LIST     of small,large,roots,tiny
//   --dir PATH         where to work (/dev/shm, else the temporary directory); needs three times the corpus
//   --name NAME        of the files in bench/results
// After every create real borg checks the repository, and what is extracted is compared with the source.
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { cpus, tmpdir, totalmem } from "node:os";
import { join, resolve } from "node:path";
import { compare } from "./compare.ts";
import { type Corpus, corpora } from "./corpora.ts";
import { type Measured, measure, median } from "./pipeline-measure.ts";
import { type Figures, type Report, save, table } from "./pipeline-report.ts";

const has = (name: string): boolean => process.argv.includes(`--${name}`);
const option = (name: string, otherwise: string): string => {
  const at = process.argv.indexOf(`--${name}`);
  return at < 0 ? otherwise : process.argv[at + 1]!;
};

const quick = has("quick");
const RUNS = Number(option("runs", quick ? "1" : "3"));
const runtime = option("runtime", process.execPath);
const program = resolve(option("program", "dist/alcove.mjs"));
const ALL_MODES = "none/lz4 repokey/lz4 repokey-blake2/lz4 repokey/zstd,3";
const modes = option("modes", "repokey/lz4").replace(/^all$/, ALL_MODES).split(" ");
const chosen = corpora(
  option("corpora", quick ? "small,large,tiny" : "small,large,roots,tiny").split(","),
  quick,
);
if (!existsSync(program)) throw new Error(`${program} is not there: npm run build`);
const work = mkdtempSync(
  join(option("dir", existsSync("/dev/shm") ? "/dev/shm" : tmpdir()), "alcove-bench-"),
);
process.once("exit", () => rmSync(work, { recursive: true, force: true }));
process.once("SIGINT", () => process.exit(130));

type Name = "alcove" | "borg" | "restic";
const names = ["alcove", "borg"] as const;
const words = /deno/.test(runtime) ? [runtime, "run", "-A", program] : [runtime, program];
const command: Record<Name, string[]> = { alcove: words, borg: ["borg"], restic: ["restic"] };
const hasRestic = spawnSync("restic", ["version"]).status === 0;
const env = (name: Name): NodeJS.ProcessEnv => ({
  ...process.env,
  BORG_BASE_DIR: join(work, `base-${name}`),
  BORG_PASSPHRASE: "benchmark",
  BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK: "yes",
  BORG_RELOCATED_REPO_ACCESS_IS_OK: "yes",
  RESTIC_REPOSITORY: join(work, "repo-restic"),
  RESTIC_PASSWORD: "benchmark",
  RESTIC_CACHE_DIR: join(work, "base-restic"),
});

const found = new Map<string, Record<Name, Measured[]>>();
const sizes: Report["sizes"] = [];

/** One measurement; the first argument's "REPO" stands for the program's repository. */
async function step(key: string, name: Name, args: string[], cwd: string, title = args[0]!): Promise<void> {
  const full = args.map((a) => a.replace("REPO", join(work, `repo-${name}`)));
  const result = await measure([...command[name], ...full], cwd, env(name));
  const entry = found.get(`${key}\t${title}`) ?? { alcove: [], borg: [], restic: [] };
  entry[name].push(result);
  found.set(`${key}\t${title}`, entry);
  process.stderr.write(
    `${key.replaceAll("\t", " ")}: ${title}, ${name}: ${result.wall.toFixed(2)} s, CPU ${result.cpu.toFixed(2)} s\n`,
  );
}

function plain(name: Name, ...args: string[]): void {
  const full = args.map((a) => a.replace("REPO", join(work, `repo-${name}`)));
  const [file, ...rest] = [...command[name], ...full];
  const done = spawnSync(file!, rest, { env: env(name), encoding: "utf8", maxBuffer: 1 << 26 });
  if (done.status !== 0) throw new Error(`${name} ${args.join(" ")}: ${done.status}\n${done.stderr}`);
}

/** Real borg's opinion of a repository, whoever has written it. */
function borgChecks(name: Name): void {
  const options = { ...env("borg"), BORG_BASE_DIR: join(work, "base-check") };
  const done = spawnSync("borg", ["check", join(work, `repo-${name}`)], { env: options, encoding: "utf8" });
  if (done.status !== 0) throw new Error(`borg check finds fault with ${name}'s repository:\n${done.stderr}`);
}

function repositoryBytes(name: Name): number {
  return Number(
    execFileSync("du", ["-sb", join(work, `repo-${name}`, "data")], { encoding: "utf8" }).split("\t")[0],
  );
}

/** Each change is another one: what a mode's runs have changed is no change to the next mode. */
let changes = 0;

async function run(corpus: Corpus, mode: string, round: number): Promise<void> {
  const [encryption, compression] = mode.split("/") as [string, string];
  const key = `${corpus.name}\t${mode}`;
  const source = join(work, corpus.name);
  // Who begins changes from run to run: the page cache and the clock of the processor favour one of two.
  const order = round % 2 ? [...names].reverse() : names;
  const create = (archive: string): string[] => ["create", "-C", compression, `REPO::${archive}`, "."];
  const fresh = (name: Name): void => {
    for (const d of [`repo-${name}`, `base-${name}`, "base-check"])
      rmSync(join(work, d), { recursive: true, force: true });
    plain(name, "init", "-e", encryption, "REPO");
  };
  fresh("alcove");
  await step(
    key,
    "alcove",
    ["create", "--workers", "0", "-C", compression, "REPO::one", "."],
    source,
    "first create, 1 thread",
  );
  borgChecks("alcove");
  for (const name of order) {
    fresh(name);
    await step(key, name, create("one"), source, "first create");
    borgChecks(name);
    await step(key, name, create("two"), source, "unchanged create");
    borgChecks(name);
  }
  const restic = async (title: string, args: string[], cwd: string): Promise<void> => {
    if (hasRestic && mode === modes[0]) await step(key, "restic", args, cwd, title);
  };
  for (const d of ["repo-restic", "base-restic"]) rmSync(join(work, d), { recursive: true, force: true });
  if (hasRestic) plain("restic", "init");
  await restic("first create", ["backup", "."], source);
  await restic("unchanged create", ["backup", "."], source);
  if (round === 0) {
    sizes.push({
      corpus: corpus.name,
      mode,
      alcove: repositoryBytes("alcove"),
      borg: repositoryBytes("borg"),
    });
  }
  corpus.change(source, changes++);
  for (const name of order) {
    await step(key, name, create("three"), source, "1 % changed");
    borgChecks(name);
  }
  await restic("1 % changed", ["backup", "."], source);
  for (const name of order) {
    const out = join(work, "out");
    rmSync(out, { recursive: true, force: true });
    mkdirSync(out);
    await step(key, name, ["extract", "REPO::three"], out);
    compare(source, out);
    rmSync(out, { recursive: true, force: true });
    await step(key, name, ["list", "REPO::three"], work);
    await step(key, name, ["info", "REPO::three"], work);
    // What create has counted is known of the newest archive only.
    await step(key, name, ["info", "REPO::two"], work, "info, older archive");
    await step(key, name, ["check", "REPO"], work);
    await step(key, name, ["check", "--verify-data", "REPO"], work, "check --verify-data");
    await step(key, name, ["delete", "REPO::one"], work);
    await step(key, name, ["prune", "--keep-last", "1", "REPO"], work);
    await step(key, name, ["compact", "REPO"], work);
    borgChecks(name);
  }
  await restic("extract", ["restore", "latest", "--target", join(work, "out")], work);
  rmSync(join(work, "out"), { recursive: true, force: true });
  await restic("list", ["ls", "-l", "latest"], work);
  await restic("info", ["stats", "latest"], work);
  await restic("check", ["check"], work);
  await restic("check --verify-data", ["check", "--read-data"], work);
  // Its prune deletes and compacts at once.
  await restic("compact", ["forget", "--keep-last", "1", "--prune"], work);
}

for (const corpus of chosen) {
  mkdirSync(join(work, corpus.name));
  corpus.make(join(work, corpus.name));
  for (const mode of modes) for (let round = 0; round < RUNS; round++) await run(corpus, mode, round);
  rmSync(join(work, corpus.name), { recursive: true, force: true });
}
for (let i = 0; i < (quick ? 3 : 9); i++) {
  for (const name of names) await step("-\t-", name, ["--version"], work, "start-up");
}

const middle = (list: Measured[]): Figures => ({
  wall: median(list.map((m) => m.wall)),
  cpu: median(list.map((m) => m.cpu)),
  memory: median(list.map((m) => m.memory)),
});
const version = (file: string, ...args: string[]): string =>
  execFileSync(file, args, { encoding: "utf8", env: env("borg") })
    .trim()
    .split("\n")[0]!;
const report: Report = {
  date: new Date().toISOString().slice(0, 10),
  machine: { cpu: cpus()[0]?.model ?? "", cores: cpus().length, memoryGiB: Math.round(totalmem() / 2 ** 30) },
  runtime: `${/deno|bun/.exec(runtime)?.[0] ?? "node"} ${version(runtime, "--version")}`,
  alcove: version(words[0]!, ...words.slice(1), "--version"),
  borg: version("borg", "--version"),
  runs: RUNS,
  ...(hasRestic && { restic: version("restic", "version") }),
  corpora: chosen.map(({ name, title, files, bytes }) => ({ name, title, files, bytes })),
  rows: [...found].map(([key, figures]) => {
    const [corpus, mode, title] = key.split("\t") as [string, string, string];
    // Borg has one thread in any case: its first create is the peer of both of ours.
    const peer = figures.borg.length > 0 ? figures.borg : found.get(`${corpus}\t${mode}\tfirst create`)!.borg;
    return {
      corpus,
      mode,
      step: title,
      alcove: middle(figures.alcove),
      borg: middle(peer),
      ...(figures.restic.length > 0 && { restic: middle(figures.restic) }),
    };
  }),
  sizes,
};
process.stdout.write(`${table(report)}\n`);
const label = option("name", `pipeline-${quick ? "quick-" : ""}${report.runtime.replace(/[^\w.]+v?/g, "-")}`);
save(report, "bench/results", label);
