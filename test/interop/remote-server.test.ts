// Real borg against our server, behind a real OpenSSH server: errors, and the restrictions of forced commands. Every
// command is in remote-pairs.test.ts, connections that are cut are in remote-cuts.test.ts.
import { execFileSync, spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parseLocation } from "../../src/format/location.ts";
import { type RemoteOptions, RemoteRepository } from "../../src/remote/client.ts";
import { serveProgram } from "./remote-program.ts";
import { BORG, borgEnv, type Sshd, startSshd } from "./remote-sshd.ts";

/** Archives of different days: prune keeps one a second, and a fast machine makes two in one. */
const day = (n: number): string[] => ["--timestamp", `2024-05-0${n}T12:00:00`];

let sshd: Sshd;
/** A shell script that is our `serve`. */
let alcove: string;
let source: string;

beforeAll(async () => {
  sshd = await startSshd();
  alcove = await serveProgram(sshd.dir);
  source = join(sshd.dir, "source");
  mkdirSync(source);
  for (let i = 0; i < 3; i++) writeFileSync(join(source, `file${i}`), randomBytes(2_500_000));
}, 60_000);
afterAll(() => sshd?.stop());

function run(
  args: string[],
  options: { env?: Record<string, string>; rsh?: string; remotePath?: string } = {},
) {
  const env = borgEnv(sshd.dir, {
    BORG_RSH: options.rsh ?? sshd.rsh,
    BORG_REMOTE_PATH: options.remotePath ?? alcove,
    BORG_PASSPHRASE: "pass",
    BORG_EXIT_CODES: "modern",
    ...options.env,
  });
  const done = spawnSync(BORG, args, { env, cwd: sshd.dir, encoding: "utf8", timeout: 120_000 });
  return { code: done.status, stdout: done.stdout, stderr: done.stderr };
}

function ok(args: string[], options: Parameters<typeof run>[1] = {}): string {
  const done = run(args, options);
  expect(done.stderr + done.stdout, args.join(" ")).toSatisfy(() => done.code === 0);
  return done.stdout + done.stderr;
}

/** The repository as real borg sees it without any server. */
function judge(path: string): void {
  ok(["check", "--verify-data", path]);
}

describe("errors that borg's client shows", () => {
  it("are those of borg's own server", { timeout: 60_000 }, () => {
    const path = join(sshd.dir, "errors");
    ok(["init", "-e", "none", sshd.url(path)]);
    const own = (args: string[]) => run(args, { remotePath: BORG });
    const cases: string[][] = [
      ["list", sshd.url("/no/such/repository")],
      ["init", "-e", "none", sshd.url("/no/such/parent/repository")],
      ["init", "-e", "none", sshd.url(path)],
      ["init", "-e", "none", sshd.url(join(path, "inside"))],
      ["init", "-e", "none", sshd.url(source)],
    ];
    const pathOnly = (text: string) => text.replace(/^(Remote: )?/gm, "").trim();
    for (const args of cases) {
      const [ours, theirs] = [run(args), own(args)];
      expect([ours.code, pathOnly(ours.stderr)], args.join(" ")).toEqual([
        theirs.code,
        pathOnly(theirs.stderr),
      ]);
    }
    // Borg 1.2 shows the server's own words for this one.
    expect(run(["list", sshd.url(source)]).stderr).toMatch(/source is not a valid repository/);
    mkdirSync(join(path, "lock.exclusive"));
    writeFileSync(join(path, "lock.exclusive", "elsewhere@1.77-0"), "");
    const locked = ["--lock-wait", "1", "list", sshd.url(path)];
    const done = run(locked);
    // Borg 1.2 shows what the server says of the holder, 1.4 its own words.
    expect(done.stderr).toMatch(
      process.env["ALCOVE_BORG14"] ? /lock .*\(timeout\)/ : /the lock .*\(timeout\).*77 on elsewhere/,
    );
    expect(done.code).toBe(own(locked).code);
    ok(["break-lock", sshd.url(path)]);
    ok(["list", sshd.url(path)]);
  });
});

describe("forced commands", () => {
  const forced = (args: string[]) => run(args, { rsh: sshd.rshForced });

  it("restrict paths, also through symlinks and dots", { timeout: 60_000 }, () => {
    const allowed = join(sshd.dir, "allowed");
    mkdirSync(allowed);
    sshd.force(`${alcove} serve --restrict-to-path ${allowed}`);
    expect(forced(["init", "-e", "none", sshd.url(`${allowed}/repo`)]).code).toBe(0);
    expect(forced(["list", sshd.url(`${allowed}/repo`)]).code).toBe(0);
    execFileSync("ln", ["-s", "/", join(allowed, "root")]);
    for (const bad of [
      `${allowed}-not`,
      `${sshd.dir}/x`,
      `${allowed}/../y`,
      `${allowed}/root/${sshd.dir}/z`,
      "/~/z",
      "/./z",
    ]) {
      const done = forced(["init", "-e", "none", sshd.url(bad)]);
      expect(done.stderr, bad).toContain("Repository path not allowed");
      expect(done.code).not.toBe(0);
    }
    expect(existsSync(`${allowed}-not`)).toBe(false);
    sshd.force(`${alcove} serve --restrict-to-repository ${allowed}/repo`);
    expect(forced(["list", sshd.url(`${allowed}/repo/`)]).code).toBe(0);
    expect(forced(["init", "-e", "none", sshd.url(`${allowed}/repo2`)]).stderr).toContain("not allowed");
    expect(forced(["init", "-e", "none", sshd.url(allowed)]).stderr).toContain("not allowed");
  });

  it("append-only: nothing is lost, whatever the client does", { timeout: 60_000 }, () => {
    const path = join(sshd.dir, "append");
    const url = sshd.url(path);
    ok(["init", "-e", "none", url]);
    ok(["create", ...day(1), `${url}::one`, "source"]);
    sshd.force(`${alcove} serve --append-only --restrict-to-path ${sshd.dir}`);
    const before = readdirSync(join(path, "data", "0"));
    expect(forced(["delete", `${url}::one`]).code).toBe(0);
    expect(forced(["compact", "--threshold", "0", url]).code).toBe(0);
    expect(forced(["delete", url]).code).not.toBe(0);
    expect(forced(["check", "--repair", url]).code).not.toBe(0);
    expect(existsSync(join(path, "config"))).toBe(true);
    const after = readdirSync(join(path, "data", "0"));
    expect(after).toEqual(expect.arrayContaining(before));
    expect(readFileSync(join(path, "transactions"), "utf8")).toMatch(/transaction \d+, UTC time/);
    judge(path);
  });

  it("storage quota", { timeout: 60_000 }, () => {
    const path = join(sshd.dir, "quota");
    const url = sshd.url(path);
    sshd.force(`${alcove} serve --storage-quota 10M --restrict-to-path ${sshd.dir}`);
    expect(forced(["init", "-e", "none", "--storage-quota", "1T", url]).code).toBe(0);
    expect(readFileSync(join(path, "config"), "utf8")).toMatch(/storage_quota = 10000000/);
    writeFileSync(join(source, "more"), randomBytes(5_000_000));
    const done = forced(["create", `${url}::one`, "source"]);
    rmSync(join(source, "more"));
    expect(done.stderr).toMatch(/quota/);
    expect(done.code).not.toBe(0);
    expect(forced(["list", url]).stdout).toBe("");
    judge(path);
  });
});

/** Processes whose command line holds all of the words. */
function processes(...words: string[]): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .filter((pid) => {
      try {
        const line = readFileSync(`/proc/${pid}/cmdline`, "latin1").replaceAll("\0", " ");
        return words.every((word) => line.includes(word));
      } catch {
        return false; // gone meanwhile
      }
    })
    .map(Number);
}

describe("our client and our server", () => {
  const open = (path: string, options: RemoteOptions = {}) =>
    RemoteRepository.open(parseLocation(sshd.url(path), {}), {
      rsh: sshd.rsh,
      remotePath: alcove,
      env: borgEnv(sshd.dir),
      ...options,
    });

  it("store, commit, read; borg's check agrees", { timeout: 60_000 }, async () => {
    const path = join(sshd.dir, "both");
    const objects = Array.from({ length: 300 }, (_, i) => randomBytes(i % 10 ? 2000 : 500_000));
    const id = (i: number) => Buffer.alloc(32, `object ${i} `);
    let repository = await open(path, { create: true, exclusive: true });
    expect(repository.serverVersion).toEqual([1, 4, 5, -1]);
    for (const [i, data] of objects.entries()) await repository.put(id(i), data);
    await repository.commit();
    await repository.close();
    ok(["check", "--repository-only", path]);
    repository = await open(path, { exclusive: true });
    repository.preload(objects.map((_, i) => id(i)));
    let n = 0;
    for await (const data of repository.getMany(
      objects.map((_, i) => id(i)),
      { preloaded: true },
    )) {
      expect(Buffer.compare(data!, objects[n++]!)).toBe(0);
    }
    await expect(open(path, { lockWait: 0 })).rejects.toMatchObject({ msgid: "LockTimeout" });
    for (let i = 0; i < 200; i++) await repository.delete(id(i));
    await repository.commit({ compact: true, threshold: 0 });
    expect(await repository.count()).toBe(100);
    expect(await repository.check()).toBe(true);
    await repository.put(id(1000), Buffer.from("never committed"));
    await repository.close();
    repository = await open(path);
    expect(await repository.count()).toBe(100);
    await repository.close();
    expect(existsSync(join(path, "lock.exclusive"))).toBe(false);
    ok(["check", "--repository-only", path]);
  });

  it("a server that is killed is reported with a hint", { timeout: 60_000 }, async () => {
    const path = join(sshd.dir, "both-killed");
    const repository = await open(path, { create: true, exclusive: true });
    await repository.put(Buffer.alloc(32, 1), randomBytes(1000));
    await repository.commit();
    for (const pid of processes(alcove.replace(/alcove$/, "serve.mjs"))) process.kill(pid, "SIGKILL");
    await expect(repository.count()).rejects.toMatchObject({
      msgid: "ConnectionClosedWithHint",
      exitCode: 81,
    });
    await expect(repository.put(Buffer.alloc(32, 2), randomBytes(1000))).rejects.toMatchObject({
      exitCode: 81,
    });
    await repository.rollback();
    await repository.close();
    const again = await open(path, { exclusive: true });
    expect(await again.count()).toBe(1);
    await again.close();
  });
});
