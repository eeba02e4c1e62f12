// Behaviours of the commands that only look: list, info, diff, check, export-tar, debug …, help, version.
import { existsSync, readFileSync } from "node:fs";
import { expect } from "vitest";
import { type Behaviour, type Entries, keysInOrder } from "./compare.ts";
import { type Lab, write } from "./lab.ts";

/** The files that --exclude-from and --patterns-from are given. */
export function patternFiles(lab: Lab): void {
  write(lab.path("w", "patterns"), "- src/sub/deep\n+ src/sub\n- src\n");
  write(lab.path("w", "exclude"), "# comment\nsrc/sub\n\n*.tmp\n");
}

/** The four ways to give patterns, and further the same for every command that takes them. */
export const patterns = (more: Omit<Behaviour, "with">): Record<string, Behaviour> => ({
  "--exclude": { ...more, with: ["-e", "src/sub", "--exclude", "*/b"] },
  "--exclude-from": { ...more, with: ["--exclude-from", "W/exclude"], prepare: patternFiles },
  "--pattern": { ...more, with: ["--pattern", "+ src/sub", "--pattern", "- src/*"] },
  "--patterns-from": { ...more, with: ["--patterns-from", "W/patterns"], prepare: patternFiles },
});

/** The options that choose archives. */
export const filters = (more: Omit<Behaviour, "with">): Record<string, Behaviour> => ({
  "--prefix": { ...more, with: ["--prefix", "t"] },
  "--glob-archives": { ...more, with: ["-a", "*n*"] },
  "--sort-by": { ...more, with: ["--sort-by", "name", "--first", "2"], args: more.args },
  "--first": { ...more, with: ["--first", "1"] },
  "--last": { ...more, with: ["--last", "2"] },
});

/** Borg 1.4 does not count an archive's metadata to what only this archive holds, and knows where it was made. */
const asOf14 = (text: string) =>
  text
    .replace(/^(This archive:.{42}).*$/gm, "$1 X")
    .replace(/("deduplicated_size": )\d+/g, "$1X")
    .replace(/^ *"cwd": "",\n/gm, "");

/** These two keys are in its JSON lines since 1.4. */
const itemsOf14 = (text: string) => keysInOrder(text.replace(/"archive(id|name)": "[^"]*", /g, ""));

const allArchiveKeys =
  "{archive}|{name}|{barchive}|{comment}|{bcomment}|{id}|{start}|{time}|{end}|{command_line}|{hostname}|{username}{NL}";
const hashes =
  "blake2b blake2s md5 sha1 sha224 sha256 sha384 sha512 sha3_224 sha3_256 sha3_384 sha3_512 xxh64";
const itemKeys = [
  ...[
    "type",
    "mode",
    "uid",
    "gid",
    "user",
    "group",
    "path",
    "bpath",
    "source",
    "linktarget",
    "flags",
    "size",
  ],
  ...["csize", "dsize", "dcsize", "num_chunks", "unique_chunks", "mtime", "ctime", "atime", "isomtime"],
  ...["isoctime", "isoatime", "archiveid", "archivename", "extra", "health", ...hashes.split(" ")],
]
  .map((k) => `{${k}}`)
  .join("|");

/** What is checked is in the log only. */
async function checkedArchives(lab: Lab, option: readonly string[]): Promise<void> {
  const named = (stderr: string) => stderr.match(/(?<= )(one|two|two\.checkpoint|fine|parts)(?= )/g);
  const args = ["check", "-v", "--archives-only", ...option, lab.path("w/repo")];
  const [ours, borg] = [await lab.ours({ args }), await lab.borg({ args })];
  expect(named(ours.stderr)).toEqual(named(borg.stderr));
  const all = await lab.ours({ args: args.filter((a) => !option.includes(a)) });
  expect(named(all.stderr)).not.toEqual(named(ours.stderr));
  expect([ours.code, borg.code]).toEqual([0, 0]);
}

export const look: Entries = {
  list: {
    "": [
      { with: [], args: ["REPO"] },
      { with: [], args: ["REPO::two"] },
      { with: [], args: ["REPO::two", "src/sub", "re:^src/a$"] },
      { with: [], args: ["REPO::absent"] },
      { with: [], args: ["W/absent"] },
    ],
    "--consider-checkpoints": { with: ["--consider-checkpoints"], args: ["REPO"] },
    "--short": [
      { with: ["--short"], args: ["REPO"] },
      { with: ["--short"], args: ["REPO::one"] },
    ],
    "--format": [
      { with: ["--format", allArchiveKeys], args: ["REPO"] },
      { with: ["--format", `${itemKeys}{NL}`], args: ["REPO::two"] },
      {
        with: ["--format", "{user:>8}[{size:<10d}]{path!r}{TAB}{SPACE}{CR}{LF}{NEWLINE}{NUL}"],
        args: ["REPO::one"],
      },
      { with: ["--format", "{nosuchkey}"], args: ["REPO::one"], stderr: "data" },
    ],
    "--json": [
      { with: ["--json"], args: ["REPO"] },
      { with: ["--json"], args: ["--format", allArchiveKeys, "REPO"] },
      { with: ["--json"], args: ["REPO::one"] },
    ],
    "--json-lines": [
      { with: ["--json-lines"], args: ["REPO::two"], normalise: keysInOrder },
      { with: ["--json-lines"], args: ["--format", itemKeys, "REPO::two"], normalise: itemsOf14 },
      { with: ["--json-lines"], args: ["REPO"] },
    ],
    ...filters({ args: ["REPO"] }),
    ...patterns({ args: ["REPO::two"] }),
  },
  info: {
    "": [
      { with: [], args: ["REPO"] },
      { with: [], args: ["REPO::two"], normalise: asOf14 },
      { with: [], args: ["ENC::one"], normalise: asOf14 },
      { with: [], args: ["REPO::absent"] },
    ],
    "--json": [
      { with: ["--json"], args: ["REPO"] },
      { with: ["--json"], args: ["REPO::two"], normalise: asOf14 },
      { with: ["--json"], args: ["ENC"] },
    ],
    ...filters({ args: ["REPO"], normalise: asOf14 }),
  },
  diff: {
    "": [
      { with: [], args: ["REPO::one", "two"] },
      { with: [], args: ["REPO::two", "one", "src/sub"] },
      { with: [], args: ["REPO::one", "absent"] },
    ],
    "--numeric-owner": { with: ["--numeric-owner"], args: ["REPO::one", "two"] },
    "--numeric-ids": { with: ["--numeric-ids"], args: ["REPO::one", "two"], inert: "no owner changed" },
    "--same-chunker-params": {
      with: ["--same-chunker-params"],
      args: ["REPO::one", "fine", "src/a"],
      stderr: "data",
    },
    "--sort": { with: ["--sort"], args: ["REPO::one", "two"], stderr: "data" },
    "--sort-by": {
      with: ["--sort-by", ">size_added,path"],
      args: ["--content-only", "REPO::one", "two"],
      own: "of borg 1.4",
      check: (r) => {
        const lines = r.stdout.trim().split("\n");
        expect(lines[0]).toMatch(/src\/a$/);
        expect(lines.slice(-2).join("\n")).toMatch(/removed/);
      },
    },
    "--content-only": { with: ["--content-only"], args: ["REPO::one", "two"] },
    "--json-lines": { with: ["--json-lines"], args: ["REPO::one", "two"], sorted: true },
    ...patterns({ args: ["REPO::one", "two"] }),
  },
  check: {
    "": [
      { with: [], args: ["REPO"] },
      { with: [], args: ["REPO::one"] },
      { with: [], args: ["REPO::absent"] },
    ],
    "--repository-only": { with: ["--repository-only"], args: ["-v", "-p", "REPO"] },
    "--archives-only": { with: ["--archives-only"], args: ["-v", "-p", "REPO"] },
    "--verify-data": { with: ["--verify-data"], args: ["-p", "REPO"] },
    "--repair": {
      with: ["--repair"],
      args: ["REPO"],
      answers: ["YES"],
      writes: true,
      after: [["list", "REPO"]],
    },
    "--save-space": {
      with: ["--save-space"],
      args: ["--repair", "REPO"],
      answers: ["YES"],
      writes: true,
      inert: "only how space is used",
    },
    "--max-duration": [
      {
        with: ["--max-duration", "1000"],
        args: ["--repository-only", "REPO"],
        writes: true,
        inert: "too short to be cut",
      },
      { with: ["--max-duration", "5"], args: ["REPO"] },
    ],
    ...Object.fromEntries(
      Object.entries(filters({ args: [] })).map(
        ([flag, b]) => [flag, (lab) => checkedArchives(lab, b.with)] as const,
      ),
    ),
  },
  "export-tar": {
    "": { with: [], args: ["REPO::two", "W/x.tar"], files: ["W/x.tar"], writes: true },
    "--tar-filter": {
      with: ["--tar-filter", "tr e f"],
      args: ["REPO::two", "W/x.tar"],
      files: ["W/x.tar"],
      writes: true,
    },
    "--list": { with: ["--list"], args: ["REPO::two", "W/x.tar"], writes: true },
    "--strip-components": {
      with: ["--strip-components", "1"],
      args: ["REPO::two", "W/x.tar"],
      files: ["W/x.tar"],
      writes: true,
    },
    ...patterns({ args: ["REPO::two", "W/x.tar"], files: ["W/x.tar"], writes: true }),
  },
  help: {
    "": [
      {
        with: [],
        args: ["create"],
        own: "each has its own sentences",
        check: (r) => expect(r.stdout).toMatch(/--exclude-if-present NAME/),
      },
      { with: [], args: ["nothing"], stderr: "data" },
    ],
    "--epilog-only": {
      with: ["--epilog-only"],
      args: ["create"],
      own: "each has its own sentences",
      check: (r, full) => {
        expect(r.stdout).not.toMatch(/--exclude-if-present/);
        expect(full!.stdout).toMatch(/--exclude-if-present/);
        expect(r.stdout).toMatch(/deduplicat|stored/i);
      },
    },
    "--usage-only": {
      with: ["--usage-only"],
      args: ["create"],
      own: "each has its own sentences",
      check: (r, full) => {
        expect(r.stdout).toMatch(/--exclude-if-present/);
        expect(r.stdout.length).toBeLessThan(full!.stdout.length);
      },
    },
  },
  version: {
    "": {
      with: [],
      args: ["REPO"],
      own: "of borg 1.4",
      check: (r) => expect(r.stdout).toBe("1.4.5 / 1.4.5\n"),
    },
  },
  "debug info": {
    "": {
      with: [],
      args: [],
      own: "facts about the program",
      check: (r) => expect(r.stdout).toMatch(/Borg: 1\.4\.5/),
    },
  },
  "debug dump-archive-items": { "": { with: [], args: ["REPO::two"], out: true, writes: true } },
  "debug dump-archive": {
    "": { with: [], args: ["REPO::two", "W/x.json"], files: ["W/x.json"], writes: true },
  },
  "debug dump-manifest": { "": { with: [], args: ["REPO", "W/x.json"], files: ["W/x.json"], writes: true } },
  "debug dump-repo-objs": {
    "": { with: [], args: ["REPO"], out: true, writes: true },
    "--ghost": { with: ["--ghost"], args: ["REPO"], out: true, writes: true },
    "--segment": { with: ["--segment", "3"], args: ["--ghost", "REPO"], out: true, writes: true },
    "--offset": {
      with: ["--offset", "40"],
      args: ["--ghost", "--segment", "3", "REPO"],
      out: true,
      writes: true,
    },
  },
  "debug search-repo-objs": { "": { with: [], args: ["REPO", "str:more"] } },
  "debug id-hash": { "": { with: [], args: ["ENC", "src/a"] } },
  "debug get-obj": {
    "": [
      { with: [], args: ["REPO", "0".repeat(64), "W/x.obj"], files: ["W/x.obj"], writes: true },
      {
        with: [],
        args: ["REPO", "1".repeat(64), "W/x.obj"],
        own: "1.2.4 says it on standard output",
        check: (r) => expect([r.code, r.stdout]).toEqual([2, ""]),
      },
    ],
  },
  "debug put-obj": {
    "": {
      with: [],
      args: ["REPO", "1".repeat(64), "src/a"],
      writes: true,
      after: [["debug", "get-obj", "REPO", "1".repeat(64), "W/x.obj"]],
      files: ["W/x.obj"],
    },
  },
  "debug delete-obj": {
    "": {
      with: [],
      args: ["REPO", "0".repeat(64), "zz", "1".repeat(64)],
      writes: true,
      after: [["list", "REPO"]],
    },
  },
  "debug refcount-obj": { "": { with: [], args: ["REPO", "0".repeat(64), "zz"] } },
  "debug dump-hints": { "": { with: [], args: ["REPO", "W/x.json"], files: ["W/x.json"], writes: true } },
  "debug convert-profile": {
    "": async (lab) => {
      const profile = lab.path("profile");
      await lab.goodBorg(["list", "--debug-profile", profile, lab.path("w/repo")]);
      expect(
        (await lab.ours({ args: ["debug", "convert-profile", profile, lab.path("ours.prof")] })).code,
      ).toBe(0);
      await lab.goodBorg(["debug", "convert-profile", profile, lab.path("theirs.prof")]);
      expect(existsSync(lab.path("ours.prof"))).toBe(true);
      expect(readFileSync(lab.path("ours.prof")).length).toBeGreaterThan(1000);
    },
  },
};
