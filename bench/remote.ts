// create and extract over ssh, side by side with borg in the same run: on loopback, and over a link of 100 Mbit/s with
// 50 ms of round trip. `npm run build && npx tsx bench/remote.ts [--runs N] [--mb N] [--files N] [--pairs a-b,c-d]
// [--cells create,extract] [--sources big,small] [--links fast,slow] [--json FILE]`.
// A pair is CLIENT-SERVER; the ratio is borg-borg's time divided by the pair's, so above 1 is ahead of borg. CPU
// seconds are those of everything at both ends, ssh and sshd included. The slow link is a relay in user space: tc and
// a network namespace could limit the rate, but the delay needs netem, which the kernel of the machine measured lacks.
import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { join, resolve } from "node:path";
import { borgEnv, script, startSshd } from "../test/interop/remote-sshd.ts";

const option = (name: string, otherwise: string) => {
  const at = process.argv.indexOf(`--${name}`);
  return at < 0 ? otherwise : process.argv[at + 1]!;
};
const RUNS = Number(option("runs", "5"));
const MB = Number(option("mb", "96"));
const FILES = Number(option("files", "5000"));
const PAIRS = option("pairs", "borg-borg,alcove-alcove,alcove-borg,borg-alcove").split(",");
const SOURCES = option("sources", "big,small").split(",");
const LINKS = option("links", "fast,slow").split(",");
const ENCRYPTION = option("encryption", "repokey-blake2");
const JSON_FILE = option("json", "");
const MBIT = 100;
const ONE_WAY = 25;

/** Seconds: wall, and CPU of the client with its ssh and of the server with its sshd. */
interface Times {
  wall: number;
  client: number;
  server: number;
}
interface Cell {
  name: string;
  times: Map<string, Times[]>;
}

const sshd = await startSshd();
const link = spawn(
  process.execPath,
  ["--import", "tsx", resolve("bench/remote-link.ts"), String(sshd.port), String(MBIT), String(ONE_WAY)],
  {
    stdio: ["ignore", "pipe", "ignore"],
  },
);
process.once("exit", () => {
  link.kill();
  sshd.stop();
});
const slowPort = await new Promise<number>((done) => link.stdout.once("data", (data) => done(Number(data))));
const daemon = readFileSync(join(sshd.dir, "pid"), "utf8").trim();

/** Half noise, half text-like: the same bytes in every run. */
function fill(size: number, seed: string): Buffer {
  const out = Buffer.alloc(size);
  for (let at = 0, n = 0; at < size; at += 65536, n++) {
    const block = createHash("sha512").update(`${seed}${n}`).digest();
    let state = block.readUInt32LE();
    const end = Math.min(size, at + 65536);
    const text = n % 2 === 1;
    for (let i = at; i < end; i++) {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      out[i] = text ? 97 + ((state >>> 27) % 13) : state >>> 24;
    }
  }
  return out;
}

const big = join(sshd.dir, "big");
const small = join(sshd.dir, "small");
mkdirSync(big);
mkdirSync(small);
const bigFile = MB * 250_000;
for (let i = 0; i < 4; i++) writeFileSync(join(big, `f${i}`), fill(bigFile, `big${i}`));
for (let i = 0; i < FILES; i++)
  writeFileSync(join(small, `f${i}`), fill(1000 + ((i * 7919) % 15000), `small${i}`));

const alcoveFile = resolve(option("alcove", "dist/alcove.mjs"));
const programs: Record<string, string> = {
  borg: "borg",
  alcove: script(join(sshd.dir, "alcove"), `exec ${process.execPath} ${alcoveFile} "$@"`),
};

/** CPU seconds of the children that a process has waited for, and of theirs (10 ms steps). */
function childrenCpu(pid: string): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[13]) + Number(fields[14])) / 100;
}

async function timed(
  client: string,
  server: string,
  slow: boolean,
  args: string[],
  cwd: string,
): Promise<Times> {
  const rsh = `${sshd.rsh} -o HostKeyAlias=[127.0.0.1]:${sshd.port}`;
  const env = borgEnv(join(sshd.dir, `home-${client}`), {
    BORG_RSH: slow ? `${rsh} -o Port=${slowPort}` : `${rsh} -o Port=${sshd.port}`,
    BORG_REMOTE_PATH: programs[server]!,
    BORG_PASSPHRASE: "x",
  });
  mkdirSync(env["HOME"]!, { recursive: true });
  const before = [childrenCpu("self"), childrenCpu(daemon)] as const;
  const start = performance.now();
  const done = spawnSync(programs[client]!, args, { env, cwd, encoding: "utf8" });
  const wall = (performance.now() - start) / 1000;
  if (done.status !== 0) throw new Error(`${client} ${args.join(" ")}: ${done.status} ${done.stderr}`);
  // sshd waits for its session a moment after the client has gone.
  await new Promise((resolve) => setTimeout(resolve, 200));
  return { wall, client: childrenCpu("self") - before[0], server: childrenCpu(daemon) - before[1] };
}

const median = (numbers: number[]): number => {
  const sorted = [...numbers].sort((a, b) => a - b);
  const half = sorted.length >> 1;
  return sorted.length % 2 ? sorted[half]! : (sorted[half - 1]! + sorted[half]!) / 2;
};

/** Best wall and best CPU: what other work on the machine adds is no property of the program. */
function summary(times: Times[]) {
  return {
    wall: Math.min(...times.map((t) => t.wall)),
    median: median(times.map((t) => t.wall)),
    client: Math.min(...times.map((t) => t.client)),
    server: Math.min(...times.map((t) => t.server)),
  };
}

const rows: Record<string, unknown>[] = [];
let extracted = 0;
for (const slow of LINKS.map((name) => name === "slow")) {
  for (const source of SOURCES) {
    const cell = (what: string): Cell => ({
      name: `${what} ${source}${slow ? ", slow link" : ""}`,
      times: new Map(PAIRS.map((pair) => [pair, []])),
    });
    const create = cell("create");
    const extract = cell("extract");
    // The pairs take turns, so that a change in the machine's load hits all of them alike.
    for (let run = 0; run < RUNS; run++) {
      for (const pair of PAIRS) {
        const [client, server] = pair.split("-") as [string, string];
        const repository = join(sshd.dir, "repo");
        const url = `ssh://${sshd.user}@127.0.0.1${repository}`;
        const out = join(sshd.dir, `out-${++extracted}`);
        mkdirSync(out);
        await timed(client, server, false, ["init", "-e", ENCRYPTION, url], sshd.dir);
        create.times
          .get(pair)!
          .push(await timed(client, server, slow, ["create", `${url}::a`, source], sshd.dir));
        extract.times.get(pair)!.push(await timed(client, server, slow, ["extract", `${url}::a`], out));
        if (run === 0 && spawnSync("diff", ["-r", join(sshd.dir, source), join(out, source)]).status !== 0) {
          throw new Error(`${pair}: what was extracted differs`);
        }
        // What was extracted stays until the end: for some seconds after many files were removed ext4 makes new ones at
        // a tenth of its speed (it looks for inodes that were not used lately), and that would meet whoever is next.
        for (const dir of [repository, join(sshd.dir, `home-${client}`)]) rmSync(dir, { recursive: true });
      }
    }
    for (const { name, times } of [create, extract]) {
      const base = summary(times.get(PAIRS[0]!)!);
      for (const pair of PAIRS) {
        const s = summary(times.get(pair)!);
        const cpu = s.client + s.server;
        const ratio = {
          wall: base.wall / s.wall,
          median: base.median / s.median,
          cpu: (base.client + base.server) / cpu,
        };
        rows.push({ cell: name, pair, ...s, ratio });
        const figures = [
          `${s.wall.toFixed(2)} s (${ratio.wall.toFixed(2)})`,
          `median ${s.median.toFixed(2)} s (${ratio.median.toFixed(2)})`,
          `CPU ${s.client.toFixed(2)} + ${s.server.toFixed(2)} s (${ratio.cpu.toFixed(2)})`,
        ];
        process.stdout.write(
          `${name.padEnd(26)} ${pair.padEnd(14)} ${figures.map((f) => f.padEnd(22)).join(" ")}\n`,
        );
      }
    }
  }
}
const setting = {
  runs: RUNS,
  big: `${MB} MB in 4 files`,
  small: `${FILES} files of 1 to 16 kB`,
  encryption: ENCRYPTION,
  slowLink: `${MBIT} Mbit/s, ${2 * ONE_WAY} ms`,
};
process.stdout.write(
  `best of ${RUNS}; big: ${setting.big}, small: ${setting.small}; ${ENCRYPTION}; slow link: ${setting.slowLink}\n`,
);
if (JSON_FILE) {
  const report = {
    runtime: `node-${process.versions.node}`,
    cpu: cpus()[0]?.model,
    cpus: cpus().length,
    borg: spawnSync("borg", ["--version"], { encoding: "utf8" }).stdout.trim(),
    date: new Date().toISOString(),
    unit: "seconds; ratios to borg-borg, above 1 is ahead of borg",
    setting,
    rows,
  };
  writeFileSync(JSON_FILE, `${JSON.stringify(report, null, 1)}\n`);
}
process.exit();
