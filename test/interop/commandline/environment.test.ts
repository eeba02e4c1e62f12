// Every variable of Borg's documentation ("Environment Variables") is honoured, beside real borg where it knows them.
import { spawnSync } from "node:child_process";
import { existsSync, openSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { significant } from "./compare.ts";
import { Lab, listing, type RunSpec, write } from "./lab.ts";

const lab = new Lab();
beforeAll(() => lab.start(), 60_000);
afterAll(() => lab.stop());

const repo = () => lab.path("w/repo");
const enc = () => lab.path("w/enc");

/** Runs both, each on a fresh copy, and wants the same; `look` says what else was left. */
async function both<T>(spec: () => RunSpec, look: () => T | Promise<T> = () => undefined as T) {
  const run = async (who: "ours" | "borg") => {
    lab.restore();
    lab.touch();
    const s = spec();
    const r = await lab[who]({ ...s, args: ["--log-json", ...s.args] });
    return { code: r.code, stdout: r.stdout, records: significant(r.stderr), left: await look() };
  };
  const ours = await run("ours");
  expect(ours).toEqual(await run("borg"));
  return ours;
}

const without = (...names: string[]) => Object.fromEntries(names.map((n) => [n, undefined]));
const CREATE = ["create", "--timestamp", "2026-04-01T10:00:00"];
/** Names of files and directories, ids of repositories left out. */
const names = (dir: string) =>
  listing(dir)
    .map((l) => l.replace(/ \d+$/, "").replace(/[0-9a-f]{64}/g, "<id>"))
    .filter((l) => !/pre12-meta|integrity|alcove-deduplicated/.test(l))
    .sort();
const cacheOf = (r: string) => {
  const id = /^id = (\w+)$/m.exec(readFileSync(join(r, "config"), "utf8"))![1]!;
  return lab.path("w/base/.cache/borg", id);
};
const shell = () => write(lab.path("w", "rsh"), 'shift; exec "$@"\n');
const remote = () => `ssh://host${repo()}`;

/** A keyless start: every directory is made by the run. */
const home = (more: Record<string, string>) => ({
  ...without("BORG_BASE_DIR"),
  HOME: lab.path("w/home"),
  ...more,
});

const variables: Record<string, () => Promise<void>> = {
  BORG_REPO: async () => {
    for (const args of [
      ["list"],
      ["list", "::"],
      ["list", "::one"],
      ["info", "--json"],
      ["diff", "::one", "two"],
    ]) {
      // What info says of sizes is compared elsewhere.
      const r = await both(() => ({ args, env: { BORG_REPO: repo() } }));
      expect(r.code).toBe(0);
    }
    await both(() => ({ args: ["list", "::absent"], env: { BORG_REPO: repo() } }));
  },
  BORG_PASSPHRASE: async () => {
    expect((await both(() => ({ args: ["list", enc()] }))).code).toBe(0);
    const wrong = await both(() => ({ args: ["list", enc()], env: { BORG_PASSPHRASE: "wrong" } }));
    expect(wrong.records).toEqual([["ERROR", "PassphraseWrong"]]);
  },
  BORG_PASSCOMMAND: async () => {
    const env = { ...without("BORG_PASSPHRASE"), BORG_PASSCOMMAND: "echo 'secret'" };
    expect((await both(() => ({ args: ["list", enc()], env }))).code).toBe(0);
    const fails = { ...env, BORG_PASSCOMMAND: "false" };
    expect((await both(() => ({ args: ["list", enc()], env: fails }))).code).toBe(2);
    const passphraseFirst = { BORG_PASSCOMMAND: "echo wrong" };
    expect((await both(() => ({ args: ["list", enc()], env: passphraseFirst }))).code).toBe(0);
  },
  BORG_PASSPHRASE_FD: async () => {
    const file = write(lab.path("phrase"), "secret\n");
    const { BORG_PASSPHRASE: _, ...env } = lab.env;
    for (const program of [["/usr/bin/borg"], [process.execPath, await lab.program()]]) {
      const r = spawnSync(program[0]!, [...program.slice(1), "list", "--short", enc()], {
        env: { ...env, BORG_PASSPHRASE_FD: "3" },
        stdio: ["ignore", "pipe", "pipe", openSync(file, "r")],
        timeout: 60_000,
        encoding: "utf8",
      });
      expect([r.status, r.stdout], r.stderr).toEqual([0, "one\ntwo\n"]);
    }
  },
  BORG_NEW_PASSPHRASE: async () => {
    await both(
      () => ({ args: ["key", "change-passphrase", enc()], env: { BORG_NEW_PASSPHRASE: "other" } }),
      async () => [
        (await lab.borg({ args: ["list", enc()] })).code,
        (await lab.borg({ args: ["list", enc()], env: { BORG_PASSPHRASE: "other" } })).code,
      ],
    );
  },
  BORG_DISPLAY_PASSPHRASE: async () => {
    const { BORG_PASSPHRASE: _, ...env } = lab.env;
    for (const program of [["/usr/bin/borg"], [process.execPath, await lab.program()]]) {
      for (const answer of ["yes", "no"]) {
        rmSync(lab.path("made"), { recursive: true, force: true });
        // Without a terminal, passphrases are lines of standard input.
        const r = spawnSync("setsid", ["-w", ...program, "init", "-e", "repokey", lab.path("made")], {
          env: { ...env, BORG_DISPLAY_PASSPHRASE: answer },
          input: "open sesame\nopen sesame\n",
          timeout: 60_000,
          encoding: "utf8",
        });
        expect(r.status, r.stderr).toBe(0);
        expect(r.stderr.includes('"open sesame"'), `${program} ${answer}: ${r.stderr}`).toBe(
          answer === "yes",
        );
      }
    }
  },
  BORG_EXIT_CODES: async () => {
    const code = async (mode: string | undefined, ...args: string[]) =>
      (await lab.ours({ args, env: { BORG_EXIT_CODES: mode } })).code;
    const absent = ["list", lab.path("w/absent")];
    expect([
      await code(undefined, ...absent),
      await code("legacy", ...absent),
      await code("modern", ...absent),
    ]).toEqual([2, 2, 13]);
    lab.restore();
    lab.touch();
    const warns = (n: number) => ["create", `${repo()}::w${n}`, "src/absent", "src/a"];
    expect([await code(undefined, ...warns(1)), await code("modern", ...warns(2))]).toEqual([1, 107]);
  },
  BORG_HOST_ID: async () => {
    const r = await both(() => ({
      args: ["with-lock", repo(), "sh", "-c", `ls ${repo()}/lock.exclusive | sed 's/[.].*//'`],
      env: { BORG_HOST_ID: "some@host" },
      spawn: true,
      fresh: true,
    }));
    expect(r.stdout).toBe("some@host\n");
  },
  BORG_HOSTNAME: () => impersonated("BORG_HOSTNAME", "{hostname}"),
  BORG_USERNAME: () => impersonated("BORG_USERNAME", "{username}", "{user}"),
  BORG_LOGGING_CONF: async () => {
    const conf = () =>
      write(
        lab.path("w/log.conf"),
        `[loggers]\nkeys=root\n[handlers]\nkeys=h\n[formatters]\nkeys=f\n[logger_root]\nlevel=WARNING\nhandlers=h\n[handler_h]\nclass=FileHandler\nformatter=f\nargs=('${lab.path("w/borg.log")}', 'a')\n[formatter_f]\nformat=%(name)s %(levelname)s\n`,
      );
    const r = await both(
      () => ({ args: ["list", lab.path("w/absent")], env: { BORG_LOGGING_CONF: conf() } }),
      () => readFileSync(lab.path("w/borg.log"), "utf8"),
    );
    expect(r.left).toBe("borg.archiver ERROR\n");
  },
  BORG_RSH: async () => {
    const r = await both(() => ({ args: ["list", remote()], env: { BORG_RSH: `sh ${shell()}` } }));
    expect(r.stdout).toMatch(/^one /);
    // It ends only after it was written to: borg tells a broken pipe from a closed one.
    const broken = await both(() => ({
      args: ["list", remote()],
      env: { BORG_RSH: `sh ${write(lab.path("w/broken"), "sleep 1\nexit 1\n")}` },
    }));
    expect(broken.code).toBe(2);
  },
  BORG_REMOTE_PATH: async () => {
    const path = () => {
      const file = write(lab.path("w/far"), `#!/bin/sh\ntouch ${lab.path("w/marker")}\nexec borg "$@"\n`);
      spawnSync("chmod", ["+x", file]);
      return file;
    };
    const r = await both(
      () => ({ args: ["list", remote()], env: { BORG_RSH: `sh ${shell()}`, BORG_REMOTE_PATH: path() } }),
      () => existsSync(lab.path("w/marker")),
    );
    expect([r.code, r.left]).toEqual([0, true]);
  },
  BORG_FILES_CACHE_SUFFIX: async () => {
    for (const who of ["ours", "borg"] as const) {
      lab.restore();
      lab.touch();
      const env = { BORG_FILES_CACHE_SUFFIX: "mine" };
      const r = await lab[who]({ args: [...CREATE, `${repo()}::new`, "src"], env });
      expect(r.code).toBe(0);
      const files = readdirSync(cacheOf(repo())).filter((n) => n.startsWith("files"));
      expect(files).toEqual(["files", "files.mine"]);
    }
  },
  BORG_FILES_CACHE_TTL: async () => {
    // Files that a few runs did not see are forgotten: then they are new.
    for (const ttl of ["1", "20"]) {
      const status = async (who: "ours" | "borg") => {
        lab.restore();
        lab.touch();
        const env = { BORG_FILES_CACHE_TTL: ttl };
        for (const n of [1, 2, 3]) await lab[who]({ args: [...CREATE, `${repo()}::n${n}`, "fresh"], env });
        const r = await lab[who]({ args: ["create", "--list", `${repo()}::again`, "src/sub"], env });
        return r.stderr.match(/^[AUM](?= )/gm)?.join("");
      };
      expect(await status("ours")).toBe(ttl === "1" ? "AA" : "UU");
      expect(await status("borg")).toBe(ttl === "1" ? "AA" : "UU");
    }
  },
  BORG_USE_CHUNKS_ARCHIVE: async () => {
    for (const value of ["no", "yes"]) {
      lab.restore();
      lab.touch();
      rmSync(cacheOf(repo()), { recursive: true });
      await lab.ours({ args: ["info", repo()], env: { BORG_USE_CHUNKS_ARCHIVE: value } });
      const kept = readdirSync(join(cacheOf(repo()), "chunks.archive.d"));
      expect(kept.length > 0).toBe(value === "yes");
    }
  },
  // We print no facts about the system with an error, whatever it says.
  BORG_SHOW_SYSINFO: () => harmless({ BORG_SHOW_SYSINFO: "no" }),
  // There is no msgpack library of which a version could be wrong,
  BORG_MSGPACK_VERSION_CHECK: () => harmless({ BORG_MSGPACK_VERSION_CHECK: "no" }),
  // no FUSE module to choose,
  BORG_FUSE_IMPL: () => harmless({ BORG_FUSE_IMPL: "llfuse,pyfuse3" }),
  // and no self-test at each start.
  BORG_SELFTEST: () => harmless({ BORG_SELFTEST: "disabled" }),
  BORG_WORKAROUNDS: async () => {
    for (const value of ["basesyncfile", "retry_erofs", "ignore_invalid_archive_tam", "a,b"])
      await harmless({ BORG_WORKAROUNDS: value });
    // A lost key of a repository that is only authenticated.
    const lost = () => {
      const file = join(lab.path("w/auth"), "config");
      writeFileSync(file, readFileSync(file, "utf8").replace(/key = (.*\n\t?)+/, "key = anything\n\n"));
    };
    for (const value of ["", "authenticated_no_key"]) {
      lab.restore();
      lab.touch();
      await lab.goodBorg(["init", "-e", "authenticated", lab.path("w/auth")]);
      await lab.goodBorg(["create", `${lab.path("w/auth")}::a`, "src/new"]);
      lost();
      const args = ["list", "--short", `${lab.path("w/auth")}::a`];
      const r = await lab.ours({ args, env: { BORG_WORKAROUNDS: value } });
      expect([r.code, r.stdout]).toEqual(value ? [0, "src/new\n"] : [2, ""]);
    }
  },
  BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK: async () => {
    for (const [answer, code] of [
      ["yes", 0],
      ["no", 2],
    ] as const) {
      const env = {
        BORG_BASE_DIR: lab.path("w/newbase"),
        BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK: answer,
      };
      expect((await both(() => ({ args: ["list", repo()], env }))).code).toBe(code);
    }
  },
  BORG_RELOCATED_REPO_ACCESS_IS_OK: async () => {
    for (const [answer, code] of [
      ["yes", 0],
      ["no", 2],
    ] as const) {
      const r = await both(() => {
        renameSync(enc(), lab.path("w/moved"));
        return { args: ["list", lab.path("w/moved")], env: { BORG_RELOCATED_REPO_ACCESS_IS_OK: answer } };
      });
      expect(r.code).toBe(code);
    }
  },
  BORG_CHECK_I_KNOW_WHAT_I_AM_DOING: async () => {
    for (const answer of ["YES", "NO"]) {
      const codes: number[] = [];
      for (const who of ["ours", "borg"] as const) {
        lab.restore();
        lab.touch();
        const env = { BORG_CHECK_I_KNOW_WHAT_I_AM_DOING: answer };
        codes.push((await lab[who]({ args: ["check", "--repair", repo()], env })).code);
      }
      expect(codes).toEqual(answer === "YES" ? [0, 0] : [2, 2]);
    }
  },
  BORG_DELETE_I_KNOW_WHAT_I_AM_DOING: async () => {
    for (const answer of ["YES", "NO"]) {
      const left: boolean[] = [];
      for (const who of ["ours", "borg"] as const) {
        lab.restore();
        lab.touch();
        await lab[who]({ args: ["delete", repo()], env: { BORG_DELETE_I_KNOW_WHAT_I_AM_DOING: answer } });
        left.push(existsSync(repo()));
      }
      expect(left).toEqual(answer === "YES" ? [false, false] : [true, true]);
    }
  },
  BORG_BASE_DIR: () => places({ BORG_BASE_DIR: "W/elsewhere" }),
  BORG_CACHE_DIR: () => places({ BORG_CACHE_DIR: "W/cache" }),
  BORG_CONFIG_DIR: () => places({ BORG_CONFIG_DIR: "W/conf" }),
  BORG_SECURITY_DIR: () => places({ BORG_SECURITY_DIR: "W/sec" }),
  BORG_KEYS_DIR: () => places({ BORG_KEYS_DIR: "W/keys" }),
  BORG_KEY_FILE: () => places({ BORG_KEY_FILE: "W/the.key" }),
  XDG_CACHE_HOME: () => places({ XDG_CACHE_HOME: "W/xcache" }),
  XDG_CONFIG_HOME: () => places({ XDG_CONFIG_HOME: "W/xconf" }),
  BORG_JSON_INDENT: async () => {
    lab.restore();
    for (const [value, start] of [
      ["none", '{"archives": [{'],
      ["1", '{\n "archives": [\n  {'],
      ["--", '{\n--"archives": [\n----{'],
    ]) {
      const r = await lab.ours({ args: ["list", "--json", repo()], env: { BORG_JSON_INDENT: value } });
      expect(r.stdout.startsWith(start!), r.stdout).toBe(true);
      expect(JSON.parse(r.stdout.replaceAll("--", ""))).toHaveProperty("archives");
    }
  },
  // Nothing of ours is temporary.
  TMPDIR: () => harmless({ TMPDIR: "/nowhere" }),
};

async function impersonated(variable: string, key: string, placeholder = key): Promise<void> {
  lab.restore();
  lab.touch();
  // Of borg 1.4.
  const r = await lab.ours({
    args: ["create", `${repo()}::${placeholder}-x`, "src/a"],
    env: { [variable]: "somebody" },
  });
  expect(r.code).toBe(0);
  expect(await lab.goodBorg(["list", "--format", `{archive} ${key}`, "--last", "1", repo()])).toBe(
    "somebody-x somebody",
  );
}

/** What makes a difference to Borg only: the command does what it does without it. */
async function harmless(env: Record<string, string>): Promise<void> {
  lab.restore();
  for (const args of [
    ["list", repo()],
    ["create", "-n", "--list", `${repo()}::x`, "src"],
    ["check", repo()],
  ]) {
    const [plain, set] = [await lab.ours({ args }), await lab.ours({ args, env })];
    expect([set.code, set.stdout, set.stderr]).toEqual([plain.code, plain.stdout, plain.stderr]);
    expect(set.code).toBe(0);
  }
}

/** Where a repository with a key file, its caches and its security directory end up. */
async function places(given: Record<string, string>): Promise<void> {
  const env = home(Object.fromEntries(Object.entries(given).map(([k, v]) => [k, v.replace("W", lab.work)])));
  const left: string[][] = [];
  for (const who of ["ours", "borg"] as const) {
    lab.restore();
    lab.touch();
    for (const args of [
      ["init", "-e", "keyfile", lab.path("w/made")],
      [...CREATE, `${lab.path("w/made")}::a`, "src/new"],
    ]) {
      const r = await lab[who]({ args, env });
      expect(r.code, r.stderr).toBe(0);
    }
    for (const place of ["repo", "enc", "many", "made", "base", "out"])
      rmSync(lab.path("w", place), { recursive: true, force: true });
    left.push(names(lab.work));
  }
  expect(left[0]).toEqual(left[1]);
  expect(left[0]!.length).toBeGreaterThan(8);
}

describe("each variable is honoured", () => {
  for (const [name, check] of Object.entries(variables)) it(name, check, 60_000);
});
