// A repository on a network filesystem: sshfs of a real OpenSSH server, used as a plain path. Create, check and
// extract, by us and by borg in turns; the lock of another host holds there too.
import { spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { serveProgram } from "./remote-program.ts";
import { borgEnv, type Sshd, startSshd } from "./remote-sshd.ts";

const fuse = existsSync("/dev/fuse");
let sshd: Sshd | undefined;
let alcove: string;
let source: string;
let mounted: string | undefined;
/** The mounted directory as the server has it. */
let served: string;

function unmount(): void {
  if (!mounted) return;
  for (const command of [
    ["fusermount3", "-u"],
    ["fusermount", "-u"],
    ["fusermount3", "-uz"],
    ["umount", "-l"],
  ]) {
    if (spawnSync(command[0]!, [...command.slice(1), mounted]).status === 0) {
      mounted = undefined;
      return;
    }
  }
  throw new Error(`${mounted} stays mounted`);
}

beforeAll(async () => {
  if (!fuse) return;
  sshd = await startSshd();
  alcove = await serveProgram(sshd.dir);
  source = join(sshd.dir, "source");
  mkdirSync(join(source, "deep"), { recursive: true });
  for (let i = 0; i < 40; i++) writeFileSync(join(source, "deep", `file${i}`), randomBytes(i * 700));
  writeFileSync(join(source, "big"), randomBytes(6_000_000));
  served = join(sshd.dir, "served");
  const at = join(sshd.dir, "mounted");
  mkdirSync(served);
  mkdirSync(at);
  const ssh = sshd.rsh.split(" ");
  const options = ["-o", `ssh_command=${ssh.join(" ")}`, "-o", "cache=no", "-p", String(sshd.port)];
  const done = spawnSync("sshfs", [`${sshd.user}@127.0.0.1:${served}`, at, ...options], {
    encoding: "utf8",
    timeout: 30_000,
  });
  expect(done.stderr).toSatisfy(() => done.status === 0);
  mounted = at;
}, 60_000);

afterAll(() => {
  try {
    unmount();
  } finally {
    sshd?.stop();
  }
});

describe.skipIf(!fuse)("a repository over sshfs", () => {
  function run(program: string, args: string[], cwd: string = sshd!.dir): string {
    const env = borgEnv(join(sshd!.dir, "home"), { BORG_PASSPHRASE: "pass" });
    mkdirSync(env["HOME"]!, { recursive: true });
    const done = spawnSync(program, args, { env, cwd, encoding: "utf8", timeout: 60_000 });
    expect(`${done.stdout}${done.stderr}`, args.join(" ")).toSatisfy(() => done.status === 0);
    return done.stdout;
  }

  it("create, check and extract, in turns with borg", { timeout: 120_000 }, () => {
    const path = join(mounted!, "repo");
    run(alcove, ["init", "-e", "repokey-blake2", path]);
    run(alcove, ["create", `${path}::one`, "source"]);
    writeFileSync(join(source, "new"), randomBytes(200_000));
    run("borg", ["create", `${path}::two`, "source"]);
    run(alcove, ["create", `${path}::three`, "source"]);
    run(alcove, ["check", "--verify-data", path]);
    const out = join(sshd!.dir, "out");
    mkdirSync(out);
    run(alcove, ["extract", `${path}::two`], out);
    expect(spawnSync("diff", ["-r", source, join(out, "source")]).status).toBe(0);
    rmSync(out, { recursive: true });
    run(alcove, ["delete", `${path}::one`]);
    run(alcove, ["compact", "--threshold", "0", path]);
    expect(run("borg", ["list", "--short", path])).toBe("two\nthree\n");
    // The server's own disk, without the mount: nothing was left behind, borg finds it whole.
    const real = join(served, "repo");
    expect(readdirSync(real).filter((n) => n.startsWith("lock"))).toEqual([]);
    run("borg", ["check", "--verify-data", real]);
  });

  it("a lock that was taken on the server's side holds here", { timeout: 60_000 }, () => {
    const path = join(mounted!, "locked");
    run(alcove, ["init", "-e", "none", path]);
    const lock = join(served, "locked", "lock.exclusive");
    mkdirSync(lock);
    writeFileSync(join(lock, "elsewhere@1.77-0"), "");
    const env = borgEnv(join(sshd!.dir, "home"));
    const done = spawnSync(alcove, ["--lock-wait", "0", "list", path], {
      env,
      encoding: "utf8",
      timeout: 60_000,
    });
    expect(done.status).not.toBe(0);
    expect(done.stderr).toMatch(/lock/);
    run(alcove, ["break-lock", path]);
    run(alcove, ["list", path]);
  });
});
