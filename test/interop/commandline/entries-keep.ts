// Behaviours of the commands that keep repositories: init, delete, prune, compact, recreate, rename, config, locks,
// keys, upgrade, benchmark.
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { expect } from "vitest";
import type { Behaviour, Entries } from "./compare.ts";
import { filters, patterns } from "./entries-look.ts";
import { type Lab, write } from "./lab.ts";

const archives = [["list", "--consider-checkpoints", "--format", "{archive} {comment} {start}{NL}", "REPO"]];
const many = [["list", "--format", "{archive} {start}{NL}", "MANY"]];
const contents = (name: string) => [
  ...archives,
  ["list", "--format", "{mode} {size} {num_chunks} {csize} {mtime} {path}{extra}{NL}", `REPO::${name}`],
];

const init = (option: readonly string[], more: Partial<Behaviour> = {}): Behaviour => ({
  with: option,
  args: ["-e", "none", "W/made"],
  writes: true,
  after: [["config", "--list", "W/made"]],
  ...more,
});

const del = (option: readonly string[], more: Partial<Behaviour> = {}): Behaviour => ({
  with: option,
  args: ["REPO::one"],
  writes: true,
  after: archives,
  ...more,
});

/** The column of the rules is wider in 1.4, which has longer names of rules. */
const narrow = (text: string) => text.replace(/ +/g, " ");

const prune = (option: readonly string[], more: Partial<Behaviour> = {}): Behaviour => ({
  normalise: narrow,
  with: option,
  args: ["--list", "--keep-yearly", "1", "MANY"],
  writes: true,
  after: many,
  ...more,
});

const recreate = (option: readonly string[], more: Partial<Behaviour> = {}): Behaviour => ({
  with: option,
  args: ["-e", "src/cache", "REPO::two"],
  writes: true,
  after: contents("two"),
  ...more,
});

/** Counts differ by what borg 1.4 does not count any more. */
const deleted = (text: string) =>
  text.replace(/(Deleted data|All archives|This archive|Chunk index):.*$/gm, "$1 X");

const quick = (more: Behaviour): Behaviour => ({
  ...more,
  with: ["--quick-stats"],
  own: "of borg 1.4",
  check: (r) => {
    expect(r.stderr).toMatch(/Deleted data:/);
    expect(r.stderr).not.toMatch(/All archives:/);
  },
});

/** Borg 1.2 has no such prompt; and its config file has a random id. */
const anyId = (text: string) => text.replace(/^id = .*$/gm, "id = X");

/** The conversion of repositories of before Borg 1.0, which we do not do; borg "converts" any repository by it. */
function refused(option: readonly string[]): Behaviour {
  return {
    with: option,
    args: ["REPO"],
    own: "refused",
    inert: "refused",
    check: (r) => {
      expect(r.code).toBe(2);
      expect(r.stderr).toMatch(/nothing to upgrade/);
    },
  };
}

export const keep: Entries = {
  init: {
    "": [
      init([], { normalise: anyId }),
      init([], { args: ["-e", "none", "REPO"] }),
      init([], { args: ["-e", "none", "W/no/such/parent"] }),
    ],
    "--encryption": [
      {
        with: ["-e", "repokey-blake2"],
        args: ["W/made"],
        writes: true,
        inert: "required",
        stderr: "data",
        after: [["info", "--json", "W/made"]],
      },
      {
        with: ["-e", "authenticated"],
        args: ["W/made"],
        writes: true,
        inert: "required",
        stderr: "data",
        after: [["info", "--json", "W/made"]],
      },
    ],
    "--append-only": init(["--append-only"], { normalise: anyId }),
    "--storage-quota": init(["--storage-quota", "5G"], { normalise: anyId }),
    "--make-parent-dirs": init(["--make-parent-dirs"], {
      args: ["-e", "none", "W/deep/er/made"],
      after: [["config", "--list", "W/deep/er/made"]],
      normalise: anyId,
    }),
    "--import-related-secrets": async (lab) => {
      const secrets = lab.path("w", "secrets");
      const [enc, made] = [lab.path("w/enc"), lab.path("w/made")];
      expect((await lab.ours({ args: ["key", "export-related-secrets", enc, secrets] })).code).toBe(0);
      for (const option of [[], ["--import-related-secrets", secrets]]) {
        spawnSync("rm", ["-rf", made]);
        expect((await lab.ours({ args: ["init", ...option, "-e", "repokey", made] })).code).toBe(0);
        const ids = [enc, made].map((r) => lab.goodBorg(["debug", "id-hash", r, "src/a"]));
        const [a, b] = await Promise.all(ids);
        expect(a === b).toBe(option.length > 0);
      }
    },
  },
  delete: {
    "": [
      del([]),
      del([], { args: ["REPO::one", "two"] }),
      del([], {
        args: ["REPO::one", "absent"],
        own: "a warning for the exit code since 1.4",
        check: (r) => {
          expect(r.code).toBe(1);
          expect(r.after[0]).not.toMatch(/^one/m);
        },
      }),
      del([], { args: ["REPO"], answers: ["YES"], after: [["list", "REPO"]] }),
      del([], { args: ["REPO"], answers: ["no"], stderr: "data" }),
    ],
    "--dry-run": del(["-n"], { args: ["--list", "REPO::one"] }),
    "--list": del(["--list"]),
    "--stats": del(["--stats"], { normalise: deleted }),
    "--quick-stats": quick(del([])),
    "--cache-only": del(["--cache-only"], { args: ["REPO"], answers: ["YES"] }),
    "--force": [
      // Twice: an archive whose own metadata is gone.
      del(["--force", "--force"], { prepare: (lab) => lose(lab, "{id}"), normalise: (t) => t }),
      // Once: one of which a part of the item stream is gone.
      del(["--force"], { prepare: (lab) => lose(lab, "items"), stderr: "data" }),
    ],
    "--keep-security-info": del(["--keep-security-info"], {
      args: ["REPO"],
      answers: ["YES"],
      inert: "see check",
      after: [],
      check: async (_run, _without, lab) => {
        const kept = () => readdir(lab.path("w/base/.config/borg/security")).length;
        expect(kept()).toBe(3);
        lab.restore();
        lab.touch();
        await lab.ours({ args: ["delete", lab.path("w/repo")], input: ["YES"] });
        expect(kept()).toBe(2);
      },
    }),
    "--save-space": del(["--save-space"], { inert: "only how space is used" }),
    "--checkpoint-interval": del(["-c", "1"], { args: ["REPO::one", "two"], inert: "only when it commits" }),
    ...filters({ args: ["--list", "REPO"], writes: true, after: archives }),
    // Without them it is the whole repository.
    "--sort-by": del(["--sort-by", "name"], { args: ["--list", "--first", "1", "REPO"] }),
  },
  prune: {
    "": prune([], { args: ["MANY"] }),
    "--dry-run": prune(["-n"]),
    "--force": prune(["--force"], { inert: "no archive is damaged" }),
    "--stats": prune(["--stats"], { normalise: (t) => narrow(deleted(t)) }),
    "--quick-stats": quick(prune([])),
    "--list": prune(["--list"], { args: ["--keep-yearly", "1", "MANY"] }),
    "--keep-within": [
      prune(["--keep-within", "90y"]),
      prune(["--keep-within", "1d"], { inert: "all are older" }),
      prune(["--keep-within", "1x"], { stderr: "data" }),
    ],
    "--keep-secondly": [prune(["--keep-secondly", "3"]), prune(["--keep-last", "2"])],
    "--keep-minutely": prune(["--keep-minutely", "3"]),
    "--keep-hourly": prune(["--keep-hourly", "3"]),
    "--keep-daily": prune(["--keep-daily", "3"]),
    "--keep-weekly": prune(["--keep-weekly", "3"]),
    "--keep-monthly": prune(["--keep-monthly", "3"]),
    "--keep-13weekly": prune(["--keep-13weekly", "3"], {
      own: "of borg 1.4",
      check: (r) => expect(r.stderr).toMatch(/\(rule: quarterly_13weekly #\d\)/),
    }),
    "--keep-3monthly": prune(["--keep-3monthly", "3"], {
      own: "of borg 1.4",
      check: (r) => expect(r.stderr).toMatch(/\(rule: quarterly_3monthly #\d\)/),
    }),
    "--keep-yearly": prune(["--keep-yearly", "2"], { args: ["--list", "--keep-last", "1", "MANY"] }),
    "--prefix": prune(["--prefix", "b"]),
    "--glob-archives": prune(["-a", "a*"]),
    "--save-space": prune(["--save-space"], { inert: "only how space is used" }),
    "--checkpoint-interval": prune(["-c", "1"], { inert: "only when it commits" }),
  },
  compact: {
    "": { with: [], args: ["-v", "REPO"], writes: true, after: archives, prepare: deleteOne },
    "--dry-run": {
      with: ["-n"],
      args: ["REPO"],
      writes: true,
      prepare: deleteOne,
      own: "of borg 1.4",
      inert: "see check",
      check: async (_run, _without, lab) => {
        const size = () =>
          Number(
            spawnSync("du", ["-sb", lab.path("w/repo/data")])
              .stdout.toString()
              .split("\t")[0],
          );
        const before = size();
        await lab.ours({ args: ["compact", "-n", lab.path("w/repo")] });
        expect(size()).toBe(before);
        await lab.ours({ args: ["compact", "--threshold=0", lab.path("w/repo")] });
        expect(size()).toBeLessThan(before);
      },
    },
    "--cleanup-commits": {
      with: ["--cleanup-commits"],
      args: ["REPO"],
      writes: true,
      after: archives,
      inert: "see check",
      check: (_run, _without, lab) => {
        // Segments that hold nothing but an end mark are gone.
        const small = spawnSync("find", [
          lab.path("w/repo/data"),
          "-type",
          "f",
          "-size",
          "-18c",
        ]).stdout.toString();
        expect(small.trim().split("\n").length).toBe(1);
      },
    },
    "--threshold": {
      with: ["--threshold", "90"],
      args: ["REPO"],
      writes: true,
      prepare: deleteOne,
      after: [["debug", "dump-hints", "REPO", "W/hints"]],
      inert: "see check",
      check: async (_run, _without, lab) => {
        const size = () =>
          Number(
            spawnSync("du", ["-sb", lab.path("w/repo/data")])
              .stdout.toString()
              .split("\t")[0],
          );
        const before = size();
        await lab.ours({ args: ["compact", "--threshold", "1", lab.path("w/repo")] });
        expect(size()).toBeLessThan(before);
      },
    },
  },
  rename: {
    "": [
      { with: [], args: ["REPO::one", "uno"], writes: true, after: contents("uno") },
      { with: [], args: ["REPO::one", "two"], writes: true },
      { with: [], args: ["REPO::absent", "x"], writes: true },
    ],
  },
  recreate: {
    "": [
      recreate([]),
      recreate([], { args: ["REPO::two", "src/sub"] }),
      recreate([], { args: ["REPO::absent", "x"] }),
    ],
    "--list": recreate(["--list"]),
    "--filter": recreate(["--filter", "x"], { args: ["--list", "-e", "src/cache", "REPO::two"] }),
    "--dry-run": recreate(["-n"]),
    "--stats": recreate(["--stats"], {
      own: "borg shows them only with --info",
      check: (r) => expect(r.stderr).toMatch(/Number of files: \d+/),
    }),
    ...patterns({ args: ["REPO::two"], writes: true, after: contents("two") }),
    "--exclude-caches": recreate(["--exclude-caches"], { args: ["-e", "src/links", "REPO::two"] }),
    "--exclude-if-present": recreate(["--exclude-if-present", ".nobackup"]),
    "--keep-exclude-tags": recreate(["--keep-exclude-tags"], {
      args: ["--exclude-caches", "--exclude-if-present", ".nobackup", "REPO::two"],
    }),
    "--target": recreate(["--target", "other"]),
    "--checkpoint-interval": recreate(["-c", "1"], { inert: "the archive is the same when it is done" }),
    "--comment": recreate(["--comment", "new words"]),
    "--timestamp": recreate(["--timestamp", "2020-02-02T02:02:02"]),
    "--compression": recreate(["-C", "none"], { args: ["--recompress=always", "REPO::two"] }),
    "--recompress": recreate(["--recompress"], { args: ["-C", "none", "REPO::two"] }),
    "--chunker-params": recreate(["--chunker-params", "10,14,12,4095"], { args: ["REPO::two"] }),
  },
  config: {
    "": [
      { with: [], args: ["REPO", "additional_free_space"] },
      { with: [], args: ["REPO", "additional_free_space", "20M"], writes: true, files: ["W/repo/config"] },
      { with: [], args: ["REPO", "nonsense", "1"], writes: true, stderr: "data" },
      { with: [], args: ["REPO", "storage_quota", "1M"], writes: true, stderr: "data" },
    ],
    "--cache": { with: ["--cache"], args: ["REPO", "previous_location"], writes: true },
    "--delete": {
      with: ["--delete"],
      args: ["REPO", "additional_free_space"],
      writes: true,
      files: ["W/repo/config"],
    },
    "--list": { with: ["--list"], args: ["REPO"] },
  },
  "break-lock": {
    "": {
      with: [],
      args: ["REPO"],
      writes: true,
      prepare: (lab) => void write(lab.path("w/repo/lock.exclusive", "elsewhere@1.2-3"), ""),
      after: [["list", "--lock-wait", "0", "REPO"]],
    },
  },
  "with-lock": {
    "": [
      {
        with: [],
        args: ["REPO", "sh", "-c", "ls w/repo | grep lock.excl; echo $1; exit 7", "x", "--stats"],
        writes: true,
        spawn: true,
        after: archives,
      },
      {
        with: [],
        args: ["REPO", "/no/such/program"],
        writes: true,
        after: archives,
        own: "borg 1.2.4 ends with a trace",
        check: (r) => expect(r.code).toBe(2),
      },
    ],
  },
  "key export": {
    "": [
      { with: [], args: ["ENC"] },
      { with: [], args: ["ENC", "W/key"], writes: true, files: ["W/key"] },
      { with: [], args: ["REPO"] },
    ],
    "--paper": {
      with: ["--paper"],
      args: ["ENC"],
      // The sentences around the key are each program's own.
      normalise: (t) =>
        t
          .split("\n")
          .filter((l) => /^(BORG PAPER|id: | *\d+: )/.test(l))
          .join("\n"),
    },
    "--qr-html": {
      with: ["--qr-html"],
      args: ["ENC", "W/key.html"],
      writes: true,
      own: "our page is another one, with the same key",
      inert: "see check",
      check: (_run, _without, lab) => {
        const page = readFileSync(lab.path("w/key.html"), "utf8");
        const key = /key = ([A-Za-z0-9+/=\s]+)/.exec(readFileSync(lab.path("w/enc/config"), "utf8"))![1]!;
        expect(page).toMatch(/<svg/);
        expect(page.replace(/\s/g, "")).toContain(key.replace(/\s/g, "").slice(0, 60));
      },
    },
  },
  "key export-related-secrets": {
    "": {
      with: [],
      args: ["ENC"],
      own: "of borg 1.4",
      check: (r) =>
        expect(Object.keys(JSON.parse(r.stdout)).sort()).toEqual([
          "chunk_seed",
          "id_key",
          "key_name",
          "version",
        ]),
    },
  },
  "key import": {
    "": {
      with: [],
      args: ["ENC", "W/key"],
      writes: true,
      prepare: async (lab) => {
        lab.touch();
        await lab.goodBorg(["key", "export", lab.path("w/enc"), lab.path("w/key")]);
        const config = lab.path("w/enc/config");
        writeFileSync(config, readFileSync(config, "utf8").replace(/key = (.*\n\t?)+/, "key = \n"));
      },
      after: [["list", "ENC"]],
    },
    "--paper": async (lab) => {
      const enc = lab.path("w/enc");
      const printed = await lab.goodBorg(["key", "export", "--paper", enc]);
      const lines = printed
        .split("\n")
        .filter((l) => / - [0-9a-f]{2}$/.test(l))
        .map((l) => l.replace(/^[^:]*: /, ""));
      const config = lab.path("w/enc/config");
      writeFileSync(config, readFileSync(config, "utf8").replace(/key = (.*\n\t?)+/, "key = \n"));
      expect((await lab.borg({ args: ["list", enc] })).code).toBe(2);
      expect((await lab.ours({ args: ["key", "import", "--paper", enc], input: lines })).code).toBe(0);
      await lab.goodBorg(["list", enc]);
    },
  },
  "key change-passphrase": {
    "": [
      {
        with: [],
        args: ["ENC"],
        writes: true,
        env: { BORG_NEW_PASSPHRASE: "other" },
        after: [["list", "ENC"]],
      },
      { with: [], args: ["REPO"], writes: true, stderr: "data" },
    ],
  },
  "key migrate-to-repokey": {
    "": [
      { with: [], args: ["ENC"], writes: true, stderr: "data", normalise: (t) => t.trim() },
      { with: [], args: ["REPO"], writes: true, stderr: "data", normalise: (t) => t.trim() },
    ],
  },
  upgrade: {
    "": refused([]),
    "--dry-run": refused(["-n"]),
    "--inplace": refused(["--inplace"]),
    "--force": {
      with: ["--force"],
      args: ["--tam", "ENC"],
      writes: true,
      after: [["list", "ENC"]],
      inert: "the manifest is authenticated already",
    },
    "--tam": { with: ["--tam"], args: ["ENC"], writes: true, after: [["list", "ENC"]] },
    "--disable-tam": { with: ["--disable-tam"], args: ["ENC"], writes: true, after: [["list", "ENC"]] },
    "--check-tam": {
      with: ["--check-tam"],
      args: ["ENC"],
      own: "of borg 1.4",
      check: (r) => expect([r.code, r.stdout]).toEqual([0, expect.stringMatching(/OK/)]),
    },
    "--check-archives-tam": {
      with: ["--check-archives-tam"],
      args: ["ENC"],
      own: "of borg 1.4; 1.2.4 writes archives without",
      check: (r) => expect([r.code, r.stdout]).toEqual([expect.any(Number), expect.stringMatching(/one/)]),
    },
    "--archives-tam": {
      with: ["--archives-tam"],
      args: ["ENC"],
      writes: true,
      own: "of borg 1.4",
      after: [["list", "ENC"]],
      check: async (r, _without, lab) => {
        expect(r.code).toBe(0);
        expect(r.after[0]).toMatch(/^0\none/);
        const again = await lab.ours({ args: ["upgrade", "--check-archives-tam", lab.path("w/enc")] });
        expect([again.code, again.stdout]).toEqual([0, expect.stringMatching(/All archives are/)]);
      },
    },
  },
  "benchmark crud": {
    "": {
      with: [],
      args: ["REPO", "W/bench"],
      writes: true,
      env: { _BORG_BENCHMARK_CRUD_TEST: "1" },
      prepare: (lab) => void mkdirSync(lab.path("w/bench")),
      normalise: (t) => t.replace(/ +[\d.]+ .?B\/s.*$/gm, ""),
      after: archives,
    },
  },
};

function readdir(path: string): string[] {
  return existsSync(path) ? spawnSync("ls", [path]).stdout.toString().trim().split("\n") : [];
}

/** Loses the archive "one", or the first chunk of its item stream. */
async function lose(lab: Lab, what: "{id}" | "items"): Promise<void> {
  lab.touch();
  const repo = lab.path("w/repo");
  const id =
    what === "{id}"
      ? await lab.goodBorg(["list", "--format", "{id}", "--first", "1", repo])
      : /"items": \[\s*"\\u007f([0-9a-f]{64})/.exec(
          await lab.goodBorg(["debug", "dump-archive", `${repo}::one`, "-"]),
        )![1]!;
  await lab.goodBorg(["debug", "delete-obj", repo, id]);
}

async function deleteOne(lab: Lab): Promise<void> {
  lab.touch();
  await lab.goodBorg(["delete", `${lab.path("w/repo")}::fine`, "parts"]);
}
