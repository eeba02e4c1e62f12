// Mounts side by side with borg's, in one run on the same repository: time to the first listing (starting the
// program included), `find -ls` over everything, reading every file, CPU time and memory of the serving process; for
// one archive of many files and for a repository with many archives. Needs root, /dev/fuse, borg with a FUSE binding,
// and dist/alcove.mjs. Usage: bench/mount.ts [files=60000] [archives=100] [rounds=3] [runtimes=node24,bun,…]
// Prints a table, and writes it and the figures to bench/results/mount.md and mount.json.
import { execFileSync, spawnSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { alcoveCommand, type RuntimeLabel, root } from "../test/support/programs.ts";

const files = Number(process.argv[2] ?? 60_000);
const archives = Number(process.argv[3] ?? 100);
const rounds = Number(process.argv[4] ?? 3);
const wanted = (process.argv[5] ?? "node20,node24,node26,bun,deno").split(",") as RuntimeLabel[];
/** Archives of the repository that are looked into, for their memory. */
const LOOKED_AT = 10;
/** How long a process is left alone before its memory is taken, in seconds. */
const REST = 3;
const dir = mkdtempSync(join(tmpdir(), "alcove-bench-mount-"));
const mnt = join(dir, "mnt");
const env = {
  ...process.env,
  BORG_BASE_DIR: join(dir, "base"),
  BORG_PASSPHRASE: "bench",
  BORG_RELOCATED_REPO_ACCESS_IS_OK: "yes",
};
mkdirSync(mnt);

/** Text of some entropy, the same in every run. */
let seed = 1;
const random = (): number => {
  seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
  return seed / 2 ** 32;
};
const words = Array.from({ length: 4096 }, () => Math.floor(random() * 36 ** 6).toString(36));
function makeCorpus(): void {
  for (let i = 0; i < files; i++) {
    const d = join(dir, "src", `d${Math.floor(i / 1000)}`, `s${Math.floor(i / 50) % 20}`);
    if (i % 50 === 0) mkdirSync(d, { recursive: true });
    let text = "";
    for (const size = 200 * 1.1 ** (random() * 45); text.length < size; )
      text += `${words[Math.floor(random() * 4096)]} `;
    writeFileSync(join(d, `f${i}`), text);
  }
  for (let i = 0; i < 3; i++) {
    const big = Buffer.alloc(32 << 20);
    for (let at = 0; at < big.length; at += 4) big.writeUInt32LE((random() * 2 ** 32) >>> 0, at);
    writeFileSync(join(dir, "src", `big${i}`), big);
  }
}

/** Figures by name: seconds, or MB where the name says so. */
type Figures = Record<string, number>;

const shell = (script: string): string =>
  execFileSync("bash", ["-c", script], { env, encoding: "utf8", timeout: 600_000, maxBuffer: 1 << 28 });
const seconds = (work: () => void): number => {
  const t = performance.now();
  work();
  return (performance.now() - t) / 1000;
};
const rest = (): void => void spawnSync("sleep", [String(REST)]);

/** The process that says it mounts here. */
function server(): string {
  for (const pid of readdirSync("/proc")) {
    if (!/^\d+$/.test(pid)) continue;
    try {
      if (readFileSync(`/proc/${pid}/cmdline`, "latin1").split("\0").includes(mnt)) return pid;
    } catch {
      // it has ended
    }
  }
  throw new Error("nobody serves the mount");
}

/** Resident memory: all of it, with shared pages divided among those who have them, and what is no file. */
function memory(pid: string, when: string): Figures {
  const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8");
  const mb = (name: string): number =>
    Number(new RegExp(`^${name}:\\s+(\\d+)`, "m").exec(rollup)?.[1] ?? Number.NaN) / 1024;
  return {
    [`RSS ${when} MB`]: mb("Rss"),
    [`PSS ${when} MB`]: mb("Pss"),
    [`anonymous ${when} MB`]: mb("Anonymous"),
  };
}

function cpu(pid: string): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8")
    .replace(/^.*\) /, "")
    .split(" ");
  return (Number(stat[11]) + Number(stat[12])) / 100;
}

/** CPU time of the process that was started, as bash's times tells it of its children. It ends when the mount answers:
 *  what it did before goes to borg's server, which is forked from it, and comes on top of ours, which is started. */
function startTime(text: string): number {
  const [user = 0, system = 0] = [...(text.trim().split("\n").at(-1) ?? "").matchAll(/(\d+)m([\d.]+)s/g)].map(
    ([, minutes, rest]) => 60 * Number(minutes) + Number(rest),
  );
  return user + system;
}

function mounted(command: readonly string[], location: string, work: (pid: string) => Figures): Figures {
  try {
    let started = 0;
    const first = seconds(() => {
      const words = [...command, "mount", location, mnt].map((w) => `'${w}'`).join(" ");
      started = startTime(shell(`${words} < /dev/null > /dev/null 2>&1 || exit; times`));
      shell(`ls ${mnt} > /dev/null`);
    });
    const { "CPU time": served = 0, ...figures } = work(server());
    return { "first listing": first, ...figures, "CPU time with starting": started + served };
  } finally {
    spawnSync("umount", ["-l", mnt], { timeout: 10_000 });
    spawnSync("sleep", ["0.5"]);
  }
}

/** Lists and reads everything below a directory of the mount. */
function through(pid: string, directory: string): Figures {
  const find = seconds(() => shell(`find ${directory} -ls > /dev/null`));
  const read = seconds(() => shell(`find ${directory} -type f -print0 | xargs -0 cat > /dev/null`));
  const atOnce = memory(pid, "while reading")["RSS while reading MB"]!;
  const used = cpu(pid);
  rest();
  return {
    "find -ls": find,
    "read all": read,
    "CPU time": used,
    "RSS while reading MB": atOnce,
    ...memory(pid, "after reading"),
  };
}

const oneArchive = (command: readonly string[]): Figures =>
  mounted(command, `${dir}/repo::a0`, (pid) => {
    rest();
    return { ...memory(pid, "after first listing"), ...through(pid, mnt) };
  });

const manyArchives = (command: readonly string[]): Figures =>
  mounted(command, `${dir}/repo`, (pid) => {
    rest();
    const before = memory(pid, "after first listing");
    const into = seconds(() => shell(`ls ${mnt}/a0 > /dev/null`));
    const figures = { ...before, "first look into an archive": into, ...through(pid, `${mnt}/a0`) };
    const looks = seconds(() => {
      for (let i = 1; i < Math.min(archives, LOOKED_AT); i++) shell(`ls ${mnt}/a${i} > /dev/null`);
    });
    rest();
    return { ...figures, "looks into 9 more": looks, ...memory(pid, "with 10 archives") };
  });

function median(all: Figures[]): Figures {
  const middle = (key: string) => all.map((f) => f[key]!).sort((a, b) => a - b)[Math.floor(all.length / 2)]!;
  return Object.fromEntries(Object.keys(all[0]!).map((key) => [key, middle(key)]));
}

try {
  makeCorpus();
  shell(`cd ${dir} && borg init -e repokey repo 2>/dev/null && cd src && borg create ../repo::a0 .`);
  for (let i = 1; i < archives; i++) {
    writeFileSync(join(dir, "src", "changing"), String(i));
    shell(`cd ${dir}/src && borg create ../repo::a${i} .`);
  }
  const programs: [string, string[]][] = [
    ["borg", ["borg"]],
    ...wanted
      .filter((l) => existsSync(alcoveCommand(l)[0]!))
      .map((l): [string, string[]] => [l, alcoveCommand(l)]),
  ];
  const results: Record<string, Record<string, Figures>> = {};
  let report = `# Mount beside borg's\n\n${cpus().length} × ${cpus()[0]?.model ?? "?"}, ${shell("borg --version").trim()}; median of ${rounds} rounds in turns. Figure, and in parentheses how many times faster or smaller than borg. Memory is that of the serving process, ${REST} s after the work unless it says otherwise.\n`;
  for (const [step, measure] of [
    [`one archive of ${files} files`, oneArchive],
    [`a repository with ${archives} archives of ${files} files`, manyArchives],
  ] as const) {
    const runs = new Map<string, Figures[]>(programs.map(([name]) => [name, []]));
    // Alternating, so that what else the machine does falls on all alike.
    for (let round = 0; round < rounds; round++)
      for (const [name, command] of programs) runs.get(name)!.push(measure(command));
    const table = Object.fromEntries([...runs].map(([name, all]) => [name, median(all)]));
    results[step] = table;
    const borg = table["borg"]!;
    report += `\n## ${step}\n\n| | ${programs.map(([name]) => name).join(" | ")} |\n|---|${programs.map(() => "---|").join("")}\n`;
    for (const key of Object.keys(borg)) {
      const cells = programs.map(([name]) => {
        const figure = table[name]![key]!;
        const shown = figure.toFixed(key.endsWith("MB") ? 0 : 2);
        return name === "borg" ? shown : `${shown} (${(borg[key]! / figure).toFixed(2)})`;
      });
      report += `| ${key}${key.endsWith("MB") ? "" : ", s"} | ${cells.join(" | ")} |\n`;
    }
  }
  console.log(report);
  writeFileSync(join(root, "bench/results/mount.md"), report);
  writeFileSync(
    join(root, "bench/results/mount.json"),
    `${JSON.stringify({ files, archives, rounds, results }, null, 1)}\n`,
  );
} finally {
  spawnSync("umount", ["-l", mnt], { timeout: 10_000, stdio: "ignore" });
  rmSync(dir, { recursive: true, force: true });
}
