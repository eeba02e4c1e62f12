// One repository, two programs: whatever one writes the other opens without rebuilding or warning, with the same objects,
// the same index and the same hints; and the same steps leave the same files.
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { HashIndex } from "../../src/core/hashindex.ts";
import { decodeHints } from "../../src/repository/hints.ts";
import { LocalRepository } from "../../src/repository/local.ts";
import { borg, borgCheck, type Step, scratch } from "./repository-python.ts";

const key = (n: number) =>
  n === -1 ? new Uint8Array(32) : new Uint8Array(createHash("sha256").update(`id${n}`).digest());
const value = (n: number, size: number) => {
  const unit = createHash("sha256").update(`data${n}-${size}`).digest();
  return new Uint8Array(
    Buffer.concat(Array.from({ length: Math.floor(size / 32) + 1 }, () => unit)).subarray(0, size),
  );
};
const hex = (b: Uint8Array) => Buffer.from(b).toString("hex");

const warnings: string[] = [];
async function ours(path: string, steps: Step[]): Promise<unknown> {
  let out: unknown = null;
  const repository = await LocalRepository.open(path, {
    exclusive: true,
    create: steps[0]?.[0] === "create",
    log: (level, message) => void (level === "warning" || level === "error" ? warnings.push(message) : 0),
  });
  try {
    for (const [op, a, b] of steps) {
      if (op === "put") await repository.put(key(a as number), value(a as number, b as number));
      else if (op === "del") await repository.delete(key(a as number));
      else if (op === "commit") await repository.commit();
      else if (op === "compact") await repository.commit({ compact: true, threshold: a as number });
      else if (op === "rollback") await repository.rollback();
      else if (op === "check") out = await repository.check();
      else if (op === "repair") out = await repository.check({ repair: true });
      else if (op === "limit") {
        repository.config.ini.set("repository", "max_segment_size", a as number);
        repository.saveConfig();
      } else if (op === "dump") {
        const ids = await repository.list();
        const all: Record<string, string> = {};
        let i = 0;
        for await (const data of repository.getMany(ids)) {
          all[hex(ids[i++]!)] = createHash("sha256").update(data!).digest("hex");
        }
        out = all;
      } else if (op === "scan") out = (await repository.scan()).ids.map(hex);
    }
  } finally {
    await repository.close();
  }
  return out;
}

function state(path: string): Record<string, unknown> {
  const names = readdirSync(path).filter((n) => n.startsWith("index."));
  expect(names).toHaveLength(1);
  const transaction = Number(names[0]!.slice(6));
  const index = HashIndex.parse(readFileSync(join(path, `index.${transaction}`)), 2);
  const hints = decodeHints(readFileSync(join(path, `hints.${transaction}`)));
  const entries: [string, number, number][] = [];
  for (let s = index.next(-1); s >= 0; s = index.next(s))
    entries.push([hex(index.key(s)), index.word(s, 0), index.word(s, 1)]);
  const shadow: [string, number[]][] = [];
  for (const [id, segments] of hints.shadow.entries()) shadow.push([hex(id), [...segments]]);
  const byKey = (a: readonly [string | number, ...unknown[]], b: readonly [string | number, ...unknown[]]) =>
    a[0] < b[0] ? -1 : a[0] > b[0] ? 1 : 0;
  return {
    transaction,
    index: entries.sort(byKey),
    segments: [...hints.segments].sort(byKey),
    compact: [...hints.compact].sort(byKey),
    quota: hints.quotaUse,
    shadow: shadow.sort(byKey),
  };
}

function tree(path: string): Record<string, string> {
  const files: Record<string, string> = {};
  for (const name of readdirSync(path, { recursive: true, withFileTypes: true })) {
    if (!name.isFile()) continue;
    const file = join(name.parentPath, name.name);
    files[file.slice(path.length + 1)] = createHash("sha256").update(readFileSync(file)).digest("hex");
  }
  return files;
}

/** Deterministic random steps over few ids, so that ids come and go. */
function randomSteps(seed: number, count: number, options: { delete?: boolean } = {}): Step[] {
  let x = seed;
  const random = (n: number) => {
    x = (Math.imul(x, 1103515245) + 12345) >>> 0;
    return (x >>> 8) % n;
  };
  const live = new Set<number>();
  const steps: Step[] = [];
  for (let i = 0; i < count; i++) {
    const dice = random(20);
    const n = random(60);
    if (dice < 11) {
      if (live.has(n) && !options.delete) continue;
      steps.push(["put", n, random(3) === 0 ? random(9000) : random(200)]);
      live.add(n);
    } else if (dice < 16 && live.size > 0) {
      const victim = [...live][random(live.size)]!;
      steps.push(["del", victim]);
      live.delete(victim);
    } else if (dice === 16) steps.push(["put", -1, 50 + random(30)], ["commit"]);
    else if (dice === 17) steps.push(["compact", random(3) * 0.2]);
    else if (dice === 18) steps.push(["commit"]);
  }
  steps.push(["commit"]);
  return steps;
}

let dir: ReturnType<typeof scratch>;
beforeAll(() => {
  dir = scratch();
});
afterAll(() => dir.remove());

describe("files of ours, read by borg", () => {
  test("an empty repository and one with objects: no rebuild, no warning, clean check", {
    timeout: 60_000,
  }, async () => {
    const path = dir.at("a");
    await ours(path, [
      ["create"],
      ["put", -1, 40],
      ["commit"],
      ["put", 1, 100],
      ["put", 2, 300_000],
      ["del", 1],
      ["commit"],
    ]);
    const { out, log } = borg(path, [["dump"]]);
    expect(log).not.toMatch(/WARNING|ERROR|replay|recover/i);
    expect(out).toEqual(await ours(path, [["dump"]]));
    const check = borgCheck(path);
    expect(check.output).toMatch(/no problems found/);
    expect(check.status).toBe(0);
  });

  test("config and README are byte for byte what borg writes, apart from the id", async () => {
    const [a, b] = [dir.at("conf-a"), dir.at("conf-b")];
    await ours(a, [["create"]]);
    borg(b, [["create"]]);
    const config = (p: string) => readFileSync(join(p, "config"), "utf8").replace(/id = \w{64}/, "id = X");
    expect(config(a)).toBe(config(b));
    expect(readFileSync(join(a, "README"))).toEqual(readFileSync(join(b, "README")));
  });
});

describe("the same steps by both", () => {
  test("without superseding puts, every file has the same bytes", { timeout: 60_000 }, async () => {
    const [a, b] = [dir.at("same-a"), dir.at("same-b")];
    const steps: Step[] = [["create"]];
    for (let n = 0; n < 300; n++) steps.push(["put", n, (n * 37) % 5000]);
    steps.push(["put", -1, 77], ["commit"]);
    for (let n = 300; n < 1500; n++) steps.push(["put", n, n % 90]);
    steps.push(["commit"]);
    await ours(a, steps);
    borg(b, steps);
    const [x, y] = [tree(a), tree(b)];
    delete x["config"];
    delete y["config"];
    expect(x).toEqual(y);
  });

  test.each([1, 2, 3, 4, 5, 6])(
    "random puts, deletes, commits and compactions, seed %i",
    { timeout: 120_000 },
    async (seed) => {
      const [a, b] = [dir.at(`random-a${seed}`), dir.at(`random-b${seed}`)];
      const steps = randomSteps(seed, 400);
      // Superseding a manifest is where borg 1.2.4 forgets the shadow index (fixed later): here it is always new.
      const once = steps.filter(([op, n]) => !(op === "put" && n === -1));
      for (const [path, run] of [
        [a, ours],
        [b, async (p: string, s: Step[]) => borg(p, s)],
      ] as const) {
        await run(path, [["create"], ["limit", 20_000]]);
        await run(path, once);
      }
      expect(state(a)).toEqual(borg(b, [["state"]]).out);
      const segments = (p: string) =>
        Object.fromEntries(Object.entries(tree(p)).filter(([n]) => n.startsWith("data/")));
      expect(segments(a)).toEqual(segments(b));
    },
  );
});

test.each([11, 12, 13])("taking turns on one repository, seed %i", { timeout: 240_000 }, async (seed) => {
  const path = dir.at(`turns${seed}`);
  await ours(path, [["create"], ["limit", 30_000], ["put", -1, 50], ["commit"]]);
  warnings.length = 0;
  for (let turn = 0; turn < 8; turn++) {
    // Each turn deletes and puts by what is there: the model is the repository itself.
    const byBorg = turn % 2 === 0;
    const steps = randomSteps(seed * 100 + turn, 120, { delete: true }).filter(([op]) => op !== "del");
    if (byBorg) {
      const { log } = borg(path, steps);
      expect(log).not.toMatch(/WARNING|ERROR/);
    } else await ours(path, steps);
    const mine = await ours(path, [["dump"]]);
    expect(borg(path, [["dump"]]).out).toEqual(mine);
    expect(await ours(path, [["check"]])).toBe(true);
    expect(borg(path, [["check"]]).out).toBe(true);
  }
  expect(warnings).toEqual([]);
  expect(await ours(path, [["scan"]])).toEqual(borg(path, [["scan"]]).out);
});
