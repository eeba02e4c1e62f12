// The commands beside create, extract, list and info, run by us and by real borg on the same repository: exit codes,
// what they print, and what they leave behind.
import { spawnSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { MemoryStream } from "../../cli/output/stream.ts";
import { runCommandLine } from "../../cli/run.ts";

const dir = mkdtempSync(join(tmpdir(), "alcove-cli-"));
const repo = join(dir, "repo");
const plain = join(dir, "plain");
const source = join(dir, "src");
const env: Record<string, string> = {
  // Commands run in this process, from sources that a worker thread of Node 20 cannot load.
  ALCOVE_WORKERS: "0",
  PATH: process.env["PATH"] ?? "",
  HOME: dir,
  TZ: "Europe/Berlin",
  BORG_BASE_DIR: join(dir, "base"),
  BORG_PASSPHRASE: "secret",
  BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK: "yes",
  BORG_RELOCATED_REPO_ACCESS_IS_OK: "yes",
};

interface Result {
  code: number;
  stdout: string;
  stderr: string;
}

/** Binary output comes as UTF-8 with replacements, which is the same for both. */
async function alcove(
  args: readonly string[],
  extra: { env?: Record<string, string>; input?: string[] } = {},
): Promise<Result> {
  const stdout = new MemoryStream();
  const stderr = new MemoryStream();
  const lines = [...(extra.input ?? [])];
  const code = await runCommandLine(args, {
    program: { name: "alcove", version: "0" },
    env: { ...env, ...extra.env },
    stdout,
    stderr,
    signal: new AbortController().signal,
    readLine: async () => lines.shift(),
  });
  return { code, stdout: stdout.text, stderr: stderr.text };
}

function borg(args: readonly string[], extra: Record<string, string> = {}): Result {
  const run = spawnSync("/usr/bin/borg", args, {
    env: { ...env, ...extra },
    encoding: "utf8",
    cwd: dir,
    timeout: 60_000,
  });
  return { code: run.status ?? -1, stdout: run.stdout, stderr: run.stderr };
}

async function good(args: readonly string[], extra = {}): Promise<Result> {
  const result = await alcove(args, extra);
  expect(result.code, `${args.join(" ")}: ${result.stderr}`).toBe(0);
  return result;
}

function goodBorg(args: readonly string[]): Result {
  const result = borg(args);
  expect(result.code, `borg ${args.join(" ")}: ${result.stderr}`).toBe(0);
  return result;
}

async function same(args: readonly string[]): Promise<string> {
  const ours = await good(args);
  expect(ours.stdout).toBe(goodBorg(args).stdout);
  return ours.stdout;
}

const sound = (r = repo) => goodBorg(["check", "--verify-data", r]);
const names = (r = repo) => goodBorg(["list", "--short", r]).stdout.trim().split("\n");

beforeAll(() => {
  process.env["TZ"] = env["TZ"];
  mkdirSync(join(source, "sub"), { recursive: true });
  writeFileSync(join(source, "a"), "line\n".repeat(20_000));
  writeFileSync(
    join(source, "b"),
    Buffer.from(Array.from({ length: 300_000 }, (_, i) => (i * i * 31 + (i >> 7)) & 255)),
  );
  linkSync(join(source, "b"), join(source, "sub", "hard"));
  symlinkSync("a", join(source, "link"));
  writeFileSync(join(source, "gone"), "x");
  goodBorg(["init", "-e", "repokey", repo]);
  goodBorg(["init", "-e", "none", plain]);
  goodBorg(["create", "--timestamp", "2026-03-01T10:00:00", `${repo}::one`, "src"]);
  rmSync(join(source, "gone"));
  rmSync(join(source, "link"));
  symlinkSync("b", join(source, "link"));
  writeFileSync(join(source, "new"), "n");
  writeFileSync(join(source, "a"), `${"line\n".repeat(20_000)}more\n`);
  chmodSync(join(source, "sub"), 0o700);
  goodBorg(["create", "--timestamp", "2026-03-02T10:00:00", `${repo}::two`, "src"]);
  goodBorg(["create", "--chunker-params", "10,15,12,4095", `${repo}::fine`, "src"]);
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

describe("diff", () => {
  it("prints what borg prints", async () => {
    expect((await same(["diff", `${repo}::one`, "two"])).split("\n").length).toBeGreaterThan(6);
    await same(["diff", "--json-lines", `${repo}::one`, "two"]);
    await same(["diff", "--content-only", `${repo}::one`, "two"]);
    await same(["diff", `${repo}::one`, "two", "src", "-e", "src/a"]);
    await same(["diff", "--sort", `${repo}::one`, "two"]);
  });
  it("compares contents where the chunks cannot be compared", async () => {
    const ours = await good(["diff", `${repo}::two`, "fine"]);
    expect(ours.stdout).toBe("");
    expect(ours.stderr).toMatch(/chunker-params are different/);
    // 1.2.4 counts the warning for its exit code, 1.4 does not.
    const args = ["diff", `${repo}::one`, "fine"];
    expect((await good(args)).stdout).toBe(borg(args).stdout);
  });
  it("sorts by fields of 1.4", async () => {
    const { stdout } = await good([
      "diff",
      "--content-only",
      "--sort-by",
      ">size_added,path",
      `${repo}::one`,
      "two",
    ]);
    const paths = stdout.trim().split("\n");
    expect(paths[0]).toMatch(/src\/a$/);
    expect(paths.at(-1)).toMatch(/src\/link$/);
  });
});

describe("tar", () => {
  it("export is byte for byte borg's", async () => {
    for (const options of [
      [],
      ["--strip-components=1"],
      ["-e", "src/b"],
      ["-e", "src/b", "--strip-components", "1"],
    ]) {
      const [ours, theirs] = [join(dir, "ours.tar"), join(dir, "theirs.tar")];
      await good(["export-tar", ...options, `${repo}::two`, ours]);
      goodBorg(["export-tar", ...options, `${repo}::two`, theirs]);
      expect(Buffer.compare(readFileSync(ours), readFileSync(theirs)), options.join(" ")).toBe(0);
    }
  });
  it("filters by name or option, import reads back what was exported", async () => {
    for (const end of [".tar.gz", ".tar.xz"]) {
      const file = join(dir, `x${end}`);
      await good(["export-tar", `${repo}::two`, file]);
      await good(["import-tar", `${repo}::from${end}`, file]);
      const format = ["--format", "{mode} {user} {size} {path} {source}{NL}"];
      expect((await good(["list", ...format, `${repo}::from${end}`])).stdout).toBe(
        (await good(["list", ...format, `${repo}::two`])).stdout,
      );
    }
    const failed = await alcove(["export-tar", "--tar-filter=false", `${repo}::two`, join(dir, "no.tar")]);
    expect(failed.code).toBe(2);
    expect(failed.stderr).toMatch(/filter false failed/);
  });
  it("PAX keeps attributes and nanoseconds", async () => {
    const file = join(dir, "pax.tar");
    await good(["export-tar", "--tar-format=PAX", `${repo}::two`, file]);
    await good(["import-tar", `${repo}::pax`, file]);
    expect((await good(["diff", "--content-only", `${repo}::two`, "pax"])).stdout).toBe("");
    sound();
  });
  it("a damaged tar is refused and leaves no archive", async () => {
    const file = join(dir, "cut.tar");
    writeFileSync(file, readFileSync(join(dir, "pax.tar")).subarray(0, 3000));
    expect((await alcove(["import-tar", `${repo}::cut`, file])).code).toBe(2);
    expect(names()).not.toContain("cut");
  });
});

describe("recreate", () => {
  it("says that there is nothing to do", async () => {
    const { code, stderr } = await alcove(["recreate", `${repo}::two`]);
    expect(code).toBe(2);
    expect(stderr).toMatch(/Nothing to do/);
  });
  it("a dry run lists what borg lists", async () => {
    const args = ["recreate", "-n", "--list", "-e", "src/b", `${repo}::two`];
    expect((await good(args)).stderr).toBe(goodBorg(args).stderr);
  });
  it("leaves out, keeps hard links whole, recompresses and rechunks; borg finds nothing wrong", async () => {
    await good(["recreate", "-e", "src/b", "--target", "less", `${repo}::two`]);
    const out = join(dir, "less");
    mkdirSync(out);
    expect(spawnSync("/usr/bin/borg", ["extract", `${repo}::less`], { env, cwd: out }).status).toBe(0);
    expect(existsSync(join(out, "src/b"))).toBe(false);
    expect(readFileSync(join(out, "src/sub/hard"))).toEqual(readFileSync(join(source, "b")));
    await good(["recreate", "-C", "zstd,5", "--recompress=always", "--comment", "smaller", `${repo}::less`]);
    await good(["recreate", "--chunker-params=10,14,12,4095", `${repo}::less`]);
    const info = JSON.parse(goodBorg(["info", "--json", `${repo}::less`]).stdout).archives[0];
    expect(info.comment).toBe("smaller");
    expect(info.chunker_params).toEqual(["buzhash", 10, 14, 12, 4095]);
    expect(info.start).toBe("2026-03-02T11:00:00.000000");
    sound();
    expect((await good(["diff", "--content-only", `${repo}::two`, "less"])).stdout.trim()).toMatch(
      /^removed.* src\/b$/,
    );
  });
});

describe("rename, delete, prune, compact", () => {
  it("rename", async () => {
    await good(["rename", `${repo}::less`, "fewer"]);
    expect(names()).toContain("fewer");
    expect(names()).not.toContain("less");
    expect(
      await alcove(["rename", `${repo}::fewer`, "one"], { env: { BORG_EXIT_CODES: "modern" } }),
    ).toMatchObject({ code: 30 });
  });
  it("delete frees what borg would free", async () => {
    // Counts, not stored sizes: other archives still name the sizes that chunks had before they were recompressed.
    const stats = () => {
      const { total_unique_chunks, total_chunks } = JSON.parse(goodBorg(["info", "--json", repo]).stdout)
        .cache.stats;
      return { total_unique_chunks, total_chunks };
    };
    const before = stats();
    const { stderr } = await good([
      "delete",
      "--list",
      "--stats",
      `${repo}::fewer`,
      "from.tar.gz",
      "from.tar.xz",
    ]);
    expect(stderr).toMatch(/^Deleting archive: fewer .*\(1\/3\)$/m);
    const after = stats();
    expect(after.total_unique_chunks).toBeLessThan(before.total_unique_chunks);
    sound();
    const missing = await alcove(["delete", `${repo}::nothere`]);
    expect(missing).toMatchObject({ code: 1 });
    expect(missing.stderr).toContain("Archive nothere not found (1/1).");
    expect((await alcove(["delete", "-a", "x", `${repo}::one`])).code).toBe(2);
    goodBorg(["delete", "--cache-only", repo]);
    expect(stats()).toEqual(after);
  });
  it("prune keeps and deletes by its rules, and lists it", async () => {
    for (let day = 1; day <= 6; day++) {
      goodBorg(["create", "--timestamp", `2026-02-0${day}T12:00:00`, `${plain}::d${day}`, "src/new"]);
    }
    const dry = await good(["prune", "-n", "--list", "--keep-daily=2", "--keep-weekly=1", plain]);
    expect(dry.stderr).toMatch(/^Keeping archive \(rule: daily #1\): {12}d6 /m);
    expect(dry.stderr).toMatch(/^Would prune: {33}d3 /m);
    const json = await good(["prune", "--log-json", "--list", "--keep-daily=2", "--keep-weekly=1", plain]);
    const records = json.stderr
      .trim()
      .split("\n")
      .map((l) => JSON.parse(l));
    expect(records.every((r) => r.name === "borg.output.list")).toBe(true);
    expect(names(plain)).toEqual(["d1", "d5", "d6"]);
    sound(plain);
    expect((await alcove(["prune", plain])).code).toBe(2);
  });
  it("compact needs no key, frees space, and borg goes on", async () => {
    const size = () =>
      Number(spawnSync("du", ["-sb", join(repo, "data")], { encoding: "utf8" }).stdout.split("\t")[0]);
    const before = size();
    const { stderr } = await good(["compact", "--threshold=0", "-v", repo], {
      env: { BORG_PASSPHRASE: "wrong" },
    });
    expect(stderr).toMatch(/freed/);
    expect(size()).toBeLessThan(before);
    sound();
  });
});

describe("check", () => {
  it("agrees with borg on what is sound and what is not", async () => {
    for (const options of [[], ["--verify-data"], ["--repository-only"], ["--last=1"], ["--archives-only"]]) {
      await good(["check", ...options, repo]);
    }
    const broken = join(dir, "broken");
    spawnSync("cp", ["-a", plain, broken]);
    const dump = JSON.parse(goodBorg(["debug", "dump-archive", `${broken}::d1`, "-"]).stdout);
    const chunk = dump._items[0].chunks[0][0].replace("\u007f", "");
    await good(["debug", "delete-obj", broken, chunk]);
    const ours = await alcove(["check", "--archives-only", broken]);
    expect([ours.code, borg(["check", "--archives-only", broken]).code]).toEqual([1, 1]);
    expect(ours.stderr).toContain(`New missing file chunk detected (Byte 0-1, Chunk ${chunk})`);
  });
  it("refuses combinations that make no sense", async () => {
    expect((await alcove(["check", "--repository-only", "--verify-data", repo])).code).toBe(2);
    expect((await alcove(["check", "--max-duration=5", repo])).code).toBe(2);
    const no = await alcove(["check", "--repair", "--repository-only", repo], {
      env: { BORG_EXIT_CODES: "modern" },
      input: ["yes"],
    });
    expect(no).toMatchObject({ code: 3 });
  });
});

describe("key and upgrade", () => {
  it("export is borg's, import brings it back", async () => {
    const file = join(dir, "key.txt");
    await good(["key", "export", repo, file]);
    expect(readFileSync(file, "utf8")).toBe(goodBorg(["key", "export", repo]).stdout);
    expect((await good(["key", "export", "--qr-html", repo])).stdout).toMatch(/<svg/);
    await good(["key", "import", repo, file]);
    expect((await alcove(["key", "import", plain, file], { env: { BORG_EXIT_CODES: "modern" } })).code).toBe(
      46,
    );
    const paper = (await good(["key", "export", "--paper", repo])).stdout
      .split("\n")
      .filter((l) => / - [0-9a-f]{2}$/.test(l));
    const typed = paper.map((l) => l.replace(/^[^:]*: /, ""));
    await good(["key", "import", "--paper", repo], { input: typed });
    names();
  });
  it("change-passphrase, also where there is none", async () => {
    await good(["key", "change-passphrase", repo], { env: { BORG_NEW_PASSPHRASE: "other" } });
    expect(borg(["list", repo]).code).toBe(2);
    expect(borg(["list", repo], { BORG_PASSPHRASE: "other" }).code).toBe(0);
    await good(["key", "change-passphrase", repo], {
      env: { BORG_PASSPHRASE: "other", BORG_NEW_PASSPHRASE: "secret" },
    });
    const none = await alcove(["key", "change-passphrase", plain]);
    expect(none.code).toBe(2);
    expect(none.stdout).toMatch(/repository is not encrypted/);
  });
  it("export-related-secrets", async () => {
    const secrets = JSON.parse((await good(["key", "export-related-secrets", repo])).stdout);
    expect(Object.keys(secrets).sort()).toEqual(["chunk_seed", "id_key", "key_name", "version"]);
  });
  it("upgrade looks at and adds authentication", async () => {
    expect((await good(["upgrade", "--check-archives-tam", repo])).stdout).toMatch(
      /All archives are TAM authenticated/,
    );
    await good(["upgrade", "--disable-tam", repo]);
    expect((await alcove(["upgrade", "--check-tam", repo])).code).toBe(1);
    await good(["upgrade", "--tam", "--force", repo]);
    expect((await good(["upgrade", "--check-tam", repo])).stdout).toMatch(/setup OK/);
    sound();
    expect((await alcove(["upgrade", repo])).stderr).toMatch(/Attic/);
  });
});

describe("config, locks, versions", () => {
  it("config lists, sets, refuses and deletes as borg does", async () => {
    await same(["config", "--list", repo]);
    await good(["config", repo, "additional_free_space", "20M"]);
    await same(["config", repo, "additional_free_space"]);
    await good(["config", "-d", repo, "additional_free_space"]);
    expect((await alcove(["config", repo, "additional_free_space"])).code).toBe(2);
    for (const [name, value] of [
      ["nope", "1"],
      ["append_only", "2"],
      ["storage_quota", "5M"],
      ["id", "12"],
    ] as const) {
      expect((await alcove(["config", repo, name, value])).code, name).toBe(2);
    }
    goodBorg(["config", repo, "additional_free_space", "0"]);
  });
  it("with-lock holds the lock and gives the program's exit code", async () => {
    const { code } = await alcove([
      "with-lock",
      repo,
      "sh",
      "-c",
      `test -d ${repo}/lock.exclusive && exit 7`,
    ]);
    expect(code).toBe(7);
    expect(readdirSync(repo).some((n) => n.startsWith("lock"))).toBe(false);
    expect(
      (await alcove(["with-lock", repo, "/no/such/program"], { env: { BORG_EXIT_CODES: "modern" } })).code,
    ).toBe(4);
    sound();
  });
  it("break-lock removes what a dead program left", async () => {
    mkdirSync(join(repo, "lock.exclusive"));
    writeFileSync(join(repo, "lock.exclusive", "elsewhere@123.99-0"), "");
    const locked = await alcove(["list", "--lock-wait=0", repo], { env: { BORG_EXIT_CODES: "modern" } });
    expect(locked.code).toBe(73);
    await good(["break-lock", repo]);
    await good(["list", repo]);
  });
  it("version", async () => {
    expect((await good(["version", repo])).stdout).toBe("1.4.5 / 1.4.5\n");
  });
});

describe("debug", () => {
  it("dumps are byte for byte borg's", async () => {
    await same(["debug", "dump-manifest", repo, "-"]);
    await same(["debug", "dump-archive", `${repo}::two`, "-"]);
    await same(["debug", "dump-hints", repo, "-"]);
    await same(["debug", "id-hash", repo, join(source, "a")]);
    await same(["debug", "search-repo-objs", repo, "str:more"]);
  });
  it("dump-repo-objs and dump-archive-items write the same files", async () => {
    const cwd = process.cwd();
    for (const args of [
      ["dump-repo-objs", repo],
      ["dump-repo-objs", "--ghost", repo],
      ["dump-archive-items", `${repo}::two`],
    ]) {
      const [ours, theirs] = [mkdtempSync(join(dir, "ours-")), mkdtempSync(join(dir, "theirs-"))];
      process.chdir(ours);
      await good(["debug", ...args]);
      process.chdir(cwd);
      expect(
        spawnSync("/usr/bin/borg", ["debug", ...args], { env, cwd: theirs, timeout: 60_000 }).status,
      ).toBe(0);
      expect(spawnSync("diff", ["-r", ours, theirs], { encoding: "utf8" }).stdout).toBe("");
    }
  });
  it("objects go in and out, references are counted", async () => {
    const id = "ab".repeat(32);
    await good(["debug", "put-obj", plain, id, join(source, "new")]);
    await good(["debug", "get-obj", plain, id, join(dir, "obj")]);
    expect(readFileSync(join(dir, "obj"), "utf8")).toBe("n");
    expect((await good(["debug", "delete-obj", plain, id, "zz"])).stdout).toMatch(
      /deleted\.\nobject id zz is invalid\.\nDone\.\n$/,
    );
    expect((await alcove(["debug", "get-obj", plain, id, join(dir, "obj")])).code).toBe(2);
    const archive = goodBorg(["list", "--format", "{id}", "--last=1", plain]).stdout;
    await same(["debug", "refcount-obj", plain, archive]);
    expect((await good(["debug", "info"])).stdout).toMatch(/Borg: 1\.4\.5/);
  });
  it("convert-profile", async () => {
    const profile = join(dir, "p.msgpack");
    goodBorg(["list", "--debug-profile", profile, repo]);
    await good(["debug", "convert-profile", profile, join(dir, "ours.prof")]);
    goodBorg(["debug", "convert-profile", profile, join(dir, "theirs.prof")]);
    const code =
      "import marshal,sys; a,b=[marshal.load(open(f,'rb')) for f in sys.argv[1:]]; print(a==b and len(a)>10)";
    const run = spawnSync(
      "/usr/bin/python3",
      ["-c", code, join(dir, "ours.prof"), join(dir, "theirs.prof")],
      { encoding: "utf8" },
    );
    expect(run.stdout).toBe("True\n");
  });
});

describe("benchmark", () => {
  it("crud prints borg's lines and leaves nothing behind", async () => {
    const { stdout } = await good(["benchmark", "crud", plain, dir], {
      env: { _BORG_BENCHMARK_CRUD_TEST: "1" },
    });
    expect(
      stdout
        .trim()
        .split("\n")
        .map((l) => l.slice(0, 8)),
    ).toEqual(["Z", "R"].flatMap((k) => ["C", "R", "U", "D"].map((c) => `${c}-${k}-TEST`)));
    expect(names(plain)).toEqual(["d1", "d5", "d6"]);
  });
});

describe("delete of a repository", () => {
  it("asks, and takes cache and security information along", async () => {
    const no = await alcove(["delete", plain], { input: ["yes"], env: { BORG_EXIT_CODES: "modern" } });
    expect(no.code).toBe(3);
    expect(no.stderr).toContain("the 3 archives in it");
    const dry = await good(["delete", "-n", "-v", "--force", plain]);
    expect(dry.stderr).toMatch(/Would delete repository/);
    const id = JSON.parse(goodBorg(["info", "--json", plain]).stdout).repository.id;
    await good(["delete", plain], { env: { BORG_DELETE_I_KNOW_WHAT_I_AM_DOING: "YES" } });
    expect(existsSync(plain)).toBe(false);
    expect(existsSync(join(env["BORG_BASE_DIR"]!, ".cache/borg", id))).toBe(false);
    expect(existsSync(join(env["BORG_BASE_DIR"]!, ".config/borg/security", id))).toBe(false);
    expect((await alcove(["list", plain], { env: { BORG_EXIT_CODES: "modern" } })).code).toBe(13);
  });
});
