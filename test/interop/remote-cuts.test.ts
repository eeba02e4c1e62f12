// The server dies at a chosen message: a relay in front of it counts the requests of one method and kills it before
// or after it got that one. The next command of the same client continues, and what was committed is there.
import { spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { serveProgram } from "./remote-program.ts";
import { borgEnv, type Sshd, startSshd } from "./remote-sshd.ts";

let sshd: Sshd;
let alcove: string;

/** Passes a connection on, and ends server and itself at the COUNT-th request of METHOD; says so in a file. */
const RELAY = `
import { spawn } from "node:child_process";
import { writeFileSync } from "node:fs";
const [method, count, when, server, mark, ...args] = process.argv.slice(2);
const child = spawn(server, args, { stdio: ["pipe", "inherit", "inherit"] });
child.on("exit", (code) => process.exit(code ?? 1));
const byte = (n) => String.fromCharCode(n);
const word = byte(0xa1) + "m" + byte(0xa0 + method.length) + method + byte(0xa1) + "a";
let seen = 0;
let tail = "";
process.stdin.on("data", (data) => {
  const text = tail + data.toString("latin1");
  for (let at = text.indexOf(word); at >= 0; at = text.indexOf(word, at + 1)) seen++;
  tail = text.slice(-(word.length - 1));
  const cut = seen >= Number(count);
  if (!cut || when === "after") child.stdin.write(data);
  if (!cut) return;
  process.stdin.pause();
  writeFileSync(mark, method);
  setTimeout(() => child.kill("SIGKILL"), when === "after" ? 30 : 0);
});
process.stdin.on("end", () => child.stdin.end());
`;

beforeAll(async () => {
  sshd = await startSshd();
  alcove = await serveProgram(sshd.dir);
  writeFileSync(join(sshd.dir, "relay.mjs"), RELAY);
  const source = join(sshd.dir, "source");
  mkdirSync(source);
  for (let i = 0; i < 30; i++) writeFileSync(join(source, `file${i}`), randomBytes(2000 + i * 3000));
  const env = borgEnv(join(sshd.dir, "base-home"));
  mkdirSync(env["HOME"]!);
  for (const args of [
    ["init", "-e", "none", "base"],
    ["create", "base::kept", "source"],
    ["create", "--timestamp", "2020-01-01T00:00:00", "base::gone", "relay.mjs"],
  ])
    expect(spawnSync("borg", args, { cwd: sshd.dir, env }).status).toBe(0);
  writeFileSync(join(source, "new"), randomBytes(3_000_000));
}, 60_000);
afterAll(() => sshd?.stop());

const CUTS = [
  { method: "open", count: 1, when: "before", args: ["list", "URL"] },
  { method: "open", count: 1, when: "after", args: ["create", "URL::cut", "source"] },
  { method: "put", count: 3, when: "after", args: ["create", "URL::cut", "source"] },
  { method: "commit", count: 1, when: "before", args: ["create", "URL::cut", "source"] },
  { method: "commit", count: 1, when: "after", args: ["create", "URL::cut", "source"] },
  // Requests come in one piece; a server that got them could answer all of them before it dies.
  { method: "get", count: 9, when: "before", args: ["extract", "URL::kept"] },
  { method: "list", count: 1, when: "after", args: ["check", "--archives-only", "URL"] },
  { method: "delete", count: 1, when: "after", args: ["delete", "URL::gone"] },
  { method: "delete", count: 1, when: "before", args: ["prune", "--keep-last", "1", "URL"] },
] as const;

describe.each(["borg", "alcove"])("client %s", (client) => {
  const program = () => (client === "borg" ? "borg" : alcove);

  it.each(CUTS)("the server dies $when $method $count of $args", { timeout: 90_000 }, (cut) => {
    const { method, count, when } = cut;
    const work = join(sshd.dir, "work");
    rmSync(work, { recursive: true, force: true });
    mkdirSync(work);
    const path = join(work, "repo");
    cpSync(join(sshd.dir, "base"), path, { recursive: true });
    cpSync(join(sshd.dir, "source"), join(work, "source"), { recursive: true });
    const mark = join(work, "mark");
    const relay = `${process.execPath} ${join(sshd.dir, "relay.mjs")} ${method} ${count} ${when} ${alcove} ${mark}`;
    const url = sshd.url(path);
    const run = (remotePath: string, args: readonly string[]) => {
      const env = borgEnv(join(work, "home"), {
        BORG_RSH: sshd.rsh,
        BORG_REMOTE_PATH: remotePath,
        BORG_EXIT_CODES: "modern",
      });
      mkdirSync(env["HOME"]!, { recursive: true });
      const words = args.map((a) => a.replace("URL", url));
      return spawnSync(program(), words, { env, cwd: work, encoding: "utf8", timeout: 40_000 });
    };
    const broken = run(relay, cut.args);
    expect(existsSync(mark) && readFileSync(mark, "utf8"), broken.stderr).toBe(method);
    // A server that got its commit may have answered before it died: then nothing was lost at all.
    const answered = method === "commit" && when === "after" && broken.status === 0;
    if (!answered) {
      expect(broken.stderr).toMatch(/connection (was )?closed/i);
      // borg 1.2 knows no modern exit codes.
      expect(broken.status).toBe(client === "borg" ? 2 : 81);
    }
    const next = run(alcove, ["--lock-wait", "5", "create", "URL::next", "source"]);
    expect(next.stderr).toSatisfy(() => next.status === 0);
    const names = run(alcove, ["list", "--short", "URL"]).stdout.trim().split("\n");
    expect(names).toEqual(expect.arrayContaining(["kept", "next"]));
    // Only what was being changed may be there or not.
    expect(names.filter((n) => !["kept", "gone", "cut", "next"].includes(n))).toEqual([]);
    expect(existsSync(join(path, "lock.exclusive"))).toBe(false);
    const judge = spawnSync("borg", ["check", path], { env: borgEnv(join(work, "judge")), encoding: "utf8" });
    expect(judge.stderr).toSatisfy(() => judge.status === 0);
  });
});
