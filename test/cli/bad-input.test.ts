// What goes wrong for users: a clear message with Borg's msgid, Borg's modern exit code, no stack trace, and a
// repository that real borg still finds sound afterwards.
import {
  chmodSync,
  cpSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { alcoveCommand, type Result, Sandbox } from "../support/programs.ts";
import { makeTree, randomBytes } from "../support/tree.ts";

const box = new Sandbox();
const modern = { BORG_EXIT_CODES: "modern" };

beforeAll(() => {
  makeTree(box.path("tree"), 5);
  for (const mode of ["repokey", "keyfile"]) {
    box.ok(box.alcove(["init", "-e", mode, mode]));
    box.ok(box.alcove(["create", `${mode}::first`, "tree"]));
  }
});
beforeEach(() => {
  box.env["BORG_BASE_DIR"] = box.path("base");
});
afterAll(() => box.remove());

/** The records of --log-json that name a msgid. */
function msgids(r: Result): string[] {
  return r.stderr
    .split("\n")
    .filter((line) => line.startsWith("{"))
    .map((line) => (JSON.parse(line) as { msgid?: string }).msgid)
    .filter((id) => id !== undefined);
}

function expectError(r: Result, msgid: string, code: number): void {
  expect(msgids(r), r.stderr).toContain(msgid);
  expect(r.code, r.stderr).toBe(code);
  expect(r.stderr).not.toMatch(/^\s+at .*:\d+/m);
}

/** A copy of a repository, with something done to it, and a home that has never seen another copy (which would
 *  look like a replay). */
function copyOf(repository: string, change: (dir: string) => void): string {
  box.env["BORG_BASE_DIR"] = box.path(`base-${Math.random().toString(36).slice(2)}`);
  const name = `copy-${Math.random().toString(36).slice(2)}`;
  cpSync(box.path(repository), box.path(name), { recursive: true });
  change(box.path(name));
  return name;
}

const onlyFile = (dir: string, prefix: string): string => {
  const name = readdirSync(dir).find((n) => n.startsWith(prefix));
  if (!name) throw new Error(`no ${prefix} in ${dir}`);
  return join(dir, name);
};

const largestSegment = (dir: string): string => {
  const segments = readdirSync(join(dir, "data", "0")).map((n) => join(dir, "data", "0", n));
  return segments.sort((a, b) => statSync(b).size - statSync(a).size)[0]!;
};

/** Flips a bit of the file at a fraction of its length. */
function flip(file: string, fraction: number): void {
  const data = readFileSync(file);
  const at = Math.floor(data.length * fraction);
  data[at] = data[at]! ^ 0x10;
  writeFileSync(file, data);
}

describe("modern exit codes and msgids", () => {
  it.each([
    ["a wrong passphrase", ["list", "repokey"], { BORG_PASSPHRASE: "wrong" }, "PassphraseWrong", 52],
    ["a missing repository", ["list", "nowhere"], {}, "Repository.DoesNotExist", 13],
    ["an existing archive name", ["create", "repokey::first", "tree"], {}, "Archive.AlreadyExists", 30],
    ["a missing archive", ["extract", "--dry-run", "repokey::absent"], {}, "Archive.DoesNotExist", 31],
    [
      "a repository that is there already",
      ["init", "-e", "none", "repokey"],
      {},
      "Repository.AlreadyExists",
      10,
    ],
    [
      "a missing parent directory",
      ["init", "-e", "none", "no/such/dir"],
      {},
      "Repository.ParentPathDoesNotExist",
      18,
    ],
    ["a directory that is no repository", ["list", "tree"], {}, "Repository.InvalidRepository", 15],
    [
      "a key file that is not there",
      ["list", "keyfile"],
      { BORG_KEYS_DIR: "/nonexistent" },
      "KeyfileNotFoundError",
      42,
    ],
    ["an unknown placeholder", ["create", "repokey::{nonsense}", "tree"], {}, "InvalidPlaceholder", 6],
  ] as const)("%s", (_, args, env, msgid, code) => {
    const r = box.alcove(["--log-json", ...args], { env: { ...modern, ...env } });
    if (msgid === "InvalidPlaceholder") {
      // Found while the command line is read, before there is a log.
      expect(r.code).toBe(code);
      expect(r.stderr).toContain("nonsense");
    } else expectError(r, msgid, code);
    const legacy = box.alcove(["--log-json", ...args], { env });
    expect(legacy.code).toBe(2);
  });

  it("an unreadable file is a warning, and the rest is saved", () => {
    if (process.getuid?.() === 0) {
      // Root reads everything: a name that leads nowhere is what it cannot read.
      const r = box.alcove(["--log-json", "create", "repokey::partly", "tree", "not-there"], { env: modern });
      expect(msgids(r)).toContain("BackupFileNotFoundError");
      expect(r.code).toBe(107);
    } else {
      chmodSync(box.path("tree/one"), 0);
      const r = box.alcove(["--log-json", "create", "repokey::partly", "tree"], { env: modern });
      chmodSync(box.path("tree/one"), 0o644);
      expect(msgids(r)).toContain("BackupPermissionError");
      expect(r.code).toBe(105);
    }
    expect(box.ok(box.alcove(["list", "--short", "repokey::partly"])).stdout).toContain("tree/random");
  });

  it("a foreign lock is respected and named", () => {
    const locked = copyOf("repokey", (dir) => {
      mkdirSync(join(dir, "lock.exclusive"));
      writeFileSync(join(dir, "lock.exclusive", "elsewhere@123456789.4711-0"), "");
    });
    const r = box.alcove(["--log-json", "--lock-wait", "1", "create", `${locked}::x`, "tree"], {
      env: modern,
    });
    expectError(r, "LockTimeout", 73);
    expect(r.stderr).toContain("elsewhere");
    box.ok(box.alcove(["break-lock", locked]));
    box.ok(box.alcove(["create", `${locked}::x`, "tree"]));
  });

  it("a repository of a future version is refused", () => {
    const future = copyOf("repokey", (dir) => {
      const config = readFileSync(join(dir, "config"), "utf8");
      writeFileSync(join(dir, "config"), config.replace("version = 1", "version = 9"));
    });
    const r = box.alcove(["--log-json", "list", future], { env: modern });
    expectError(r, "Repository.InvalidRepositoryConfig", 16);
  });

  it("a damaged key is told as such", () => {
    const damaged = copyOf("repokey", (dir) => {
      const config = readFileSync(join(dir, "config"), "utf8");
      writeFileSync(join(dir, "config"), config.replace(/^key = .*\n(?:\t.*\n)*/m, "key = bm90IGEga2V5\n"));
    });
    expectError(box.alcove(["--log-json", "list", damaged], { env: modern }), "KeyfileInvalidError", 40);
  });

  it("a damaged segment: the damage is found, other archives stay readable", () => {
    const damaged = copyOf("repokey", (dir) => flip(largestSegment(dir), 0.5));
    const check = box.alcove(["check", "--verify-data", damaged]);
    expect(check.code).toBe(1);
    const extract = box.alcove(["--log-json", "extract", "--dry-run", `${damaged}::first`], { env: modern });
    expectError(extract, "IntegrityError", 90);
  });

  it.each(["index.", "hints.", "integrity."])(
    "a damaged or missing %sN is made anew, and nothing is lost",
    (prefix) => {
      for (const damage of [(f: string) => flip(f, 0.4), (f: string) => rmSync(f)]) {
        const damaged = copyOf("repokey", (dir) => damage(onlyFile(dir, prefix)));
        box.ok(box.alcove(["create", `${damaged}::again`, "tree"]));
        box.ok(box.borg(["check", "--verify-data", damaged]));
        box.ok(box.alcove(["extract", "--dry-run", `${damaged}::first`]));
      }
    },
  );

  it("a damaged cache is made anew", () => {
    const cache = box.path("base", ".cache", "borg");
    const damage = (file: string): void => {
      for (const id of readdirSync(cache).filter((n) => /^[0-9a-f]{64}$/.test(n))) {
        writeFileSync(join(cache, id, file), randomBytes(300, 7));
      }
    };
    for (const file of ["chunks", "files"]) {
      damage(file);
      box.ok(box.alcove(["create", `repokey::after-${file}`, "tree"]));
      box.ok(box.borg(["check", "repokey"]));
    }
    damage("config");
    const refused = box.alcove(["create", "repokey::not-yet", "tree"]);
    expect(refused.code).toBe(2);
    expect(refused.stderr).toMatch(/does not look like a Borg cache[\s\S]*--cache-only/);
    box.ok(box.alcove(["delete", "--cache-only", "repokey"]));
    box.ok(box.alcove(["create", "repokey::after-config", "tree"]));
    rmSync(cache, { recursive: true });
    const info = (who: "alcove" | "borg"): unknown => {
      const { stats } = JSON.parse(box.ok(box[who](["info", "--json", "repokey"])).stdout).cache;
      return [stats.unique_csize, stats.total_unique_chunks, stats.total_chunks];
    };
    expect(info("alcove")).toEqual(info("borg"));
  });

  it("a usage error is plain text with exit code 2 and names the option", () => {
    const r = box.alcove(["--log-json", "create", "--no-such-option", "repokey::x", "tree"], { env: modern });
    expect(r.code).toBe(2);
    expect(r.stderr).toContain("--no-such-option");
    expect(r.stderr).not.toContain('{"');
  });
});

it("checkpoints: an interrupted backup keeps what it had, as borg sees it", () => {
  mkdirSync(box.path("large"));
  for (let i = 0; i < 12; i++) writeFileSync(box.path(`large/part-${i}`), randomBytes(3_000_000, i + 1));
  // One file of many chunks, so that a checkpoint falls inside it, compressed slowly, so that there is time for it.
  const [program, ...rest] = alcoveCommand();
  // Killed after the next commit, whenever that comes: a busy machine takes its time.
  const script = `before=$(ls repokey/index.*); "$0" "$@" & p=$!
    for i in $(seq 900); do sleep 0.1; [ "$(ls repokey/index.*)" = "$before" ] || break; done; sleep 0.5; kill -9 $p; wait $p`;
  const args = [
    ...rest,
    "--workers",
    "1",
    "create",
    "--checkpoint-interval",
    "1",
    "-C",
    "lzma,6",
    "repokey::big",
    "large",
  ];
  box.run(["sh", "-c", script, program!, ...args]);
  const names = box.ok(box.borg(["list", "--short", "--consider-checkpoints", "repokey"])).stdout;
  expect(names).toMatch(/^big(\.checkpoint)?$/m);
  box.ok(box.borg(["check", "--verify-data", "repokey"]));
  renameSync(box.path("large"), box.path("large2"));
  box.ok(box.alcove(["create", "repokey::big2", "large2"]));
});
