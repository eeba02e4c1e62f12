import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { expect, test } from "vitest";
import { NONCE_SPACE_RESERVATION, NonceManager } from "../../../src/crypto/nonce.ts";
import { AlcoveError, InvalidRPCMethod } from "../../../src/errors.ts";
import { PosixStorage } from "../../../src/storage/posix.ts";
import { FakeRepository, temporaryDir } from "./support.ts";

const fresh = () => new PosixStorage(temporaryDir());

test("starts from the highest of repository, security directory and manifest", async () => {
  for (const [repo, local, manifest, start] of [
    [undefined, undefined, 0, 0],
    [undefined, undefined, 7, 7],
    [100, 50, 7, 100],
    [50, 100, 7, 100],
    [50, 60, 1000, 1000],
  ] as const) {
    const repository = new FakeRepository();
    repository.nonce = repo;
    const security = fresh();
    if (local !== undefined)
      writeFileSync(join(security.root, "nonce"), local.toString(16).padStart(16, "0"));
    const nonces = new NonceManager(repository, security, manifest);
    expect(await nonces.reserve(3)).toBe(start);
    expect(nonces.take(4)).toBe(start + 3);
    expect(repository.commits).toEqual([[start + 3 + NONCE_SPACE_RESERVATION, repo]]);
    expect(readFileSync(join(security.root, "nonce"), "latin1")).toBe(
      (start + 3 + NONCE_SPACE_RESERVATION).toString(16).padStart(16, "0"),
    );
  }
});

test("nothing is handed out before both reservations are made", async () => {
  const repository = new FakeRepository();
  const nonces = new NonceManager(repository, fresh(), 0);
  expect(nonces.take(1)).toBeUndefined();
  repository.commitNonceReservation = async () => {
    throw new Error("disk full");
  };
  await expect(nonces.reserve(1)).rejects.toThrow("disk full");
  expect(nonces.take(1)).toBeUndefined();
});

test("ranges asked for at the same time are disjoint, also across the end of a reservation", async () => {
  const repository = new FakeRepository();
  const nonces = new NonceManager(repository, fresh(), 11);
  const sizes = Array.from({ length: 40 }, (_, i) => (i % 7 === 3 ? NONCE_SPACE_RESERVATION - 5 : 1 + i));
  const starts = await Promise.all(sizes.map((n) => nonces.reserve(n)));
  const ranges = starts.map((s, i) => [s, s + sizes[i]!] as const).sort((a, b) => a[0] - b[0]);
  ranges.forEach((r, i) => {
    expect(r[0]).toBeGreaterThanOrEqual(i === 0 ? 11 : ranges[i - 1]![1]);
  });
  expect(repository.nonce).toBeGreaterThanOrEqual(ranges.at(-1)![1]);
});

test("never a counter twice: sessions that end at any point, clients in turn, states rolled back", async () => {
  const step = fc.record({
    blocks: fc.constantFrom(1, 1000, NONCE_SPACE_RESERVATION),
    client: fc.nat(1),
    restart: fc.boolean(),
    rollBack: fc.boolean(),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 25 }), async (steps) => {
      const repository = new FakeRepository();
      const security = [fresh(), fresh()];
      let highest = 0;
      const open = (client: number) => new NonceManager(repository, security[client]!, 0);
      const managers = [open(0), open(1)];
      let used: number[] = [];
      for (const { blocks, client, restart, rollBack } of steps) {
        if (restart) managers[client] = open(client);
        // A malicious server forgets: with one client the local file must protect.
        if (rollBack && client === 0 && steps.every((s) => s.client === 0)) repository.nonce = undefined;
        const start = await managers[client]!.reserve(blocks);
        for (let i = 0; i < used.length; i += 2)
          expect(start >= used[i + 1]! || start + blocks <= used[i]!).toBe(true);
        used = [...used, start, start + blocks];
        highest = Math.max(highest, start + blocks);
      }
      if (highest > 0 && repository.nonce !== undefined)
        expect(repository.nonce).toBeGreaterThanOrEqual(highest);
    }),
    { numRuns: 40 },
  );
});

test("a damaged local nonce stops everything; an old server is worked around", async () => {
  const security = fresh();
  for (const text of ["", "12", "zzzzzzzzzzzzzzzz", "ffffffffffffffff"]) {
    writeFileSync(join(security.root, "nonce"), text);
    await expect(new NonceManager(new FakeRepository(), security, 0).reserve(1)).rejects.toThrow(AlcoveError);
  }
  const old = new FakeRepository();
  old.getFreeNonce = async () => {
    throw new InvalidRPCMethod("get_free_nonce");
  };
  const warnings: string[] = [];
  const nonces = new NonceManager(old, fresh(), 5, (m) => warnings.push(m));
  expect(await nonces.reserve(1)).toBe(5);
  await nonces.reserve(2 ** 28);
  expect(warnings.length).toBe(1);
  expect(old.commits).toEqual([]);
});
