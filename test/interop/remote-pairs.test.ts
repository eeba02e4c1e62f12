// The whole program over a real OpenSSH server, with both ends ours, and either end real borg: every command that
// works on a repository, encrypted and not. Contents are compared with the original, the repository by real borg's
// check. ALCOVE_LONG=1: every command without encryption as well, and real borg at both ends for comparison.
import { spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { serveProgram } from "./remote-program.ts";
import { BORG, borgEnv, type Sshd, startSshd } from "./remote-sshd.ts";

const LONG = process.env["ALCOVE_LONG"] === "1";
/** Archives of different days: prune keeps one a second, and a fast machine makes two in one. */
const day = (n: number): string[] => ["--timestamp", `2024-05-0${n}T12:00:00`];
const PASS = { BORG_PASSPHRASE: "pass", BORG_NEW_PASSPHRASE: "pass" };

let sshd: Sshd;
let alcove: string;
let source: string;

beforeAll(async () => {
  sshd = await startSshd();
  alcove = await serveProgram(sshd.dir);
  source = join(sshd.dir, "source");
  mkdirSync(join(source, "deep", "er"), { recursive: true });
  for (let i = 0; i < 20; i++) writeFileSync(join(source, "deep", `file${i}`), randomBytes(i * 700));
  writeFileSync(join(source, "deep", "er", "big"), randomBytes(4_000_000));
  writeFileSync(join(source, "empty"), "");
}, 60_000);
afterAll(() => sshd?.stop());

const PAIRS = [
  ["alcove", "borg"],
  ["alcove", "alcove"],
  ["borg", "alcove"],
  ...(LONG ? [["borg", "borg"] as const] : []),
] as const;

/** A client and a server, and what the tests do with them. */
function pair(client: string, server: string, label: string) {
  const program = (name: string) => (name === "borg" ? BORG : alcove);
  const home = join(sshd.dir, `home-${client}-${server}-${label}`);
  const work = join(sshd.dir, `work-${client}-${server}-${label}`);
  for (const dir of [home, work]) mkdirSync(dir);
  const path = join(work, "repo");
  const url = sshd.url(path);
  const spawn = (args: string[], env: Record<string, string> = {}, input?: Buffer) =>
    spawnSync(program(client), args, {
      env: borgEnv(home, { ...PASS, BORG_RSH: sshd.rsh, BORG_REMOTE_PATH: program(server), ...env }),
      cwd: work,
      timeout: 120_000,
      maxBuffer: 64 * 1024 * 1024,
      ...(input ? { input } : {}),
    });
  const ok = (args: string[], input?: Buffer): string => {
    const done = spawn(args, {}, input);
    expect(`${done.stdout}${done.stderr}`, args.join(" ")).toSatisfy(() => done.status === 0);
    return done.stdout.toString();
  };
  const create = (archive: string, n: number) =>
    ok(["create", ...day(n), `${url}::${archive}`, join("..", "source")]);
  const same = (dir: string) => expect(spawnSync("diff", ["-r", source, dir]).status).toBe(0);
  const extract = (archive: string) => {
    const out = join(work, "out");
    mkdirSync(out);
    const done = spawnSync(program(client), ["extract", `${url}::${archive}`], {
      env: borgEnv(home, { ...PASS, BORG_RSH: sshd.rsh, BORG_REMOTE_PATH: program(server) }),
      cwd: out,
      encoding: "utf8",
    });
    expect(done.stderr).toSatisfy(() => done.status === 0);
    same(join(out, "source"));
    rmSync(out, { recursive: true });
  };
  const names = () => ok(["list", "--short", url]).trim().split("\n");
  return { home, work, path, url, spawn, ok, create, same, extract, names };
}

/** The repository as real borg sees it without any server. */
function judge(path: string): void {
  const env = borgEnv(join(sshd.dir, "judge"), PASS);
  mkdirSync(env["HOME"]!, { recursive: true });
  const done = spawnSync(BORG, ["check", "--verify-data", path], { env, encoding: "utf8" });
  expect(done.stderr).toSatisfy(() => done.status === 0);
}

const MODES = LONG ? ["none", "repokey-blake2"] : ["repokey-blake2"];

describe.each(PAIRS)("client %s, server %s", (client, server) => {
  it.runIf(!LONG)("not encrypted: the way of the data", { timeout: 120_000 }, () => {
    const t = pair(client, server, "short");
    t.ok(["init", "-e", "none", t.url]);
    t.create("one", 1);
    t.extract("one");
    t.ok(["delete", `${t.url}::one`]);
    t.ok(["compact", t.url]);
    t.ok(["check", "--verify-data", t.url]);
    judge(t.path);
  });

  it.each(MODES)("every command, encryption %s", { timeout: 400_000 }, (encryption) => {
    const t = pair(client, server, encryption);
    const { ok, url, work } = t;
    const file = (name: string) => join(work, name);
    const json = (name: string) => JSON.parse(readFileSync(file(name), "utf8"));
    ok(["init", "-e", encryption, url]);
    t.create("one", 1);
    writeFileSync(join(source, "new"), randomBytes(50_000));
    ok(["create", "-C", "zstd", ...day(2), `${url}::two`, join("..", "source")]);
    rmSync(join(source, "new"));
    t.create("three", 3);
    expect(t.names()).toEqual(["one", "two", "three"]);
    expect(ok(["list", "--short", `${url}::two`])).toContain("source/new\n");
    expect(JSON.parse(ok(["info", "--json", `${url}::two`])).archives[0].stats.nfiles).toBe(23);
    expect(ok(["diff", `${url}::one`, "two"])).toContain("source/new");
    t.extract("three");

    ok(["export-tar", `${url}::one`, "one.tar"]);
    expect(spawnSync("tar", ["-tf", file("one.tar")], { encoding: "utf8" }).stdout).toContain("er/big\n");
    ok(["import-tar", ...day(4), `${url}::tar`, "one.tar"]);
    t.extract("tar");
    ok(["recreate", "-C", "lzma,1", "--recompress", "always", "--exclude", "**/new", `${url}::two`]);
    expect(ok(["list", "--short", `${url}::two`])).not.toContain("source/new\n");
    t.extract("two");
    ok(["rename", `${url}::one`, "uno"]);
    ok(["create", ...day(5), "--stdin-name", "words", `${url}::stdin`, "-"], Buffer.from("words"));
    expect(ok(["extract", "--stdout", `${url}::stdin`])).toBe("words");

    const mnt = file("mnt");
    mkdirSync(mnt);
    if (existsSync("/dev/fuse")) {
      ok(["mount", url, mnt]);
      try {
        t.same(join(mnt, "three", "source"));
      } finally {
        ok(["umount", mnt]);
      }
    }

    ok(["debug", "dump-manifest", url, "manifest.json"]);
    expect(Object.keys(json("manifest.json").archives)).toContain("uno");
    ok(["debug", "dump-archive", `${url}::uno`, "archive.json"]);
    expect(json("archive.json")._name).toBe("uno");
    mkdirSync(file("objects"));
    const inObjects = (args: string[]) => {
      const done = spawnSync(client === "borg" ? BORG : alcove, args, {
        env: borgEnv(t.home, {
          ...PASS,
          BORG_RSH: sshd.rsh,
          BORG_REMOTE_PATH: server === "borg" ? BORG : alcove,
        }),
        cwd: file("objects"),
        encoding: "utf8",
      });
      expect(done.stderr, args.join(" ")).toSatisfy(() => done.status === 0);
    };
    inObjects(["debug", "dump-archive-items", `${url}::uno`]);
    const items = readdirSync(file("objects")).length;
    expect(items).toBeGreaterThan(0);
    inObjects(["debug", "dump-repo-objs", url]);
    expect(readdirSync(file("objects")).length).toBeGreaterThan(items + 20);
    expect(ok(["debug", "search-repo-objs", url, "str:source/deep"])).toMatch(/[0-9a-f]{64}/);
    const id = "ab".repeat(32);
    writeFileSync(file("object"), "an object of its own");
    // Borg 1.4 wants the id as well, 1.2 computes it.
    const put = t.spawn(["debug", "put-obj", url, id, file("object")]);
    const stored =
      put.status === 0 ? id : /[0-9a-f]{64}/.exec(ok(["debug", "put-obj", url, file("object")]))![0];
    ok(["debug", "get-obj", url, stored, "object-back"]);
    expect(readFileSync(file("object-back"), "utf8")).toBe("an object of its own");
    expect(ok(["debug", "refcount-obj", url, stored])).toMatch(
      /object [0-9a-f]{64} not found \[info from chunks cache\]/,
    );
    expect(ok(["debug", "delete-obj", url, stored])).toMatch(/deleted/);

    ok(["prune", "--keep-last", "3", url]);
    expect(t.names().length).toBe(3);
    ok(["delete", `${url}::stdin`]);
    ok(["compact", "--threshold", "0", url]);
    expect(ok(["with-lock", url, "echo", "held"])).toBe("held\n");
    expect(t.spawn(["with-lock", url, "false"]).status).toBe(1);
    ok(["break-lock", url]);
    if (encryption !== "none") {
      ok(["upgrade", "--tam", "--force", url]);
      ok(["key", "change-passphrase", url]);
      for (const form of [[], ["--paper"], ["--qr-html"]]) ok(["key", "export", ...form, url, `key${form}`]);
      ok(["key", "import", url, "key"]);
    }
    ok(["check", url]);
    // What works on a repository's own files is refused, here as there.
    expect(t.spawn(["config", url, "segments_per_dir"]).status).toBe(2);
    expect(t.spawn(["debug", "dump-hints", url, "hints"]).status).toBe(2);
    judge(t.path);
    expect(t.spawn(["list", sshd.url("/no/such/repository")]).status).toBe(2);
    ok(["delete", url]);
    expect(existsSync(t.path)).toBe(false);
  });
});
