// Mounts side by side with borg's, in one run on the same repository: time to the first listing (starting the
// program included), `find -ls` over everything, reading every file, CPU time and resident memory of the serving
// process; for one archive of many files and for a repository with 100 archives. Needs root, /dev/fuse, borg with a
// FUSE binding, and dist/alcove.mjs. Usage: bench/mount.ts [files=60000] [archives=100]; prints a table and JSON.
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
import { tmpdir } from "node:os";
import { join } from "node:path";
import { alcoveCommand, type RuntimeLabel } from "../test/support/programs.ts";

const files = Number(process.argv[2] ?? 60_000);
const archives = Number(process.argv[3] ?? 100);
const rounds = 3;
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

interface Figures {
  first: number;
  find: number;
  read: number;
  cpu: number;
  rss: number;
  anon: number;
}

const shell = (script: string): string =>
  execFileSync("bash", ["-c", script], { env, encoding: "utf8", timeout: 600_000, maxBuffer: 1 << 28 });
const seconds = (work: () => void): number => {
  const t = performance.now();
  work();
  return (performance.now() - t) / 1000;
};

/** The process that has /dev/fuse open and says it mounts here. */
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

function measure(command: readonly string[], location: string, look: string): Figures {
  try {
    const first = seconds(() => {
      const r = spawnSync(command[0]!, [...command.slice(1), "mount", location, mnt], {
        env,
        stdio: "ignore",
        timeout: 120_000,
      });
      if (r.status !== 0) throw new Error(`${command.join(" ")} mount: ${r.status}`);
      shell(`ls ${mnt}${look} > /dev/null`);
    });
    const find = seconds(() => shell(`find ${mnt}${look} -ls > /dev/null`));
    const read = seconds(() => shell(`find ${mnt}${look} -type f -print0 | xargs -0 cat > /dev/null`));
    const pid = server();
    const status = readFileSync(`/proc/${pid}/status`, "utf8");
    const mb = (name: string): number =>
      Number(new RegExp(`${name}:\\s+(\\d+)`).exec(status)?.[1] ?? 0) / 1024;
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8")
      .replace(/^.*\) /, "")
      .split(" ");
    return {
      first,
      find,
      read,
      cpu: (Number(stat[11]) + Number(stat[12])) / 100,
      rss: mb("VmRSS"),
      anon: mb("RssAnon"),
    };
  } finally {
    spawnSync("umount", ["-l", mnt], { timeout: 10_000 });
    spawnSync("sleep", ["0.5"]);
  }
}

const median = (all: Figures[]): Figures => {
  const of = (key: keyof Figures) =>
    all.map((f) => f[key]).sort((a, b) => a - b)[Math.floor(all.length / 2)]!;
  return {
    first: of("first"),
    find: of("find"),
    read: of("read"),
    cpu: of("cpu"),
    rss: of("rss"),
    anon: of("anon"),
  };
};

try {
  makeCorpus();
  shell(`cd ${dir} && borg init -e repokey repo 2>/dev/null && cd src && borg create ../repo::a0 .`);
  for (let i = 1; i < archives; i++) {
    writeFileSync(join(dir, "src", "changing"), String(i));
    shell(`cd ${dir}/src && borg create ../repo::a${i} .`);
  }
  const labels = (["node20", "node24", "node26", "bun", "deno"] as RuntimeLabel[]).filter((l) =>
    existsSync(alcoveCommand(l)[0]!),
  );
  const programs: [string, string[]][] = [
    ["borg", ["borg"]],
    ...labels.map((l): [string, string[]] => [l, alcoveCommand(l)]),
  ];
  const results: Record<string, Record<string, Figures>> = {};
  for (const [step, location, look] of [
    ["one archive", `${dir}/repo::a0`, ""],
    [`${archives} archives, one looked at`, `${dir}/repo`, "/a0"],
  ] as const) {
    const runs = new Map<string, Figures[]>(programs.map(([name]) => [name, []]));
    // Alternating, so that what else the machine does falls on all alike.
    for (let round = 0; round < rounds; round++)
      for (const [name, command] of programs) runs.get(name)!.push(measure(command, location, look));
    const table = Object.fromEntries([...runs].map(([name, all]) => [name, median(all)]));
    results[step] = table;
    const borg = table["borg"]!;
    console.log(`\n${step}, ${files} files: seconds and MB (times faster or smaller than borg)`);
    for (const [name, f] of Object.entries(table)) {
      const cells = (Object.keys(f) as (keyof Figures)[]).map(
        (k) => `${k} ${f[k].toFixed(2)} (${(borg[k] / f[k]).toFixed(2)})`,
      );
      console.log(`${name.padEnd(8)} ${cells.join("  ")}`);
    }
  }
  console.log(JSON.stringify(results));
} finally {
  spawnSync("umount", ["-l", mnt], { timeout: 10_000, stdio: "ignore" });
  rmSync(dir, { recursive: true, force: true });
}
