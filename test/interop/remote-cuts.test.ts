// The connection is cut at every kind of message: the server dies, the client dies, ssh dies, the link stalls. After
// each of them the next run continues, no committed archive is lost, and no lock stays that borg would not leave.
// ALCOVE_LONG=1: every kind of message × before and after × every victim × every pair, instead of a sample.
import { spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Repository } from "../../src/api/repository.ts";
import { serveProgram } from "./remote-program.ts";
import { type Cut, cutting, makeRelay, type Victim } from "./remote-relay.ts";
import { BORG, borgEnv, type Sshd, startSshd } from "./remote-sshd.ts";

const LONG = process.env["ALCOVE_LONG"] === "1";
const PASSPHRASE = { BORG_PASSPHRASE: "pass", BORG_NEW_PASSPHRASE: "pass" };

let sshd: Sshd;
let alcove: string;

beforeAll(async () => {
  sshd = await startSshd();
  alcove = await serveProgram(sshd.dir);
  makeRelay(sshd.dir);
  const source = join(sshd.dir, "source");
  mkdirSync(source);
  for (let i = 0; i < 20; i++) writeFileSync(join(source, `file${i}`), randomBytes(2000 + i * 3000));
  const env = borgEnv(join(sshd.dir, "base-home"), PASSPHRASE);
  mkdirSync(env["HOME"]!);
  for (const mode of ["none", "repokey"]) {
    for (const args of [
      ["init", "-e", mode, mode],
      ["create", `${mode}::kept`, "source"],
      ["create", "--timestamp", "2020-01-01T00:00:00", `${mode}::gone`, "relay.mjs"],
    ])
      expect(spawnSync(BORG, args, { cwd: sshd.dir, env }).status).toBe(0);
  }
  writeFileSync(join(source, "new"), randomBytes(2_000_000));
}, 60_000);
afterAll(() => sshd?.stop());

interface Message {
  method: string;
  count?: number;
  args: string[];
  /** The next run; the same command by default. */
  again?: string[];
  /** The repository has a key. */
  key?: true;
}
const CREATE = ["create", "URL::cut", "source"];
const NEXT = ["create", "URL::next", "source"];
const MESSAGES: Message[] = [
  { method: "negotiate", args: ["list", "URL"] },
  { method: "open", args: ["list", "URL"] },
  { method: "load_key", args: ["list", "URL"], key: true },
  { method: "get", count: 3, args: ["extract", "URL::kept"] },
  { method: "get_free_nonce", args: CREATE, again: NEXT, key: true },
  { method: "commit_nonce_reservation", args: CREATE, again: NEXT, key: true },
  { method: "put", count: 3, args: CREATE, again: NEXT },
  { method: "commit", args: CREATE, again: NEXT },
  { method: "delete", args: ["delete", "URL::gone"], again: NEXT },
  { method: "commit", args: ["compact", "--threshold", "0", "URL"] },
  { method: "__len__", args: ["check", "--archives-only", "URL"] },
  { method: "list", args: ["check", "--archives-only", "URL"] },
  { method: "scan", args: ["debug", "dump-repo-objs", "URL"] },
  { method: "check", args: ["check", "--repository-only", "URL"] },
  { method: "save_key", args: ["key", "change-passphrase", "URL"], key: true },
  { method: "break_lock", args: ["break-lock", "URL"] },
  { method: "destroy", args: ["delete", "URL"] },
];
const PAIRS = [
  ["alcove", "alcove"],
  ["alcove", "borg"],
  ["borg", "alcove"],
] as const;
const VICTIMS: Victim[] = ["server", "client", "ssh", "link"];

interface Cell extends Cut {
  client: string;
  server: string;
  message: Message;
  name: string;
}
const cells: Cell[] = PAIRS.flatMap(([client, server]) =>
  MESSAGES.flatMap((message) =>
    VICTIMS.flatMap((victim) =>
      (["before", "after"] as const).map((when) => ({
        ...{ client, server, message, victim, when, method: message.method, count: message.count ?? 1 },
        name: `${client} to ${server}: ${victim}, ${when} ${message.method} of ${message.args[0]}`,
      })),
    ),
  ),
);
// A number without a common divisor with the table's rows, so that the sample meets all of them in turn.
const sample = LONG ? cells : cells.filter((_, i) => i % 17 === 5);

async function until(what: string, condition: () => boolean): Promise<void> {
  for (let i = 0; i < 600; i++) {
    if (condition()) return;
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  throw new Error(`never happened: ${what}`);
}

describe("a connection that is cut", () => {
  it.each(sample)("$name", { timeout: 120_000 }, async (cell) => {
    const { client, message, victim } = cell;
    const work = join(sshd.dir, "work");
    rmSync(work, { recursive: true, force: true });
    mkdirSync(work);
    const path = join(work, "repo");
    cpSync(join(sshd.dir, message.key ? "repokey" : "none"), path, { recursive: true });
    cpSync(join(sshd.dir, "source"), join(work, "source"), { recursive: true });
    const server = cell.server === "borg" ? BORG : alcove;
    const way = cutting(sshd.dir, work, cell, sshd.rsh, server);
    const env = (rsh: string) =>
      borgEnv(join(work, "home"), {
        ...PASSPHRASE,
        BORG_RSH: rsh,
        BORG_REMOTE_PATH: way.remotePath,
        BORG_EXIT_CODES: "modern",
      });
    mkdirSync(join(work, "home"));
    const run = (rsh: string, args: readonly string[]) => {
      const words = args.map((a) => a.replace("URL", sshd.url(path)));
      const options = { env: env(rsh), cwd: work, encoding: "utf8", timeout: 60_000 } as const;
      return spawnSync(client === "borg" ? BORG : alcove, ["--lock-wait", "5", ...words], options);
    };
    const serverEnds = async () => {
      // Whether ssh came as far as starting one.
      if (!existsSync(join(work, "server"))) return;
      const pid = readFileSync(join(work, "server"), "utf8").trim();
      return until("the server ends", () => !existsSync(`/proc/${pid}`));
    };

    const broken = run(way.rsh, message.args);
    expect(existsSync(join(work, "mark")), broken.stderr).toBe(true);
    await serverEnds();
    // What was sent may have been answered before the cut: then nothing was lost at all.
    const answered = cell.when === "after" && broken.status === 0;
    if (victim === "link") expect(broken.stderr).toSatisfy(() => broken.status === 0);
    else if (answered) expect(broken.stderr).not.toMatch(/closed/);
    else if (victim === "client") expect(broken.signal).toBe("SIGKILL");
    else {
      expect(broken.stderr).toMatch(/connection (was )?closed/i);
      // borg 1.2 knows no modern exit codes; 1.4 has 80 for a closed connection.
      expect(client === "borg" ? [2, 80, 81] : [81]).toContain(broken.status);
    }
    // Borg leaves the lock of a server that was killed, and the next one sees that its process is gone.
    if (victim !== "server") expect(existsSync(join(path, "lock.exclusive"))).toBe(false);
    if (message.method === "destroy" && !existsSync(join(path, "config"))) return;
    const next = run(sshd.rsh, message.again ?? message.args);
    expect(next.stderr).toSatisfy(() => next.status === 0);
    await serverEnds();
    expect(existsSync(join(path, "lock.exclusive"))).toBe(false);
    if (message.method === "destroy") {
      expect(existsSync(path)).toBe(false);
      return;
    }
    const repository = await Repository.open(path, {
      passphrase: "pass",
      env: env(sshd.rsh),
      mode: "write",
    });
    const names = (await repository.archives()).map(({ name }) => name);
    const sound = await repository.check();
    await repository.close();
    expect(sound).toBe(true);
    expect(names).toEqual(expect.arrayContaining(message.again ? ["kept", "next"] : ["kept"]));
    // Only what was being changed may be there or not.
    expect(names.filter((n) => !["kept", "gone", "cut", "next"].includes(n))).toEqual([]);
    if (!LONG) return;
    const judge = spawnSync(BORG, ["check", path], {
      env: borgEnv(join(work, "judge"), PASSPHRASE),
      encoding: "utf8",
    });
    expect(judge.stderr).toSatisfy(() => judge.status === 0);
  });
});
