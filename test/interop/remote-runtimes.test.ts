// Client and server on the other runtimes, as far as they are installed, each against real borg.
import { spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { serveProgram } from "./remote-program.ts";
import { borgEnv, type Sshd, script, startSshd } from "./remote-sshd.ts";

const modules = resolve("test/runtimes/node_modules");
const RUNTIMES = [
  ["deno", join(modules, ".bin/deno"), "run -A"],
  ["bun", join(modules, ".bin/bun"), ""],
  ["node26", join(modules, "node26/bin/node"), ""],
].filter(([, file]) => existsSync(file!)) as [string, string, string][];

let sshd: Sshd;
beforeAll(async () => {
  sshd = await startSshd();
  await serveProgram(sshd.dir);
  const source = join(sshd.dir, "source");
  mkdirSync(source);
  for (let i = 0; i < 50; i++) writeFileSync(join(source, `file${i}`), randomBytes(i * 3000));
  writeFileSync(join(source, "big"), randomBytes(6_000_000));
});
afterAll(() => sshd?.stop());

describe.each(RUNTIMES)("on %s", (name, file, words) => {
  it("serves borg, and is served by it", { timeout: 180_000 }, () => {
    const alcove = script(join(sshd.dir, name), `exec ${file} ${words} ${join(sshd.dir, "serve.mjs")} "$@"`);
    const run = (program: string, server: string, args: string[], cwd = sshd.dir) => {
      const home = join(sshd.dir, `home-${name}-${program === "borg" ? "borg" : "alcove"}`);
      mkdirSync(home, { recursive: true });
      const env = borgEnv(home, { BORG_RSH: sshd.rsh, BORG_REMOTE_PATH: server, BORG_PASSPHRASE: "pass" });
      const done = spawnSync(program, args, { env, cwd, encoding: "utf8", timeout: 120_000 });
      expect(`${done.stdout}${done.stderr}`, args.join(" ")).toSatisfy(() => done.status === 0);
      return done.stdout;
    };
    const url = sshd.url(join(sshd.dir, `repo-${name}`));
    run("borg", alcove, ["init", "-e", "repokey-blake2", url]);
    run("borg", alcove, ["create", `${url}::a`, "source"]);
    run(alcove, "borg", ["create", `${url}::b`, "source"]);
    run(alcove, alcove, ["create", "-C", "zstd", `${url}::c`, "source"]);
    expect(run("borg", alcove, ["list", "--short", url])).toBe("a\nb\nc\n");
    const out = join(sshd.dir, `out-${name}`);
    mkdirSync(out);
    run(alcove, alcove, ["extract", `${url}::a`], out);
    expect(spawnSync("diff", ["-r", join(sshd.dir, "source"), join(out, "source")]).status).toBe(0);
    run("borg", alcove, ["check", "--verify-data", url]);
  });
});
