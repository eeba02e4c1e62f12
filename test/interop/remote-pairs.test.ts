// The whole program over a real OpenSSH server in the pairs where one end or both are ours: the commands of a
// repository's life, encrypted and not. Contents are compared with the original, the repository by real borg's check.
import { spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { serveProgram } from "./remote-program.ts";
import { borgEnv, type Sshd, startSshd } from "./remote-sshd.ts";

/** Archives of different days: prune keeps one a second, and a fast machine makes two in one. */
const day = (n: number): string[] => ["--timestamp", `2024-05-0${n}T12:00:00`];

let sshd: Sshd;
let alcove: string;
let source: string;

beforeAll(async () => {
  sshd = await startSshd();
  alcove = await serveProgram(sshd.dir);
  source = join(sshd.dir, "source");
  mkdirSync(join(source, "deep", "er"), { recursive: true });
  for (let i = 0; i < 40; i++) writeFileSync(join(source, "deep", `file${i}`), randomBytes(i * 700));
  for (let i = 0; i < 2; i++) writeFileSync(join(source, "deep", "er", `big${i}`), randomBytes(5_000_000));
  writeFileSync(join(source, "empty"), "");
});
afterAll(() => sshd?.stop());

// borg against our server is in remote-server.test.ts.
const PAIRS = [
  ["alcove", "borg"],
  ["alcove", "alcove"],
] as const;

describe.each(PAIRS)("client %s, server %s", (client, server) => {
  const program = (name: string) => (name === "borg" ? "borg" : alcove);

  function run(
    args: string[],
    options: { cwd?: string; env?: Record<string, string>; code?: number } = {},
  ): string {
    const env = borgEnv(join(sshd.dir, `home-${client}-${server}`), {
      BORG_RSH: sshd.rsh,
      BORG_REMOTE_PATH: program(server),
      BORG_PASSPHRASE: "pass",
      ...options.env,
    });
    mkdirSync(env["HOME"]!, { recursive: true });
    const done = spawnSync(program(client), args, {
      env,
      cwd: options.cwd ?? sshd.dir,
      encoding: "utf8",
      timeout: 120_000,
    });
    expect(`${done.stdout}${done.stderr}`, args.join(" ")).toSatisfy(
      () => done.status === (options.code ?? 0),
    );
    return done.stdout;
  }

  /** The repository without any server. */
  function judge(path: string): void {
    const env = borgEnv(join(sshd.dir, "judge"), { BORG_PASSPHRASE: "pass" });
    mkdirSync(env["HOME"]!, { recursive: true });
    const done = spawnSync("borg", ["check", "--verify-data", path], { env, encoding: "utf8" });
    expect(done.stderr).toSatisfy(() => done.status === 0);
  }

  it.each(["none", "repokey-blake2"])(
    "a repository's life, encryption %s",
    { timeout: 240_000 },
    (encryption) => {
      const path = join(sshd.dir, `life-${client}-${server}-${encryption}`);
      const url = sshd.url(path);
      run(["init", "-e", encryption, url]);
      run(["create", "--stats", ...day(1), `${url}::one`, "source"]);
      if (encryption === "none") {
        // The commands themselves are tried with encryption; here it is about contents that are not encrypted.
        const out = join(sshd.dir, `out-${client}-${server}-${encryption}`);
        mkdirSync(out);
        run(["extract", `${url}::one`], { cwd: out });
        expect(spawnSync("diff", ["-r", source, join(out, "source")]).status).toBe(0);
        rmSync(out, { recursive: true });
        judge(path);
        return;
      }
      writeFileSync(join(source, "new"), randomBytes(50_000));
      run(["create", "-C", "zstd", ...day(2), `${url}::two`, "source"]);
      rmSync(join(source, "new"));
      run(["create", ...day(3), `${url}::three`, "source"]);
      expect(run(["list", "--short", url])).toBe("one\ntwo\nthree\n");
      expect(run(["list", "--short", `${url}::two`])).toContain("source/new\n");
      expect(JSON.parse(run(["info", "--json", `${url}::two`])).archives[0].stats.nfiles).toBe(44);
      expect(run(["diff", `${url}::one`, "two"])).toContain("source/new");
      const out = join(sshd.dir, `out-${client}-${server}-${encryption}`);
      mkdirSync(out);
      run(["extract", `${url}::three`], { cwd: out });
      expect(spawnSync("diff", ["-r", source, join(out, "source")]).status).toBe(0);
      rmSync(out, { recursive: true });
      run(["rename", `${url}::one`, "uno"]);
      run(["prune", "--keep-last", "2", url]);
      expect(run(["list", "--short", url])).toBe("two\nthree\n");
      run(["compact", "--threshold", "0", url]);
      run(["delete", `${url}::three`]);
      run(["with-lock", url, "true"]);
      run(["key", "change-passphrase", url], { env: { BORG_NEW_PASSPHRASE: "pass" } });
      run(["key", "export", url, join(sshd.dir, "key")]);
      run(["key", "import", url, join(sshd.dir, "key")]);
      run(["break-lock", url]);
      run(["check", url]);
      judge(path);
      run(["list", sshd.url("/no/such/repository")], { code: 2 });
      run(["delete", url]);
      expect(existsSync(path)).toBe(false);
    },
  );
});
