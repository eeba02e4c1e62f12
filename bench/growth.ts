// How time and memory grow with the number of files, of chunks in a file and of chunks in a repository, beside real borg:
// three sizes of each, ten times apart; the exponent is fitted over all three and over the last two, and may be 1.1.
//   npm run build && npx tsx bench/growth.ts [--quick] [--only files,chunks-a-file,chunks] [--program PATH] [--json FILE]
//   [--no-borg]; works in /dev/shm where that is: 1 GB for a million files, 1 GB for a million chunks

import { spawnSync } from "node:child_process";
import {
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  rmSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { randomBytes } from "../test/support/tree.ts";
import { measure } from "./pipeline-measure.ts";

const { values } = parseArgs({
  options: {
    quick: { type: "boolean" },
    "no-borg": { type: "boolean" },
    only: { type: "string" },
    program: { type: "string" },
    json: { type: "string" },
  },
});
const ALLOWED = 1.1;
const scale = values.quick ? 0.1 : 1;
const program = resolve(values.program ?? "dist/alcove.mjs");
const programs: Record<string, string[]> = { alcove: [process.execPath, program], borg: ["borg"] };
if (values["no-borg"]) delete programs["borg"];

const work = mkdtempSync(join(existsSync("/dev/shm") ? "/dev/shm" : tmpdir(), "alcove-growth-"));
process.once("exit", () => rmSync(work, { recursive: true, force: true }));
process.once("SIGINT", () => process.exit(130));
process.once("SIGTERM", () => process.exit(143));

interface Series {
  name: string;
  /** What is counted. */
  unit: string;
  sizes: number[];
  make(dir: string, n: number): void;
  create: string[];
  steps: [title: string, args: string[]][];
}

/** Files of random contents with a given number of chunks of `chunk` bytes each. */
function contents(dir: string, files: number, chunks: number, chunk: number): void {
  for (let f = 0; f < files; f++) {
    const fd = openSync(join(dir, `f${f}`), "w");
    for (let done = 0; done < chunks; done += 4096)
      writeSync(fd, randomBytes(Math.min(4096, chunks - done) * chunk, f * 1009 + done));
    closeSync(fd);
  }
}

const reading: Series["steps"] = [
  ["extract --dry-run", ["extract", "--dry-run", "REPO::first"]],
  ["check --verify-data", ["check", "--verify-data", "REPO"]],
];
const series: Series[] = [
  {
    name: "files",
    unit: "empty files",
    sizes: [10_000, 100_000, 1_000_000],
    make: (dir, n) => {
      for (let i = 0; i < n; i++) {
        if (i % 1000 === 0) mkdirSync(join(dir, `d${i / 1000}`));
        closeSync(openSync(join(dir, `d${Math.floor(i / 1000)}`, `file${i}`), "w"));
      }
    },
    create: [],
    steps: [
      ["list", ["list", "REPO::first"]],
      ["check", ["check", "REPO"]],
    ],
  },
  {
    name: "chunks-a-file",
    unit: "chunks in one file",
    sizes: [1_000, 10_000, 100_000],
    make: (dir, n) => contents(dir, 1, n, 1024),
    create: ["--chunker-params", "fixed,1024"],
    steps: reading,
  },
  {
    name: "chunks",
    unit: "chunks in files of 10,000",
    sizes: [10_000, 100_000, 1_000_000],
    make: (dir, n) => contents(dir, Math.ceil(n / 10_000), Math.min(n, 10_000), 256),
    create: ["--chunker-params", "fixed,256"],
    steps: reading,
  },
];

interface Row {
  series: string;
  unit: string;
  step: string;
  program: string;
  sizes: number[];
  /** Seconds of CPU time, per size. */
  cpu: number[];
  /** KiB, per size. */
  memory: number[];
  timeExponent: number;
  memoryExponent: number;
  /** MiB that a million more of them take, from the smallest to the largest size. */
  perMillion: number;
}

/** The steeper of the least-squares slope of log(y) over log(x) and the slope between the last two. */
function exponent(x: readonly number[], y: readonly number[]): number {
  const lx = x.map(Math.log);
  // 10 ms is the clock's step.
  const ly = y.map((v) => Math.log(Math.max(v, 0.01)));
  const mean = (v: number[]) => v.reduce((a, b) => a + b, 0) / v.length;
  const [mx, my] = [mean(lx), mean(ly)];
  let top = 0;
  let bottom = 0;
  for (const [i, a] of lx.entries()) {
    top += (a - mx) * (ly[i]! - my);
    bottom += (a - mx) ** 2;
  }
  const last = (ly.at(-1)! - ly.at(-2)!) / (lx.at(-1)! - lx.at(-2)!);
  return Math.max(top / bottom, last);
}

const rows = new Map<string, Row>();
for (const s of series) {
  if (values.only && !values.only.split(",").includes(s.name)) continue;
  for (const full of s.sizes) {
    const n = full * scale;
    const source = join(work, "source");
    mkdirSync(source);
    s.make(source, n);
    for (const [name, command] of Object.entries(programs)) {
      const repo = join(work, "repo");
      const env = {
        ...process.env,
        BORG_BASE_DIR: join(work, "base"),
        BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK: "yes",
      };
      const [file, ...args] = [...command, "init", "-e", "none", repo];
      const made = spawnSync(file!, args, { env, encoding: "utf8" });
      if (made.status !== 0) throw new Error(made.stderr);
      const steps: Series["steps"] = [
        ["create", ["create", "-C", "none", ...s.create, "REPO::first", "."]],
        ["create unchanged", ["create", "-C", "none", ...s.create, "REPO::second", "."]],
        ...s.steps,
        ["delete", ["delete", "REPO::first"]],
      ];
      for (const [title, args] of steps) {
        const found = await measure([...command, ...args.map((a) => a.replace("REPO", repo))], source, env);
        const key = `${s.name}\t${title}\t${name}`;
        const row = rows.get(key) ?? {
          series: s.name,
          unit: s.unit,
          step: title,
          program: name,
          sizes: [],
          cpu: [],
          memory: [],
          timeExponent: 0,
          memoryExponent: 0,
          perMillion: 0,
        };
        rows.set(key, row);
        row.sizes.push(n);
        row.cpu.push(found.cpu);
        row.memory.push(found.memory);
        console.error(
          `${n} ${s.unit}: ${title}, ${name}: CPU ${found.cpu.toFixed(2)} s, ${(found.memory / 1024).toFixed(0)} MiB`,
        );
      }
      rmSync(repo, { recursive: true });
      rmSync(join(work, "base"), { recursive: true });
    }
    rmSync(source, { recursive: true });
  }
}

let tooSteep = 0;
console.log("| | step | program | CPU s | peak MiB | exponent, time | exponent, memory | MiB per million |");
console.log("|---|---|---|---|---|---|---|---|");
for (const row of rows.values()) {
  row.timeExponent = exponent(row.sizes, row.cpu);
  row.memoryExponent = exponent(row.sizes, row.memory);
  const [first, last] = [row.memory[0]!, row.memory.at(-1)!];
  row.perMillion = ((last - first) / 1024 / (row.sizes.at(-1)! - row.sizes[0]!)) * 1e6;
  if (row.program === "alcove" && Math.max(row.timeExponent, row.memoryExponent) > ALLOWED) tooSteep++;
  const cells = [
    `${row.sizes.map((n) => n.toLocaleString("en")).join(" / ")} ${row.unit}`,
    row.step,
    row.program,
    row.cpu.map((v) => v.toFixed(2)).join(" / "),
    row.memory.map((v) => (v / 1024).toFixed(0)).join(" / "),
    row.timeExponent.toFixed(2),
    row.memoryExponent.toFixed(2),
    row.perMillion.toFixed(0),
  ];
  console.log(`| ${cells.join(" | ")} |`);
}
if (values.json) {
  const report = {
    node: process.version,
    quick: values.quick === true,
    allowed: ALLOWED,
    rows: [...rows.values()],
  };
  writeFileSync(values.json, `${JSON.stringify(report, null, 1)}\n`);
}
if (tooSteep > 0) {
  console.error(`${tooSteep} steps grow by more than the power of ${ALLOWED}`);
  process.exitCode = 1;
}
