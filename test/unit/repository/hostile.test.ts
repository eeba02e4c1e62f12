// Files of a repository with random and crafted contents: whatever they hold, the outcome is right data or one of our
// errors; never a crash, a hang, or data that nobody stored.
import { createHash } from "node:crypto";
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { AlcoveError, IntegrityError } from "../../../src/errors.ts";
import { pack } from "../../../src/format/msgpack.ts";
import { decodeHints, emptyHints, encodeHints } from "../../../src/repository/hints.ts";
import { LocalRepository } from "../../../src/repository/local.ts";

const key = (n: number) => new Uint8Array(createHash("sha256").update(String(n)).digest());
const value = (n: number) => new Uint8Array(50 + n).fill(n);

let dir: string;
let golden: string;
let files: string[];
beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), "hostile-"));
  golden = join(dir, "golden");
  const r = await LocalRepository.open(golden, { create: true, exclusive: true });
  r.config.ini.set("repository", "max_segment_size", 1500);
  r.saveConfig();
  await r.close();
  const w = await LocalRepository.open(golden, { exclusive: true });
  for (let n = 0; n < 30; n++) await w.put(key(n), value(n));
  await w.commit();
  for (let n = 0; n < 10; n++) await w.delete(key(n));
  await w.commit();
  await w.close();
  files = readdirSync(golden, { recursive: true, withFileTypes: true })
    .filter((f) => f.isFile())
    .map((f) => join(f.parentPath, f.name).slice(golden.length + 1));
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

/** Uses a repository in every way; AlcoveErrors are fine. */
async function useAll(path: string): Promise<void> {
  const attempt = async (work: () => Promise<unknown>) => {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof AlcoveError)) throw error;
      return undefined;
    }
  };
  await attempt(async () => {
    const r = await LocalRepository.open(path, { exclusive: true, lockWait: 0 });
    try {
      await attempt(() => r.list());
      await attempt(() => r.scan());
      for (let n = 0; n < 30; n++) {
        const data = await attempt(() => r.get(key(n)));
        if (data) expect(data).toEqual(value(n));
      }
      await attempt(() => r.check());
      await attempt(() => r.put(key(100), value(100)));
      await attempt(() => r.commit({ compact: true, threshold: 0 }));
      await attempt(() => r.check({ repair: true }));
      for (let n = 0; n < 30; n++) {
        const data = await attempt(() => r.get(key(n)));
        if (data) expect(data).toEqual(value(n));
      }
      // After a repair, the repository is whole again.
      expect(await attempt(() => r.check())).not.toBe(false);
    } finally {
      await r.close();
    }
  });
}

test("random damage to random files", { timeout: 120_000 }, async () => {
  const change = fc.record({
    file: fc.nat(),
    at: fc.nat(),
    kind: fc.nat(3),
    bytes: fc.uint8Array({ maxLength: 12 }),
  });
  let run = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 4 }), async (changes) => {
      const path = join(dir, `run${run++}`);
      cpSync(golden, path, { recursive: true });
      for (const { file, at, kind, bytes } of changes) {
        const name = join(path, files[file % files.length]!);
        if (!existsSync(name)) continue;
        const old = readFileSync(name);
        const where = at % (old.length + 1);
        const parts =
          kind === 0
            ? [old.subarray(0, where)]
            : kind === 1
              ? [old.subarray(0, where), bytes, old.subarray(where)]
              : [old.subarray(0, where), bytes, old.subarray(where + bytes.length)];
        if (kind === 3) rmSync(name);
        else writeFileSync(name, Buffer.concat(parts));
      }
      await useAll(path);
      rmSync(path, { recursive: true, force: true });
    }),
    { numRuns: 150, seed: 20240131 },
  );
});

describe("hints", () => {
  const hints = emptyHints();
  hints.segments.set(1, 2).set(70_000, -1);
  hints.compact.set(5, 2 ** 40);
  hints.quotaUse = 12345678901;
  hints.shadow.add(key(1), 0, 7);
  hints.shadow.add(key(1), 0, 9);
  hints.shadow.set(key(2), 0, []);
  hints.shadow.set(key(3), 0, [0xfffffff0]);
  const good = encodeHints(hints);

  test("round trip", () => {
    const back = decodeHints(good);
    expect([...back.segments]).toEqual([...hints.segments]);
    expect([...back.compact]).toEqual([...hints.compact]);
    expect(back.quotaUse).toBe(hints.quotaUse);
    expect([1, 2, 3, 4].map((n) => back.shadow.get(key(n)))).toEqual([[7, 9], [], [0xfffffff0], undefined]);
  });

  test("every truncation and every flipped bit", () => {
    for (let n = 0; n < good.length; n++)
      expect(() => decodeHints(good.subarray(0, n))).toThrow(IntegrityError);
    for (let bit = 0; bit < good.length * 8; bit++) {
      const bad = good.slice();
      bad[bit >> 3]! ^= 1 << (bit & 7);
      try {
        decodeHints(bad);
      } catch (error) {
        expect(error).toBeInstanceOf(IntegrityError);
      }
    }
  });

  test.each([
    ["no map", [1, 2]],
    ["future version", { version: 3, segments: {}, compact: {} }],
    ["no version", { segments: {} }],
    ["unknown entry", { version: 2, more: 1 }],
    [
      "text for a number",
      new Map<unknown, unknown>([
        ["version", 2],
        ["storage_quota_use", "x"],
      ]),
    ],
    [
      "short id",
      new Map<unknown, unknown>([
        ["version", 2],
        ["shadow_index", new Map([["abc", [1]]])],
      ]),
    ],
    [
      "negative segment",
      new Map<unknown, unknown>([
        ["version", 2],
        ["segments", new Map([[-1, 1]])],
      ]),
    ],
  ])("%s", (_, data) => {
    expect(() => decodeHints(pack(data))).toThrow(IntegrityError);
  });

  test("lengths that cannot be true cost nothing", () => {
    for (const code of [0xdf, 0xdd, 0xdb]) {
      const bytes = Uint8Array.from([0x81, 0xa8, ...Buffer.from("segments"), code, 0xff, 0xff, 0xff, 0xff]);
      expect(() => decodeHints(bytes)).toThrow(IntegrityError);
    }
  });

  test("borg 1.0's version 1 is understood", () => {
    const old = new Map<unknown, unknown>([
      ["version", 1],
      ["segments", new Map([[0, 3]])],
      ["compact", [0]],
    ]);
    const read = decodeHints(pack(old));
    expect([read.version, [...read.segments], [...read.compact]]).toEqual([1, [[0, 3]], [[0, 0]]]);
  });
});
