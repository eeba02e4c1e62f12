// The transaction log against a small model: a Map that puts, deletes, commits, rollbacks, compactions, reopenings, kills and
// lost index files are applied to as well. After each step the repository holds what the model holds, and at every
// reopening without index and hints, what is rebuilt from the segments equals what was kept all along.
import { createHash } from "node:crypto";
import fc from "fast-check";
import { expect, it } from "vitest";
import { AlcoveError } from "../../src/errors.ts";
import { LocalRepository } from "../../src/repository/local.ts";
import { BASE, emptyDisk, removeLocks } from "./life.ts";
import { type Disk, MemoryStorage } from "./memory-storage.ts";

const REPO = `${BASE}/repo`;
const key = (n: number) => new Uint8Array(createHash("sha256").update(`id${n}`).digest());
const hex = (b: Uint8Array) => Buffer.from(b).toString("hex");

type Step =
  | { do: "put"; id: number; size: number }
  | { do: "bulk"; from: number; count: number }
  | { do: "delete"; id: number }
  | { do: "commit" | "rollback" | "reopen" | "kill" }
  | { do: "compact"; threshold: number }
  | { do: "lose"; what: "index" | "hints" | "both" };

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 8, arbitrary: fc.record({ do: fc.constant("put" as const), id: fc.nat(15), size: fc.nat(900) }) },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant("bulk" as const), from: fc.nat(15), count: fc.nat(8) }),
  },
  { weight: 5, arbitrary: fc.record({ do: fc.constant("delete" as const), id: fc.nat(15) }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant("commit" as const) }) },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constantFrom("rollback" as const, "reopen" as const, "kill" as const) }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant("compact" as const), threshold: fc.constantFrom(0, 0.3) }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant("lose" as const),
      what: fc.constantFrom("index" as const, "hints" as const, "both" as const),
    }),
  },
);

class Subject {
  disk: Disk;
  repository!: LocalRepository;
  committed = new Map<string, string>();
  now = new Map<string, string>();
  version = 0;

  constructor(disk: Disk) {
    this.disk = disk;
  }

  async open(): Promise<void> {
    const storage = new MemoryStorage(this.disk, REPO);
    this.repository = await LocalRepository.open(REPO, { exclusive: true, lockWait: 0, storage });
    this.now = new Map(this.committed);
  }

  async reopen(): Promise<void> {
    await this.repository.close();
    await this.open();
  }

  private value(size: number): Uint8Array {
    const bytes = new Uint8Array(size).fill(7);
    new DataView(bytes.buffer).setUint32(0, this.version++);
    return bytes;
  }

  async run(s: Step): Promise<void> {
    const { repository: r } = this;
    switch (s.do) {
      case "put": {
        const data = this.value(s.size + 4);
        await r.put(key(s.id), data);
        this.now.set(hex(key(s.id)), hex(data));
        return;
      }
      case "bulk":
        for (let n = 0; n < s.count; n++)
          await this.run({ do: "put", id: (s.from + n * 3) % 16, size: 50 * n });
        return;
      case "delete":
        if (this.now.delete(hex(key(s.id)))) await r.delete(key(s.id));
        else await expect(r.delete(key(s.id))).rejects.toBeInstanceOf(AlcoveError);
        return;
      case "commit":
      case "compact":
        await r.commit(s.do === "compact" ? { compact: true, threshold: s.threshold } : {});
        this.committed = new Map(this.now);
        return;
      case "rollback":
        await r.rollback();
        this.now = new Map(this.committed);
        return;
      case "reopen":
        await this.reopen();
        return;
      case "kill":
        // The old process's handles write nowhere any more.
        this.disk = this.disk.clone();
        removeLocks(this.disk);
        await this.open();
        return;
      case "lose": {
        await this.reopen();
        const kept = await this.books();
        await this.repository.close();
        for (const path of [...this.disk.entries.keys()]) {
          const name = path.slice(REPO.length + 1);
          if (name.startsWith("integrity.")) this.disk.entries.delete(path);
          if (s.what !== "hints" && name.startsWith("index.")) this.disk.entries.delete(path);
          if (s.what !== "index" && name.startsWith("hints.")) this.disk.entries.delete(path);
        }
        await this.open();
        expect(await this.books(), "rebuilt from the segments").toEqual(kept);
      }
    }
  }

  /** What index and hints say. */
  private async books(): Promise<unknown> {
    const quota = await this.repository.quotaUse();
    return { quota, ids: (await this.repository.list()).map(hex).sort() };
  }

  async agrees(): Promise<void> {
    const { repository: r, now } = this;
    expect(await r.count()).toBe(now.size);
    expect((await r.list()).map(hex).sort()).toEqual([...now.keys()].sort());
    for (let n = 0; n < 16; n++) {
      const expected = now.get(hex(key(n)));
      expect(await r.has(key(n))).toBe(expected !== undefined);
      if (expected !== undefined) expect(hex(await r.get(key(n)))).toBe(expected);
    }
  }
}

it("the transaction log behaves like a Map", { timeout: 600_000 }, async () => {
  const fresh = emptyDisk();
  const storage = new MemoryStorage(fresh, REPO);
  const made = await LocalRepository.open(REPO, { create: true, exclusive: true, storage });
  made.config.ini.set("repository", "max_segment_size", 2000);
  made.config.ini.set("repository", "segments_per_dir", 3);
  made.saveConfig();
  await made.close();
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
      const subject = new Subject(fresh.clone());
      await subject.open();
      for (const s of steps) {
        await subject.run(s);
        await subject.agrees();
      }
      await subject.reopen();
      await subject.agrees();
      if (subject.committed.size > 0) expect(await subject.repository.check()).toBe(true);
      await subject.repository.close();
    }),
    { numRuns: process.env["ALCOVE_LONG"] === "1" ? 3000 : 80, seed: 20260101 },
  );
});
