// Sizes of archives that were counted before: Borg's pre12-meta, which both programs read and write, and deduplicated
// sizes in a file of our own. What is remembered is what would be counted; and it is believed no longer than it holds.
import { appendFileSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { crc32 } from "../../src/runtime/crc32.ts";
import { Sandbox } from "../support/programs.ts";
import { makeTree, randomBytes } from "../support/tree.ts";

const box = new Sandbox();
afterAll(() => box.remove());

/** Borg as it was before 1.2: its archives do not record their totals. */
const BORG_OF_OLD = `
import sys
import borg.crypto.key as key
pack = key.KeyBase.pack_and_authenticate_metadata
def packs(self, metadata, context=b"manifest", **more):
    if context == b"archive":
        metadata = {k: v for k, v in metadata.items()
                    if k not in ("size", "csize", "nfiles", "size_parts", "csize_parts", "nfiles_parts")}
    return pack(self, metadata, context=context, **more)
key.KeyBase.pack_and_authenticate_metadata = packs
from borg.archiver import main
sys.argv[0] = "borg"
main()
`;
const borgOfOld = (...args: string[]) => box.ok(box.run(["/usr/bin/python3", "-c", BORG_OF_OLD, ...args]));

/** A file of the one cache there is. */
const cacheFile = (name: string): string => {
  const [id] = readdirSync(box.path("base/.cache/borg")).filter((n) => /^[0-9a-f]{64}$/.test(n));
  return box.path("base/.cache/borg", id!, name);
};
const own = (): string => cacheFile("alcove-deduplicated");
const stats = (program: "alcove" | "borg", archive: string, ...more: string[]) =>
  JSON.parse(box.ok(box[program](["info", "--json", ...more, `repo::${archive}`])).stdout).archives[0].stats;
const create = (archive: string, ...more: string[]) =>
  box.ok(box.alcove(["create", ...more, `repo::${archive}`, "tree"]));

/** Puts one number in the place of each size, as if it had been counted. */
function forge(size: number): void {
  const text = readFileSync(own(), "latin1")
    .split("\n")[0]!
    .replaceAll(/:(\d+)/g, `:${size}`);
  writeFileSync(own(), `${text}\n${crc32(Buffer.from(text, "latin1")).toString(16)}\n`);
}

beforeAll(() => {
  makeTree(box.path("tree"), 3);
  box.ok(box.alcove(["init", "-e", "repokey", "repo"]));
});

describe("deduplicated sizes", () => {
  it.each([
    ["first", "2"],
    ["unchanged", "2"],
    ["changed", "2"],
    ["by-itself", "0"],
  ])("what create tells of archive %s is what info counts", (archive, workers) => {
    if (archive !== "unchanged")
      appendFileSync(box.path("tree/random"), randomBytes(400_000, archive.length));
    const made = JSON.parse(create(archive, "--json", "--workers", workers).stdout).archive.stats;
    expect(Object.keys(JSON.parse(readFileSync(own(), "latin1").split("\n")[0]!).sizes)).toHaveLength(1);
    const remembered = stats("alcove", archive);
    rmSync(own());
    const counted = stats("alcove", archive);
    expect(counted).toEqual(remembered);
    expect(counted.deduplicated_size).toBe(made.deduplicated_size);
    if (archive === "unchanged") expect(counted.deduplicated_size).toBe(0);
    else expect(counted.deduplicated_size).toBeGreaterThan(300_000);
  });

  it("are not counted again as long as nothing changes", () => {
    const before = stats("alcove", "first");
    forge(4711);
    expect(stats("alcove", "first")).toEqual({ ...before, deduplicated_size: 4711 });
    // Of another one nothing is known.
    expect(stats("alcove", "changed").deduplicated_size).not.toBe(4711);
    expect(stats("alcove", "changed", "--consider-part-files")).toEqual(stats("alcove", "changed"));
  });

  it.each([
    ["alcove", ["delete", "repo::unchanged"]],
    ["borg", ["create", "repo::borgs", "tree"]],
    ["borg", ["delete", "repo::borgs"]],
  ] as const)("are counted again after %s %j", (program, args) => {
    forge(4711);
    expect(stats("alcove", "first").deduplicated_size).toBe(4711);
    box.ok(box[program](args));
    const fresh = stats("alcove", "first").deduplicated_size;
    rmSync(own());
    expect(stats("alcove", "first").deduplicated_size).toBe(fresh);
    expect(fresh).not.toBe(4711);
  });

  it("a damaged file is as none", () => {
    const good = stats("alcove", "first");
    const text = readFileSync(own());
    for (let at = 0; at < text.length; at += 37) {
      const bad = Buffer.from(text);
      bad[at]! ^= 1;
      writeFileSync(own(), bad);
      expect(stats("alcove", "first")).toEqual(good);
    }
    writeFileSync(own(), text.subarray(0, text.length / 2));
    expect(stats("alcove", "first")).toEqual(good);
  });

  it("that cannot be kept are told of, and nothing else is amiss", () => {
    rmSync(own());
    box.ok(box.run(["mkdir", own()]));
    const got = box.ok(box.alcove(["info", "--json", "repo::first"]), [0, 1]);
    expect(got.stderr).toMatch(/EISDIR|is a directory/i);
    expect(JSON.parse(got.stdout).archives).toHaveLength(1);
    rmSync(own(), { recursive: true });
  });
});

describe("totals of archives made before Borg 1.2", () => {
  const PRE12 = "pre12-meta";
  const known = () => JSON.parse(readFileSync(cacheFile(PRE12), "utf8"));
  const totals = (program: "alcove" | "borg") =>
    JSON.parse(box.ok(box[program](["info", "--json", "repo"])).stdout).cache.stats;
  /** Adds so many bytes to what is known. */
  const forgeBytes = (bytes: number) => {
    const all = known();
    for (const one of Object.values(all) as { size: number }[]) one.size += bytes;
    writeFileSync(cacheFile(PRE12), JSON.stringify(all));
  };

  it("borg counts them once, and we believe it", () => {
    borgOfOld("create", "repo::old", "tree");
    writeFileSync(cacheFile(PRE12), "{}");
    const borgs = totals("borg");
    expect(Object.keys(known())).toHaveLength(1);
    expect(totals("alcove")).toEqual(borgs);
    forgeBytes(12345);
    expect(totals("alcove").total_size).toBe(borgs.total_size + 12345);
  });

  it("we count them once, as borg does, and borg believes it", () => {
    writeFileSync(cacheFile(PRE12), "{}");
    const borgs = totals("borg");
    const borgKnows = known();
    writeFileSync(cacheFile(PRE12), "{}");
    expect(totals("alcove")).toEqual(borgs);
    expect(known()).toEqual(borgKnows);
    forgeBytes(54321);
    expect(totals("borg").total_size).toBe(borgs.total_size + 54321);
    expect(totals("alcove").total_size).toBe(borgs.total_size + 54321);
    expect(stats("alcove", "old").original_size).toBe(stats("borg", "old").original_size + 54321);
  });

  it("what is no such file is made anew", () => {
    writeFileSync(cacheFile(PRE12), "{}");
    const good = totals("alcove");
    const [id] = Object.keys(known());
    for (const bad of [
      "",
      "[]",
      '{"',
      JSON.stringify({ [id!]: { size: -1 } }),
      JSON.stringify({ [id!]: 1 }),
    ]) {
      writeFileSync(cacheFile(PRE12), bad);
      expect(totals("alcove")).toEqual(good);
      expect(Object.keys(known())).toEqual([id]);
    }
  });
});
