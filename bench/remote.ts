// create and extract over ssh, side by side with borg in the same run: on loopback, and over a link of 100 Mbit/s with
// 50 ms of round trip. `npm run build && npx tsx bench/remote.ts [--runs N] [--mb N] [--files N] [--clients a,b]`.
// A pair is CLIENT-SERVER; the ratio is borg-borg's time divided by the pair's, so above 1 is ahead of borg.
import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { borgEnv, script, startSshd } from "../test/interop/remote-sshd.ts";

const option = (name: string, otherwise: string) => {
  const at = process.argv.indexOf(`--${name}`);
  return at < 0 ? otherwise : process.argv[at + 1]!;
};
const RUNS = Number(option("runs", "3"));
const MB = Number(option("mb", "48"));
const FILES = Number(option("files", "2000"));
const PAIRS = option("pairs", "borg-borg,alcove-alcove,alcove-borg,borg-alcove").split(",");
const ENCRYPTION = option("encryption", "repokey-blake2");
const MBIT = 100;
const ONE_WAY = 25;

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

function timed(client: string, server: string, slow: boolean, args: string[], cwd: string): number {
  const rsh = `${sshd.rsh} -o HostKeyAlias=[127.0.0.1]:${sshd.port}`;
  const env = borgEnv(join(sshd.dir, `home-${client}`), {
    BORG_RSH: slow ? `${rsh} -o Port=${slowPort}` : `${rsh} -o Port=${sshd.port}`,
    BORG_REMOTE_PATH: programs[server]!,
    BORG_PASSPHRASE: "x",
  });
  mkdirSync(env["HOME"]!, { recursive: true });
  const start = performance.now();
  const done = spawnSync(programs[client]!, args, { env, cwd, encoding: "utf8" });
  const seconds = (performance.now() - start) / 1000;
  if (done.status !== 0) throw new Error(`${client} ${args.join(" ")}: ${done.status} ${done.stderr}`);
  return seconds;
}

const cells: { name: string; times: Map<string, number[]> }[] = [];
for (const slow of [false, true]) {
  for (const source of ["big", "small"]) {
    const create = {
      name: `create ${source}${slow ? ", slow link" : ""}`,
      times: new Map<string, number[]>(),
    };
    const extract = {
      name: `extract ${source}${slow ? ", slow link" : ""}`,
      times: new Map<string, number[]>(),
    };
    cells.push(create, extract);
    // The pairs take turns, so that a change in the machine's load hits all of them alike.
    for (let run = 0; run < RUNS; run++) {
      for (const pair of PAIRS) {
        const [client, server] = pair.split("-") as [string, string];
        const repository = join(sshd.dir, "repo");
        const url = `ssh://${sshd.user}@127.0.0.1${repository}`;
        const out = join(sshd.dir, "out");
        mkdirSync(out);
        timed(client, server, false, ["init", "-e", ENCRYPTION, url], sshd.dir);
        const note = (cell: typeof create, t: number) =>
          cell.times.set(pair, [...(cell.times.get(pair) ?? []), t]);
        note(create, timed(client, server, slow, ["create", `${url}::a`, source], sshd.dir));
        note(extract, timed(client, server, slow, ["extract", `${url}::a`], out));
        if (run === 0 && spawnSync("diff", ["-r", join(sshd.dir, source), join(out, source)]).status !== 0) {
          throw new Error(`${pair}: what was extracted differs`);
        }
        for (const dir of [repository, out, join(sshd.dir, `home-${client}`)])
          rmSync(dir, { recursive: true });
      }
    }
    const best = (times: number[]) => Math.min(...times);
    for (const cell of [create, extract]) {
      const base = best(cell.times.get("borg-borg") ?? [Number.NaN]);
      const columns = PAIRS.map((pair) => {
        const t = best(cell.times.get(pair)!);
        return `${pair} ${t.toFixed(2)} s (${(base / t).toFixed(2)})`;
      });
      process.stdout.write(`${cell.name.padEnd(28)} ${columns.join("   ")}\n`);
    }
  }
}
process.stdout.write(
  `best of ${RUNS}; big: ${MB} MB in 4 files, small: ${FILES} files; ${ENCRYPTION}; ${MBIT} Mbit/s, ${2 * ONE_WAY} ms\n`,
);
process.exit();
