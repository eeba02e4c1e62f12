// Start-up against borg: `--version`, and `list` of a small repository, on every runtime, in turns and as medians.
//   npm run build && npx tsx bench/startup.ts [--rounds N] [--json FILE]
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { alcoveCommand, type RuntimeLabel, root, Sandbox } from "../test/support/programs.ts";

const { values } = parseArgs({ options: { rounds: { type: "string" }, json: { type: "string" } } });
const rounds = Number(values.rounds ?? 15);

const box = new Sandbox();
const programs = new Map<string, string[]>([["borg", ["borg"]]]);
for (const label of ["node20", "node24", "node26", "deno", "bun"] as const satisfies RuntimeLabel[])
  programs.set(label, alcoveCommand(label));
const executable = `${root}/dist/exe/alcove-linux-${process.arch}`;
if (existsSync(executable)) programs.set("executable", [executable]);

try {
  mkdirSync(box.path("data"));
  for (let i = 0; i < 20; i++) writeFileSync(box.path("data", `file${i}`), `${i}`);
  box.ok(box.borg(["init", "-e", "repokey", "repo"]));
  for (let i = 0; i < 5; i++) box.ok(box.borg(["create", `repo::archive${i}`, "data"]));
  const results: Record<string, Record<string, { ms: number; ratio: number }>> = {};
  for (const [name, args] of [
    ["--version", ["--version"]],
    ["list", ["list", "repo"]],
    ["list of an archive", ["list", "repo::archive1"]],
  ] as const) {
    const times = new Map<string, number[]>([...programs.keys()].map((k) => [k, []]));
    // Alternating, so that what else the machine does meets all of them; the first round warms the page cache.
    for (let round = 0; round <= rounds; round++) {
      for (const [program, command] of programs) {
        const start = performance.now();
        const r = spawnSync(command[0]!, [...command.slice(1), ...args], {
          cwd: box.dir,
          env: box.env as NodeJS.ProcessEnv,
        });
        const ms = performance.now() - start;
        if (r.status !== 0) throw new Error(`${program} ${args.join(" ")}: ${r.stderr}`);
        if (round > 0) times.get(program)!.push(ms);
      }
    }
    const median = (list: number[]): number => list.sort((a, b) => a - b)[list.length >> 1]!;
    const medians = new Map([...times].map(([k, v]) => [k, median(v)]));
    const reference = medians.get("borg")!;
    console.log(`\n${name}`);
    results[name] = {};
    for (const [program, ms] of medians) {
      results[name][program] = {
        ms: Math.round(ms * 10) / 10,
        ratio: Math.round((reference / ms) * 100) / 100,
      };
      console.log(`  ${program.padEnd(12)} ${ms.toFixed(0).padStart(6)} ms ${(reference / ms).toFixed(2)} ×`);
    }
  }
  if (values.json) writeFileSync(values.json, `${JSON.stringify({ rounds, results }, null, 2)}\n`);
} finally {
  box.remove();
}
