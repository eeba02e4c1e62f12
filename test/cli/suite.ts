// The command-line suite that every runtime has to pass on the built file: what people and their scripts type,
// command by command on one sandbox per runtime, each command of Borg's list at least once. (What each option does
// is tested elsewhere, on one runtime.)
import {
  accessSync,
  constants,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  alcoveCommand,
  type Result,
  type RunOptions,
  type RuntimeLabel,
  Sandbox,
} from "../support/programs.ts";
import { describeTree, makeTree } from "../support/tree.ts";

/** The msgid of the one error record that a failing command writes with --log-json. */
function errorOf(result: Result): string | undefined {
  for (const line of result.stderr.split("\n")) {
    if (!line.startsWith("{")) continue;
    const record = JSON.parse(line);
    if (record.type === "log_message" && record.levelname === "ERROR") return record.msgid;
  }
  return undefined;
}

const canMount = (() => {
  try {
    accessSync("/dev/fuse", constants.R_OK | constants.W_OK);
    return process.getuid?.() === 0;
  } catch {
    return false; // no FUSE here
  }
})();

class Bench {
  readonly box = new Sandbox();
  readonly on: RuntimeLabel;

  constructor(on: RuntimeLabel) {
    this.on = on;
    makeTree(this.box.path("tree"), 7);
  }

  /** Any exit code. */
  any(args: readonly string[], options: RunOptions = {}): Result {
    return this.box.alcove(args, { ...options, on: this.on });
  }

  /** Exit code 0, or one of `codes`. */
  run(args: readonly string[], options: RunOptions & { codes?: readonly number[] } = {}): Result {
    return this.box.ok(this.any(args, options), options.codes);
  }

  /** Extracts into a new directory. @returns its path */
  extract(dir: string, args: readonly string[], options: RunOptions = {}): string {
    mkdirSync(this.box.path(dir));
    this.run(["extract", ...args], { ...options, cwd: this.box.path(dir) });
    return this.box.path(dir);
  }
}

/** Everything, command by command. */
export function fullSuite(on: RuntimeLabel): void {
  describe(`${on}: the command line`, () => {
    let b: Bench;
    beforeAll(() => {
      b = new Bench(on);
    });
    afterAll(() => b?.box.remove());

    describe("start", () => {
      it("says what it is, and helps", () => {
        expect(b.run(["--version"]).stdout).toMatch(/^alcove \d+\.\d+\.\d+ \(borg 1\.4\.\d+\)\n$/);
        expect(b.run(["help"]).stdout).toContain("create");
        expect(b.run(["create", "--help"]).stdout).toContain("--exclude-caches");
      });

      it("tells a usage error in plain text with exit code 2", () => {
        const r = b.any(["create", "--no-such-option", "repo::x", "."]);
        expect(r.code).toBe(2);
        expect(r.stderr).toContain("--no-such-option");
        expect(r.stderr).not.toMatch(/\n\s+at /);
      });

      it("makes repositories, plain and encrypted", () => {
        const r = b.run(["--verbose", "init", "--encryption=none", "plain"]);
        expect(r.stderr).toContain("Initializing repository at");
        b.run(["init", "-e", "repokey", "repo"]);
        expect(readFileSync(b.box.path("repo/config"), "utf8")).toMatch(/^key = /m);
        const again = b.any(["--log-json", "init", "-e", "none", "plain"]);
        expect([again.code, errorOf(again)]).toEqual([2, "Repository.AlreadyExists"]);
      });
    });

    describe("create", () => {
      it("archives a tree, and tells of it in JSON", () => {
        const doc = JSON.parse(
          b.run(["create", "--json", "--comment", "0012", "repo::first", "tree"]).stdout,
        );
        expect(doc.archive.name).toBe("first");
        expect(doc.archive.stats.nfiles).toBeGreaterThan(40);
        expect(doc.encryption.mode).toBe("repokey");
      });

      it("shows progress and statistics where asked", () => {
        const r = b.run(["--progress", "create", "--stats", "--list", "plain::first", "tree"]);
        expect(r.stderr).toContain("This archive:");
        expect(r.stderr).toMatch(/^A tree\/random$/m);
        expect(r.stdout).toBe("");
      });

      it("leaves unchanged files unread, and takes placeholders", () => {
        const r = b.run(["create", "--list", "--filter=AMU", "repo::{hostname}-{now:%Y}-x", "tree"]);
        expect(r.stderr).toMatch(/^U tree\/random$/m);
        expect(r.stderr).not.toMatch(/^[AM] tree\/(?!one)/m);
        b.run(["delete", "--glob-archives", "*-x", "repo"]);
      });

      it("excludes by patterns, tags and caches", () => {
        const dir = b.box.path("picky");
        mkdirSync(`${dir}/cache`, { recursive: true });
        mkdirSync(`${dir}/tagged`);
        mkdirSync(`${dir}/keep`);
        writeFileSync(`${dir}/cache/CACHEDIR.TAG`, "Signature: 8a477f597d28d172789f06886806bc55\n");
        for (const f of ["cache/x", "tagged/x", "tagged/.nobackup", "keep/a.o", "keep/b.c", "keep/c.txt"])
          if (!existsSync(`${dir}/${f}`)) writeFileSync(`${dir}/${f}`, f);
        writeFileSync(b.box.path("excludes"), "# comment\n*.o\n");
        writeFileSync(b.box.path("patterns"), "R picky\n- fm:*.txt\n");
        b.run([
          ..."create --exclude-caches --exclude-if-present .nobackup --exclude-from excludes".split(" "),
          ..."--patterns-from patterns plain::picky".split(" "),
        ]);
        expect(b.run(["list", "--short", "plain::picky"]).stdout.trim().split("\n").sort()).toEqual([
          "picky",
          "picky/keep",
          "picky/keep/b.c",
        ]);
      });

      it("archives what comes from a pipe or a command", () => {
        const input = Buffer.alloc(3_000_000, "stream ");
        b.run(["create", "--stdin-name", "dump.sql", "plain::pipe", "-"], { input });
        expect(b.run(["extract", "--stdout", "plain::pipe"]).stdout).toBe(input.toString());
        b.run(["create", "--content-from-command", "plain::command", "--", "echo", "hello"]);
        expect(b.run(["extract", "--stdout", "plain::command", "stdin"]).stdout).toBe("hello\n");
        b.run(["create", "--paths-from-stdin", "plain::paths"], { input: "tree/text\ntree/one\n" });
        expect(b.run(["list", "--short", "plain::paths"]).stdout).toBe("tree/text\ntree/one\n");
      });

      it("only says what it would do in a dry run", () => {
        const r = b.run(["create", "--dry-run", "--list", "plain::dry", "tree"]);
        expect(r.stderr).toMatch(/^- tree\/random$/m);
        expect(b.run(["list", "--short", "plain"]).stdout).not.toContain("dry");
      });

      it("warns of what is not there, and goes on", () => {
        const r = b.run(["create", "plain::partly", "tree/text", "missing"], { codes: [1] });
        expect(r.stderr).toContain("missing");
        expect(b.run(["list", "--short", "plain::partly"]).stdout).toBe("tree/text\n");
      });

      it("makes the same archive with no worker and with two", () => {
        b.run(["--workers", "0", "create", "--files-cache=disabled", "plain::w0", "tree"]);
        b.run(["--workers", "2", "create", "--files-cache=disabled", "plain::w2", "tree"]);
        expect(b.run(["diff", "plain::w0", "w2"]).stdout).toBe("");
        const format = ["--format", "{path} {size} {num_chunks} {sha256}{NL}"];
        const items = (name: string): string => b.run(["list", ...format, `plain::${name}`]).stdout;
        expect(items("w2")).toBe(items("w0"));
      });

      it("refuses a name that is taken, and one that cannot be", () => {
        const r = b.any(["--log-json", "create", "plain::w0", "tree"]);
        expect([r.code, errorOf(r)]).toEqual([2, "Archive.AlreadyExists"]);
        expect(b.any(["create", "plain::bad/name", "tree"]).code).toBe(2);
      });
    });

    describe("list and info", () => {
      it("lists archives as text, by format and as JSON", () => {
        expect(b.run(["list", "repo"]).stdout).toMatch(
          /^first {32}\w{3}, \d{4}-\d\d-\d\d .* \[[0-9a-f]{64}\]$/m,
        );
        expect(b.run(["list", "--format", "{archive}|{comment}{NL}", "repo"]).stdout).toBe("first|0012\n");
        const doc = JSON.parse(b.run(["list", "--json", "--last", "2", "plain"]).stdout);
        expect(doc.archives.map((a: { name: string }) => a.name)).toEqual(["w0", "w2"]);
        expect(b.run(["list", "--short", "-P", "p", "--sort-by", "name", "plain"]).stdout).toBe(
          "partly\npaths\npicky\npipe\n",
        );
      });

      it("lists items, odd names among them", () => {
        const lines = b.run(["list", "--json-lines", "repo::first"]).stdout.trim().split("\n");
        const items = lines.map((l) => JSON.parse(l));
        expect(items.find((i) => i.path === "tree/sub/deep/new\nline")).toMatchObject({ type: "-", size: 1 });
        expect(items.find((i) => i.path.endsWith("ünïcode näme"))).toBeDefined();
        const mine = b.run(["list", "repo::first"]).stdout;
        expect(mine).toBe(b.box.borg(["list", "repo::first"]).stdout);
      });

      it("tells sizes of repository and archive", () => {
        expect(b.run(["info", "repo"]).stdout).toContain("Repository ID:");
        expect(b.run(["info", "repo::first"]).stdout).toContain("Comment: 0012");
        const doc = JSON.parse(b.run(["info", "--json", "--last", "1", "plain"]).stdout);
        expect(doc.archives).toHaveLength(1);
        expect(doc.cache.stats.unique_size).toBeLessThan(doc.cache.stats.total_size);
      });
    });

    describe("extract and diff", () => {
      it("restores a tree", () => {
        b.extract("out", ["--list", "../repo::first"]);
        expect(describeTree(b.box.path("out/tree"))).toBe(describeTree(b.box.path("tree")));
      });

      it("restores with two workers and with none, sparse", () => {
        for (const n of ["0", "2"]) {
          b.extract(`out${n}`, ["--sparse", "--workers", n, "../repo::first"]);
          expect(describeTree(b.box.path(`out${n}/tree`))).toBe(describeTree(b.box.path("tree")));
        }
      });

      it("restores parts, without leading directories", () => {
        b.extract("part", ["--strip-components", "2", "../repo::first", "tree/sub/deep", "-e", "*small*"]);
        expect(readdirSync(b.box.path("part")).sort()).toEqual(["deep"]);
        expect(readdirSync(b.box.path("part/deep")).sort()).toEqual(["new\nline", "ünïcode näme"]);
      });

      it("writes nothing in a dry run", () => {
        const dir = b.extract("none", ["--dry-run", "../repo::first"]);
        expect(readdirSync(dir)).toEqual([]);
      });

      it("warns of a path that is not there", () => {
        const r = b.run(["extract", "--dry-run", "repo::first", "tree/none"], { codes: [1] });
        expect(r.stderr).toContain("tree/none");
      });

      it("compares archives", () => {
        writeFileSync(b.box.path("tree/zeros"), "changed\n");
        b.run(["create", "repo::second", "tree"]);
        expect(b.run(["diff", "repo::first", "second", "tree/zeros"]).stdout).toMatch(/tree\/zeros$/m);
        const lines = b.run(["diff", "--json-lines", "repo::first", "second"]).stdout.trim().split("\n");
        expect(lines.map((l) => JSON.parse(l).path)).toContain("tree/zeros");
      });
    });

    describe("care", () => {
      it("renames, prunes, deletes, compacts", () => {
        b.run(["rename", "repo::second", "zwei"]);
        expect(b.run(["list", "--short", "repo"]).stdout).toBe("first\nzwei\n");
        const dry = b.run(["prune", "--dry-run", "--list", "--keep-last=1", "repo"]);
        expect(dry.stderr).toMatch(/Would prune:\s+first/);
        b.run(["prune", "--keep-last=1", "repo"]);
        expect(b.run(["list", "--short", "repo"]).stdout).toBe("zwei\n");
        b.run(["delete", "plain::w0", "w2", "pipe"]);
        expect(b.run(["list", "--short", "plain"]).stdout).not.toMatch(/^(w0|w2|pipe)$/m);
        b.run(["compact", "plain"]);
      });

      it("saves the key, and takes it back", () => {
        b.run(["key", "export", "repo", "key.txt"]);
        expect(readFileSync(b.box.path("key.txt"), "utf8")).toMatch(/^BORG_KEY [0-9a-f]{64}\n/);
        b.run(["key", "import", "repo", "key.txt"]);
        b.run(["key", "change-passphrase", "repo"], { env: { BORG_NEW_PASSPHRASE: "other words" } });
        b.run(["list", "repo"], { env: { BORG_PASSPHRASE: "other words" } });
      });

      it("refuses a wrong passphrase, a missing repository, a missing archive", () => {
        const wrong = b.any(["--log-json", "list", "repo"]);
        expect([wrong.code, errorOf(wrong)]).toEqual([2, "PassphraseWrong"]);
        const modern = b.any(["list", "nowhere"], { env: { BORG_EXIT_CODES: "modern" } });
        expect(modern.code).toBe(13);
        const none = b.any(["--log-json", "list", "plain::nothing"]);
        expect([none.code, errorOf(none)]).toEqual([2, "Archive.DoesNotExist"]);
        for (const r of [wrong, modern, none]) expect(r.stderr).not.toMatch(/\n\s+at /);
      });

      it("reads a repository that is locked, past the lock", () => {
        b.run(["with-lock", "plain", "true"]);
        mkdirSync(b.box.path("plain/lock.exclusive"));
        writeFileSync(b.box.path("plain/lock.exclusive/elsewhere@1.2-0"), "");
        const r = b.any(["--log-json", "--lock-wait", "0", "list", "plain"]);
        expect([r.code, errorOf(r)]).toEqual([2, "LockTimeout"]);
        b.run(["list", "--bypass-lock", "plain"]);
        b.run(["break-lock", "plain"]);
        b.run(["list", "plain"]);
      });

      it("checks", () => {
        const r = b.run(["--info", "check", "--verify-data", "plain"]);
        expect(r.stderr).toContain("no problems found");
        b.run(["check", "--repository-only", "repo"], { env: { BORG_PASSPHRASE: "other words" } });
        cpSync(b.box.path("plain"), b.box.path("damaged"), { recursive: true });
        const data = b.box.path("damaged/data/0");
        const largest = readdirSync(data)
          .map((f) => join(data, f))
          .sort((x, y) => statSync(y).size - statSync(x).size)[0]!;
        const bytes = readFileSync(largest);
        bytes[bytes.length >> 1]! ^= 1;
        writeFileSync(largest, bytes);
        b.run(["check", "damaged"], { codes: [1] });
        b.run(["check", "--repair", "damaged"], {
          codes: [0, 1],
          env: { BORG_CHECK_I_KNOW_WHAT_I_AM_DOING: "YES" },
        });
        b.run(["check", "damaged"]);
        b.box.ok(b.box.borg(["check", "damaged"]));
        rmSync(b.box.path("damaged"), { recursive: true });
      });

      it("makes archives anew, and tells settings", () => {
        b.run(["recreate", "-C", "zstd,1", "--recompress", "always", "-e", "*random*", "plain::paths"]);
        b.run(["recreate", "--comment", "made anew", "plain::first"]);
        expect(b.run(["info", "plain::first"]).stdout).toContain("Comment: made anew");
        b.run(["config", "plain", "additional_free_space", "20M"]);
        expect(b.run(["config", "plain", "additional_free_space"]).stdout).toBe("20M\n");
        expect(b.run(["config", "--list", "plain"]).stdout).toContain("segments_per_dir");
      });

      it("writes and reads tar files", () => {
        mkdirSync(b.box.path("untarred"));
        b.run(["export-tar", "--tar-format=PAX", "plain::first", "all.tar.gz"]);
        b.box.ok(b.box.run(["tar", "xzf", "../all.tar.gz"], { cwd: b.box.path("untarred") }));
        const restored = (dir: string) => describeTree(b.box.path(dir, "tree/sub"));
        expect(restored("untarred")).toBe(restored("out"));
        b.run(["import-tar", "plain::tar", "all.tar.gz"]);
        b.extract("out-of-tar", ["../plain::tar"]);
        expect(restored("out-of-tar")).toBe(restored("out"));
      });

      it("shows raw content", () => {
        expect(JSON.parse(b.run(["debug", "dump-manifest", "plain", "-"]).stdout).archives).toHaveProperty(
          "first",
        );
        expect(b.run(["debug", "info"]).stdout).not.toBe("");
        writeFileSync(b.box.path("object"), "content");
        const put = b.run(["debug", "put-obj", "plain", "0".repeat(63) + "1", "object"]);
        expect(put.stdout + put.stderr).toContain("put");
        b.run(["debug", "get-obj", "plain", "0".repeat(63) + "1", "got"]);
        expect(readFileSync(b.box.path("got"), "utf8")).toBe("content");
        b.run(["debug", "delete-obj", "plain", "0".repeat(63) + "1"]);
      });

      it("works behind a connection, as client and as server", () => {
        // In place of ssh: runs what would be run on the other side.
        const rsh = b.box.path("rsh");
        writeFileSync(rsh, '#!/bin/sh\nwhile [ "$1" != there ]; do shift; done\nshift\nexec sh -c "$*"\n', {
          mode: 0o755,
        });
        const server = alcoveCommand(b.on)
          .map((w) => `'${w}'`)
          .join(" ");
        const env = { BORG_RSH: rsh, BORG_REMOTE_PATH: server };
        b.run(["init", "-e", "none", "ssh://there" + b.box.path("away")], { env });
        b.run(["create", "ssh://there" + b.box.path("away") + "::a", "tree"], { env });
        const dir = b.extract("from-away", ["ssh://there" + b.box.path("away") + "::a"], { env });
        expect(describeTree(`${dir}/tree`)).toBe(describeTree(b.box.path("tree")));
        b.box.ok(b.box.borg(["check", "away"]));
      });

      it.skipIf(!canMount)("mounts", () => {
        mkdirSync(b.box.path("mnt"));
        b.run(["mount", "plain::first", "mnt"]);
        try {
          const text = readFileSync(b.box.path("tree/text"));
          expect(readFileSync(b.box.path("mnt/tree/text")).equals(text)).toBe(true);
        } finally {
          b.run(["umount", "mnt"]);
        }
        expect(readdirSync(b.box.path("mnt"))).toEqual([]);
      });

      it("leaves what borg checks", () => {
        b.box.ok(b.box.borg(["check", "--verify-data", "plain"]));
        b.box.ok(b.box.borg(["check", "repo"], { env: { BORG_PASSPHRASE: "other words" } }));
      });

      it("deletes a repository", () => {
        b.run(["delete", "plain"], { env: { BORG_DELETE_I_KNOW_WHAT_I_AM_DOING: "YES" } });
        expect(existsSync(b.box.path("plain"))).toBe(false);
      });
    });
  });
}
