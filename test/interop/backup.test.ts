// Whole backups, ours and real borg's, on one repository: for every encryption mode and codec, each checks,
// extracts and continues what the other has made.
import { mkdirSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Sandbox } from "../support/programs.ts";
import { describeTree, makeTree } from "../support/tree.ts";

const modes = [
  "none",
  "authenticated",
  "authenticated-blake2",
  "repokey",
  "repokey-blake2",
  "keyfile",
  "keyfile-blake2",
];
const codecs = ["none", "lz4", "zstd,3", "zlib,6", "lzma,6", "auto,lzma,6", "obfuscate,110,lz4"];

describe.each(modes)("encryption %s", (mode) => {
  const box = new Sandbox();
  const archive = (who: string, codec: string): string => `repo::${who}-${codec.replaceAll(",", "-")}`;
  beforeAll(() => {
    for (const [i] of codecs.entries()) makeTree(box.path(`tree${i}`), i * 7 + modes.indexOf(mode) * 100 + 1);
  });
  afterAll(() => box.remove());

  it("takes backups of both programs in turns", () => {
    const byUs = modes.indexOf(mode) % 2 === 0;
    box.ok(byUs ? box.alcove(["init", "-e", mode, "repo"]) : box.borg(["init", "-e", mode, "repo"]));
    for (const [i, codec] of codecs.entries()) {
      const ours = ["create", "-C", codec, archive("alcove", codec), `tree${i}`];
      const theirs = ["create", "-C", codec, archive("borg", codec), `tree${i}`];
      if (i % 2 === 0) {
        box.ok(box.alcove(ours));
        box.ok(box.borg(theirs));
      } else {
        box.ok(box.borg(theirs));
        box.ok(box.alcove(ours));
      }
    }
  });

  it("passes borg check --verify-data", () => {
    box.ok(box.borg(["check", "--verify-data", "repo"]));
  });

  it("deduplicates across the programs", () => {
    const info = JSON.parse(box.ok(box.borg(["info", "--json", "repo"])).stdout);
    const { total_size, unique_size } = info.cache.stats;
    // Each tree is there twice, and its largest file once more within itself.
    expect(unique_size).toBeLessThan(total_size * 0.5);
    expect(JSON.parse(box.ok(box.alcove(["info", "--json", "repo"])).stdout).cache.stats).toMatchObject({
      unique_size,
      unique_csize: info.cache.stats.unique_csize,
      total_unique_chunks: info.cache.stats.total_unique_chunks,
    });
  });

  it.each(codecs)("extracts identically: %s", (codec) => {
    const i = codecs.indexOf(codec);
    const want = describeTree(box.path(`tree${i}`));
    for (const [reader, writer] of [
      ["borg", "alcove"],
      ["alcove", "borg"],
      ["alcove", "alcove"],
    ] as const) {
      const dir = box.path(`out-${reader}-${writer}-${i}`);
      mkdirSync(dir);
      box.ok(box[reader](["extract", `../${archive(writer, codec)}`], { cwd: dir }));
      expect(describeTree(`${dir}/tree${i}`)).toBe(want);
    }
  });

  it("knows each other's files cache: an unchanged tree is not read", () => {
    // The file that changed last may change again within the same tick of the clock: Borg does not trust it.
    const read = /^[AM] (?!tree0\/one$)/m;
    const list = box.ok(
      box.alcove(["create", "--list", "--filter=AMU", "repo::again-alcove", "tree0"]),
    ).stderr;
    expect(list).toMatch(/^U tree0\/random$/m);
    expect(list).not.toMatch(read);
    const theirs = box.ok(box.borg(["create", "--list", "--filter=AMU", "repo::again-borg", "tree0"])).stderr;
    expect(theirs).toMatch(/^U tree0\/random$/m);
    expect(theirs).not.toMatch(read);
  });

  it("does without shared caches", () => {
    box.ok(
      box.alcove(["create", "repo::fresh", "tree1"], {
        env: mode.startsWith("keyfile")
          ? { BORG_CACHE_DIR: box.path("c2"), BORG_SECURITY_DIR: box.path("s2") }
          : { BORG_BASE_DIR: box.path("base2") },
      }),
    );
    box.ok(box.borg(["create", "repo::fresh-too", "tree2"]));
    box.ok(box.borg(["check", "repo"]));
  });
});
