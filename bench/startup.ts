// Start-up against borg: `--version`, and `list` of a small repository, on every runtime, beside what the bare
// runtime takes. In turns, so that what else the machine does meets all of them; medians and minima of wall time, and
// the mean of CPU time, which a busy machine disturbs less. Writes bench/results/startup.json and startup.md.
//   npm run bench:startup -- [--rounds N] [--only node24,bun] [--out DIR]
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import os from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { alcoveCommand, type RuntimeLabel, root, Sandbox } from "../test/support/programs.ts";

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "15" },
    only: { type: "string" },
    out: { type: "string", default: join(root, "bench", "results") },
  },
});
const rounds = Number(values.rounds);
const labels = ["node20", "node22", "node24", "node26", "deno", "bun"] as const satisfies RuntimeLabel[];
const wanted = labels.filter((l) => !values.only || values.only.split(",").includes(l));

interface Figures {
  /** Milliseconds. */
  median: number;
  min: number;
  cpu: number;
  /** borg's time in this program's: more is better. */
  ratio?: { median: number; min: number; cpu: number };
}

const box = new Sandbox();
const bare = box.path("bare.mjs");
writeFileSync(bare, "console.log(1);\n");

/** Seconds of CPU of all children that have ended. The kernel's ticks of 10 ms even out over the rounds. */
function childrenCpu(): number {
  const fields = readFileSync("/proc/self/stat", "latin1")
    .replace(/^.*\) /, "")
    .split(" ");
  return (Number(fields[13]) + Number(fields[14])) / 100;
}

function measure(commands: ReadonlyMap<string, readonly string[]>): Map<string, Figures> {
  const walls = new Map<string, number[]>([...commands.keys()].map((k) => [k, []]));
  const cpu = new Map<string, number>([...commands.keys()].map((k) => [k, 0]));
  // The first round warms the page cache and borg's own caches.
  for (let round = 0; round <= rounds; round++) {
    for (const [name, [command, ...args]] of commands) {
      const before = childrenCpu();
      const start = performance.now();
      const r = spawnSync(command!, args, { cwd: box.dir, env: box.env as NodeJS.ProcessEnv });
      const ms = performance.now() - start;
      if (r.status !== 0) throw new Error(`${name}, ${args.join(" ")}: ${r.stderr}`);
      if (round === 0) continue;
      walls.get(name)!.push(ms);
      cpu.set(name, cpu.get(name)! + (childrenCpu() - before) * 1000);
    }
  }
  const out = new Map<string, Figures>();
  for (const [name, list] of walls) {
    list.sort((a, b) => a - b);
    out.set(name, { median: list[list.length >> 1]!, min: list[0]!, cpu: cpu.get(name)! / rounds });
  }
  const reference = out.get("borg");
  for (const [name, f] of out) {
    if (!reference || name === "borg") continue;
    f.ratio = {
      median: reference.median / f.median,
      min: reference.min / f.min,
      cpu: reference.cpu / f.cpu,
    };
  }
  return out;
}

const rounded = (n: number, digits: number): number => Math.round(n * 10 ** digits) / 10 ** digits;

function plain(f: Figures): Figures {
  const out: Figures = { median: rounded(f.median, 1), min: rounded(f.min, 1), cpu: rounded(f.cpu, 1) };
  if (f.ratio) {
    const { median, min, cpu } = f.ratio;
    out.ratio = { median: rounded(median, 2), min: rounded(min, 2), cpu: rounded(cpu, 2) };
  }
  return out;
}

function table(title: string, figures: ReadonlyMap<string, Figures>): string {
  const lines = [`### ${title}`, ""];
  lines.push("| | median ms | min ms | CPU ms | × median | × min | × CPU |", `|---|${"---:|".repeat(6)}`);
  for (const [name, f] of figures) {
    const times = [f.median, f.min, f.cpu].map((n) => n.toFixed(0));
    const ratios = f.ratio
      ? [f.ratio.median, f.ratio.min, f.ratio.cpu].map((n) => n.toFixed(2))
      : ["", "", ""];
    lines.push(`| ${[name, ...times, ...ratios].join(" | ")} |`);
  }
  return `${lines.join("\n")}\n`;
}

try {
  mkdirSync(box.path("data"));
  for (let i = 0; i < 20; i++) writeFileSync(box.path("data", `file${i}`), `${i}`);
  for (const mode of ["none", "repokey"]) {
    box.ok(box.borg(["init", "-e", mode, mode]));
    for (let i = 0; i < 5; i++) box.ok(box.borg(["create", `${mode}::archive${i}`, "data"]));
  }
  const executable = `${root}/dist/exe/alcove-linux-${process.arch}`;
  const steps: [string, string[]][] = [
    ["--version", ["--version"]],
    ["list, not encrypted", ["list", "none"]],
    ["list, repokey", ["list", "repokey"]],
    ["list of an archive, repokey", ["list", "repokey::archive1"]],
  ];
  const results: Record<string, Record<string, Figures>> = {};
  const run = (title: string, commands: ReadonlyMap<string, readonly string[]>): void => {
    const figures = measure(commands);
    results[title] = Object.fromEntries([...figures].map(([k, f]) => [k, plain(f)]));
    const text = table(title, figures);
    console.log(`\n${text}`);
    tables.push(text);
  };
  const tables: string[] = [];
  for (const [title, args] of steps) {
    const commands = new Map<string, readonly string[]>([["borg", ["borg", ...args]]]);
    for (const label of wanted) commands.set(label, [...alcoveCommand(label), ...args]);
    if (!values.only && existsSync(executable)) commands.set("executable (Bun)", [executable, ...args]);
    run(title, commands);
  }
  run("a script of one line", new Map(wanted.map((l) => [l, [...alcoveCommand(l).slice(0, -1), bare]])));
  const machine = `${os.cpus()[0]?.model.trim()}, ${os.availableParallelism()} cores, Linux ${os.release()}`;
  const borg = box.borg(["--version"]).stdout.trim();
  const when = new Date().toISOString();
  mkdirSync(values.out, { recursive: true });
  const document = { when, machine, borg, rounds, unit: "ms", results };
  writeFileSync(join(values.out, "startup.json"), `${JSON.stringify(document, null, 2)}\n`);
  const heading = `## Start-up against ${borg}\n\n${machine}; ${rounds} rounds in turns, ${when.slice(0, 10)}.\n`;
  writeFileSync(join(values.out, "startup.md"), `${heading}\n${tables.join("\n")}`);
} finally {
  box.remove();
}
