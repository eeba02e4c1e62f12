// What flags, extended attributes and ACLs cost a backup: an unchanged create with and without --noxattrs --noacls
// --noflags, beside borg in the same run, on files that have none and on files that all have some. The difference of the
// two, a file, is the cost of the capture; CPU seconds of the process tree, minimum of the rounds.
//   tsx bench/metadata.ts [--files N] [--runs N] [--runtime node|deno|bun]
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { alcoveCommand, type RuntimeLabel, root } from "../test/support/programs.ts";
import { measure } from "./pipeline-measure.ts";

const option = (name: string, fallback: string): string => {
  const at = process.argv.indexOf(`--${name}`);
  return at < 0 ? fallback : process.argv[at + 1]!;
};
const FILES = Number(option("files", "30000"));
const RUNS = Number(option("runs", "5"));
const runtime = option("runtime", "node") as RuntimeLabel;

const work = mkdtempSync(join(tmpdir(), "alcove-bench-metadata-"));
const env = {
  PATH: process.env["PATH"],
  HOME: work,
  LANG: "C.UTF-8",
  BORG_BASE_DIR: join(work, "base"),
  BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK: "yes",
};

function must(program: string, args: string[], cwd = work): void {
  const r = spawnSync(program, args, { cwd, env, stdio: ["ignore", "ignore", "inherit"] });
  if (r.status !== 0) throw new Error(`${program} ${args.join(" ")} ended with ${r.status}`);
}

/** Tiny files, a hundred to a directory; with `rich` each has two attributes and an ACL, each directory a default one. */
function tree(name: string, rich: boolean): void {
  for (let i = 0; i < FILES; i++) {
    const dir = join(work, name, `d${Math.floor(i / 100)}`);
    if (i % 100 === 0) mkdirSync(dir, { recursive: true });
    writeFileSync(join(dir, `file${i}`), `${i}`);
  }
  if (!rich) return;
  const all = ["-R", "-m", "u:12345:r,g:54321:rx", name];
  must("setfacl", all);
  must("setfacl", ["-R", "-d", ...all.slice(1)]);
  for (const [key, value] of [
    ["user.comment", "a short remark"],
    ["user.origin", "https://example.org/some/where"],
  ] as const)
    must("sh", ["-c", `find "$0" -print0 | xargs -0 setfattr -n ${key} -v '${value}'`, name]);
}

const programs = { borg: ["borg"], alcove: alcoveCommand(runtime) };
type Program = keyof typeof programs;
const BARE = ["--noxattrs", "--noacls", "--noflags"];

interface Row {
  tree: string;
  program: Program;
  all: number;
  bare: number;
  /** µs a file. */
  cost: number;
}
const rows: Row[] = [];

try {
  for (const name of ["plain", "rich"]) {
    tree(name, name === "rich");
    const found: Record<Program, { all: number[]; bare: number[] }> = {
      borg: { all: [], bare: [] },
      alcove: { all: [], bare: [] },
    };
    for (const p of ["borg", "alcove"] as const) {
      must("borg", ["init", "-e", "none", `${p}-${name}`]);
      must(programs[p][0]!, [...programs[p].slice(1), "create", `${p}-${name}::first`, name]);
    }
    // The files cache distrusts the newest files: the first of these reads them.
    for (let round = 0; round <= RUNS; round++)
      for (const p of round % 2 ? (["alcove", "borg"] as const) : (["borg", "alcove"] as const))
        for (const way of ["all", "bare"] as const) {
          const extra = way === "bare" ? BARE : [];
          const archive = `${p}-${name}::${way}${round}`;
          const { cpu } = await measure([...programs[p], "create", ...extra, archive, name], work, env);
          if (round > 0) found[p][way].push(cpu);
        }
    for (const p of ["borg", "alcove"] as const) {
      const [all, bare] = [Math.min(...found[p].all), Math.min(...found[p].bare)];
      rows.push({ tree: name, program: p, all, bare, cost: ((all - bare) / FILES) * 1e6 });
    }
    must("borg", ["check", `alcove-${name}`]);
  }
} finally {
  rmSync(work, { recursive: true, force: true });
}

const cells = (r: Row): string =>
  `| ${r.tree} | ${r.program} | ${r.all.toFixed(2)} | ${r.bare.toFixed(2)} | ${r.cost.toFixed(1)} |`;
const report = `# The cost of flags, extended attributes and ACLs

${cpus().length} × ${cpus()[0]?.model ?? "?"}; ${FILES} files, unchanged create, ${runtime}; CPU seconds, minimum of ${RUNS}.
In the rich tree every file and directory has two attributes and an ACL. By --noxattrs, --noacls and --noflags nothing of it is saved.

| tree | program | all, s | none, s | µs a file |
|---|---|---|---|---|
${rows.map(cells).join("\n")}
`;
process.stdout.write(report);
mkdirSync(join(root, "bench", "results"), { recursive: true });
writeFileSync(join(root, "bench", "results", "metadata.md"), report);
writeFileSync(
  join(root, "bench", "results", "metadata.json"),
  `${JSON.stringify({ cpu: cpus()[0]?.model, cores: cpus().length, files: FILES, runs: RUNS, runtime, rows }, null, 2)}\n`,
);
