// What is sent: blocks used again, few pieces for a write, and messages written by hand that are the general encoder's.
import { describe, expect, it } from "vitest";
import { pack, unpack } from "../../../src/format/msgpack.ts";
import { encodeAnswer } from "../../../src/remote/framing.ts";
import { GetQueue } from "../../../src/remote/getqueue.ts";
import { ObjectMessages } from "../../../src/remote/object-requests.ts";
import { BLOCK_BYTES, type LentPiece, Outbox, PieceBatch } from "../../../src/remote/outbox.ts";

/** Numbers that repeat in every run. */
function random(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state % below;
  };
}

describe("outbox", () => {
  it("gives the bytes in order, whatever is appended, taken and given back when", () => {
    for (let seed = 1; seed <= 20; seed++) {
      const next = random(seed);
      const outbox = new Outbox();
      const wanted: Buffer[] = [];
      const got: Buffer[] = [];
      const lent: LentPiece[] = [];
      const giveBack = () => {
        // Copied only now: what is lent stays untouched until it is given back.
        const piece = lent.shift()!;
        got.push(Buffer.from(piece.piece));
        piece.giveBack();
      };
      for (let i = 0; i < 200; i++) {
        const piece = Buffer.alloc(next(4) === 0 ? next(2 * BLOCK_BYTES) : next(100), next(256));
        wanted.push(piece);
        outbox.append(piece);
        while (next(3) > 0) {
          const taken = outbox.take(1 + next(BLOCK_BYTES));
          if (!taken) break;
          lent.push(taken);
        }
        while (lent.length > next(6)) giveBack();
      }
      for (let taken = outbox.take(BLOCK_BYTES); taken; taken = outbox.take(BLOCK_BYTES)) lent.push(taken);
      while (lent.length > 0) giveBack();
      expect(outbox.bytes).toBe(0);
      expect(Buffer.compare(Buffer.concat(got), Buffer.concat(wanted))).toBe(0);
    }
  });

  it("keeps contents across blocks", () => {
    const outbox = new Outbox();
    const data = Buffer.from(Array.from({ length: 3 * BLOCK_BYTES + 17 }, (_, i) => (i * 31) & 255));
    outbox.append(data.subarray(0, 5));
    outbox.append(data.subarray(5));
    const got: Buffer[] = [];
    for (let t = outbox.take(100_000); t; t = outbox.take(100_000)) {
      got.push(Buffer.from(t.piece));
      t.giveBack();
    }
    expect(Buffer.compare(Buffer.concat(got), data)).toBe(0);
    expect(outbox.bytes).toBe(0);
  });
});

describe("piece batch", () => {
  it("gathers small pieces, keeps large ones as they are, in order", () => {
    const next = random(7);
    const batch = new PieceBatch();
    for (let round = 0; round < 50; round++) {
      const pieces = Array.from({ length: next(200) }, () =>
        Buffer.alloc(next(10) === 0 ? 5000 : next(60), next(256)),
      );
      for (const piece of pieces) batch.add(piece);
      expect(batch.bytes).toBe(pieces.reduce((sum, p) => sum + p.length, 0));
      const taken = batch.take();
      expect(Buffer.compare(Buffer.concat(taken), Buffer.concat(pieces))).toBe(0);
      expect(taken.length).toBeLessThanOrEqual(2 * pieces.filter((p) => p.length > 1024).length + 2);
      expect(batch.bytes).toBe(0);
    }
    expect(batch.take()).toEqual([]);
  });
});

describe("messages written by hand", () => {
  const messages = new ObjectMessages();
  const id = Uint8Array.from({ length: 32 }, (_, i) => 200 + i);

  it("are requests as any decoder reads them", () => {
    for (const number of [0, 1, 127, 128, 255, 65536, 2 ** 32 - 1, 2 ** 32, 2 ** 40]) {
      for (const method of ["get", "delete"] as const) {
        const value = unpack(messages.request(number, method, id)) as Map<string, unknown>;
        expect(value.get("i")).toBe(number);
        expect(Buffer.from(value.get("m") as Uint8Array).toString()).toBe(method);
        expect(value.get("a")).toEqual(new Map([["id", id]]));
      }
      for (const size of [0, 1, 31, 32, 65535, 65536, 3_000_000]) {
        const data = new Uint8Array(size).fill(5);
        const bytes = Buffer.concat([messages.request(number, "put", id, size), data]);
        const args = (unpack(bytes) as Map<string, Map<string, Uint8Array>>).get("a")!;
        expect(args.get("id")).toEqual(id);
        expect(Buffer.compare(args.get("data")!, data)).toBe(0);
      }
    }
  });

  it("answer None as the general encoder does", () => {
    for (const number of [0, 127, 70_000]) {
      const whole = Buffer.concat(encodeAnswer(number, null, true));
      expect(unpack(messages.none(number))).toEqual(unpack(whole));
    }
    expect(Buffer.from(messages.none(5))).toEqual(Buffer.from(pack({ i: 5, r: null })));
  });
});

describe("objects asked for ahead", () => {
  const idOf = (n: number) => Uint8Array.from({ length: 32 }, () => n);

  it("are taken at once where they are here, and waited for where not", async () => {
    const asked: ((result: Uint8Array | Error) => void)[] = [];
    const queue = new GetQueue((_, done) => asked.push(done));
    queue.preload([idOf(1), idOf(2), idOf(1), idOf(3)]);
    expect(asked.length).toBe(4);
    expect(queue.arrived(idOf(1))).toBeUndefined();
    asked[0]!(Buffer.from("one"));
    asked[1]!(new Error("two is lost"));
    expect(queue.arrived(idOf(9))).toBeUndefined();
    expect(Buffer.from(queue.arrived(idOf(1))!).toString()).toBe("one");
    // The second of the same id is a request of its own.
    expect(queue.arrived(idOf(1))).toBeUndefined();
    expect(queue.arrived(idOf(2))).toBeUndefined();
    const one = async (n: number) => {
      for await (const got of queue.take([idOf(n)], (promise) => promise)) return Buffer.from(got).toString();
    };
    await expect(one(2)).rejects.toThrow("two is lost");
    const waiting = one(3);
    asked[3]!(Buffer.from("three"));
    expect(await waiting).toBe("three");
    asked[2]!(Buffer.from("one again"));
    expect(await one(1)).toBe("one again");
    expect(asked.length).toBe(4);
  });
});
