// Hostile clients and servers, made from a seed: truncated, oversized, malformed, out-of-order and path-escaping
// messages. Whatever comes, the answer is an AlcoveError or an orderly failure message, the repository is closed, no
// path outside of the allowed one is opened. ALCOVE_FUZZ_SEED and ALCOVE_FUZZ_RUNS repeat or lengthen a run.
import { mkdirSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { AlcoveError } from "../../src/errors.ts";
import { pack, Unpacker } from "../../src/format/msgpack.ts";
import { RemoteRepository } from "../../src/remote/client.ts";
import { parseRecord, RecordReader } from "../../src/remote/records.ts";
import { locationOf, MemoryRepository, wire } from "../unit/remote/memory.ts";

const SEED = Number(process.env["ALCOVE_FUZZ_SEED"] ?? 20260101);
const RUNS = Number(process.env["ALCOVE_FUZZ_RUNS"] ?? 1500);

/** mulberry32: small, seeded, good enough for choosing. */
function random(seed: number) {
  let state = seed >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  const below = (n: number) => Math.floor(next() * n);
  const pick = <T>(list: readonly T[]): T => list[below(list.length)]!;
  return { next, below, pick };
}
type Random = ReturnType<typeof random>;

let dir: string;
let allowed: string;
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), "alcove-fuzz-"));
  allowed = join(dir, "allowed");
  mkdirSync(join(allowed, "sub"), { recursive: true });
  mkdirSync(join(dir, "allowed-not"));
  mkdirSync(join(dir, "outside"));
  symlinkSync("../outside", join(allowed, "out"));
  symlinkSync(join(dir, "outside"), join(allowed, "abs"));
  symlinkSync("loop", join(allowed, "loop"));
  symlinkSync(allowed, join(dir, "in"));
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const METHODS = [
  "negotiate",
  "open",
  "get",
  "put",
  "delete",
  "list",
  "scan",
  "commit",
  "rollback",
  "check",
  "destroy",
  "__len__",
  "load_key",
  "save_key",
  "break_lock",
  "get_free_nonce",
  "commit_nonce_reservation",
  "inject_exception",
  "constructor",
  "__proto__",
  "close",
  "toString",
  "",
  "get\0",
]; // prettier-ignore

const NAMES = [
  "id",
  "data",
  "path",
  "create",
  "limit",
  "marker",
  "client_data",
  "keydata",
  "exclusive",
  "lock",
  "lock_wait",
  "next_unreserved",
  "start_nonce",
  "repair",
  "max_duration",
  "threshold",
  "__proto__",
  "i",
]; // prettier-ignore

function value(r: Random, depth = 0): unknown {
  switch (r.below(depth > 3 ? 9 : 12)) {
    case 0:
      return null;
    case 1:
      return r.next() < 0.5;
    case 2:
      return r.below(1000) - 500;
    case 3:
      return r.pick([0, -1, 2 ** 31, 2 ** 32, 2 ** 53 - 1, 1n << 63n]);
    case 4:
      return new Uint8Array(32).fill(r.below(4));
    case 5:
      return new Uint8Array(r.below(70));
    case 6:
      return path(r);
    case 7:
      return "x".repeat(r.below(300));
    case 8:
      return new Uint8Array(r.pick([0, 1, 5000, 100_000]));
    case 9:
      return Array.from({ length: r.below(5) }, () => value(r, depth + 1));
    case 10:
      return Object.fromEntries(
        Array.from({ length: r.below(4) }, () => [r.pick(NAMES), value(r, depth + 1)]),
      );
    default: {
      let nest: unknown = 1;
      for (let i = r.below(40); i > 0; i--) nest = [nest];
      return nest;
    }
  }
}

function path(r: Random): string {
  const parts = [
    "..",
    ".",
    "sub",
    "out",
    "abs",
    "loop",
    "in",
    "allowed",
    "allowed-not",
    "outside",
    "~",
    "~root",
    "\0",
    "\udcff",
    "",
    "etc",
    "passwd",
    "-oProxyCommand=x",
    "a".repeat(300),
  ]; // prettier-ignore
  const start = r.pick([
    allowed,
    dir,
    "",
    "/",
    "/./",
    "/~/",
    "~/",
    "/~root",
    `${allowed}/../`,
    `${allowed}-not`,
    `${allowed}/`,
  ]);
  return start + Array.from({ length: r.below(6) }, () => r.pick(parts)).join("/");
}

function message(r: Random, n: number): Uint8Array {
  const method = r.pick(METHODS);
  const kind = r.below(12);
  let bytes: Uint8Array;
  if (kind === 0) bytes = pack(value(r));
  else if (kind === 1) {
    bytes = Uint8Array.from({ length: r.below(50) }, () => r.below(256));
  } else if (kind <= 3) {
    bytes = pack([1, n, method, Array.from({ length: r.below(6) }, () => value(r))]);
  } else {
    const args = Object.fromEntries(Array.from({ length: r.below(5) }, () => [r.pick(NAMES), value(r)]));
    if (method === "open") args["path"] = path(r);
    bytes = pack({ i: r.below(20) === 0 ? value(r) : n, m: method, a: r.below(20) === 0 ? value(r) : args });
  }
  if (r.below(15) === 0) bytes = bytes.subarray(0, r.below(bytes.length + 1));
  if (r.below(15) === 0 && bytes.length > 0) {
    bytes = bytes.slice();
    bytes[r.below(bytes.length)]! ^= 1 << r.below(8);
  }
  return bytes;
}

describe(`seed ${SEED}`, () => {
  it("the server survives hostile clients and opens nothing outside", {
    timeout: 120_000 + 40 * RUNS,
  }, async () => {
    const inside = new RegExp(`^${allowed}(/|$)`);
    let answered = 0;
    let opens = 0;
    for (let run = 0; run < RUNS; run++) {
      const r = random(SEED + run);
      const repositories: MemoryRepository[] = [];
      const wired = wire({
        openRepository: async (path) => {
          expect(path).toMatch(inside);
          opens++;
          const repository = new MemoryRepository(path);
          repositories.push(repository);
          return repository;
        },
        restrictToPaths: [allowed],
      });
      const got = new Unpacker();
      wired.toClient.on("data", (piece: Uint8Array) => {
        got.feed(piece);
        for (const answer of got) {
          expect(Array.isArray(answer) || answer instanceof Map).toBe(true);
          answered++;
        }
      });
      if (r.next() < 0.8) {
        wired.toServer.write(pack([1, 1, "negotiate", [{ client_version: [1, 4, 0, -1] }]]));
        wired.toServer.write(pack({ i: 2, m: "open", a: { path: allowed } }));
      }
      for (let n = 3 + r.below(12); n > 3; n--) wired.toServer.write(message(r, n));
      wired.toServer.end();
      await wired.served.catch((error) => {
        expect(error, `seed ${SEED + run}`).toBeInstanceOf(AlcoveError);
      });
      for (const repository of repositories) expect(repository.closed, `seed ${SEED + run}`).toBe(1);
    }
    expect(answered).toBeGreaterThan(RUNS);
    expect(opens).toBeGreaterThan(RUNS / 2);
  });

  it("the client survives hostile servers", { timeout: 120_000 + 40 * RUNS }, async () => {
    let errors = 0;
    for (let run = 0; run < RUNS; run++) {
      const r = random(SEED ^ (run * 7919));
      const toServer = new PassThrough();
      const toClient = new PassThrough();
      const requests = new Unpacker();
      let budget = 3 + r.below(10);
      toServer.on("data", (piece: Uint8Array) => {
        requests.feed(piece);
        for (const request of requests) {
          if (toClient.writableEnded || toClient.destroyed) return;
          const id = Array.isArray(request) ? request[1] : (request as Map<string, unknown>).get("i");
          let answer: Uint8Array;
          const hostile = budget <= 2 || r.next() >= 0.8;
          if (!hostile) {
            answer =
              id === 1
                ? pack([1, 1, null, { server_version: [1, 2, 4, -1] }])
                : pack({ i: id, r: id === 2 ? new Uint8Array(32) : value(r) });
          } else {
            answer = r.pick([
              () => message(r, Number(id)),
              () => pack({ i: id, exception_class: value(r), exception_args: value(r), sysinfo: value(r) }),
              () =>
                pack({
                  i: id,
                  exception_class: r.pick([
                    "ObjectNotFound",
                    "IntegrityError",
                    "LockFailed",
                    "Error",
                    "__proto__",
                    "X",
                  ]),
                  exception_args: r.pick([[], [1, null], ["a", "b", "c"]]),
                }),
              () => pack([1, id, value(r), value(r)]),
              () => pack({ i: r.below(50), r: value(r) }),
              () => Buffer.from([0xdd, 0xff, 0xff, 0xff, 0xff, 0xc0]),
            ])();
          }
          toClient.write(answer);
          // A server that falls silent is no error but a wait without end: here it goes away instead.
          if (--budget < 0 || hostile) setImmediate(() => toClient.end());
        }
      });
      try {
        const client = await RemoteRepository.open(locationOf("/x"), {
          streams: { input: toClient, output: toServer },
        });
        try {
          for (let i = 0; i < 6; i++) {
            const id = new Uint8Array(32).fill(i);
            await r.pick([
              () => client.get(id),
              () => client.put(id, new Uint8Array(r.below(10_000))),
              () => client.list(10),
              () => client.count(),
              () => client.loadKey(),
              () => client.getFreeNonce(),
              async () => {
                client.preload([id, id]);
                for await (const _ of client.getMany([id], { preloaded: true, missing: "skip" }));
              },
              () => client.commit(),
            ])();
          }
        } finally {
          await client.close();
        }
      } catch (error) {
        errors++;
        expect(error, `run ${run}`).toBeInstanceOf(AlcoveError);
      }
      toClient.destroy();
    }
    expect(errors).toBeGreaterThan(RUNS / 4);
  });

  it("log lines of a hostile server never steer a terminal", () => {
    for (let run = 0; run < RUNS; run++) {
      const r = random(SEED + run * 31);
      const bytes = Uint8Array.from({ length: r.below(200) }, () =>
        r.pick([10, 13, 27, 123, 36, 34, 155, 7, 8, 65, 128, 194]),
      );
      const check = (text: string) => expect(text).not.toMatch(/[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]/);
      const reader = new RecordReader((record) => {
        if (record.kind === "text") check(record.line);
        else if (record.kind === "log") check(record.message);
      });
      reader.feed(bytes);
      reader.end();
    }
    const record = parseRecord(
      `{"type":"log_message","levelname":"INFO","name":"x\\u001b","message":"\\u001b[2Jgone"}\n`,
    );
    expect(record).toMatchObject({ kind: "log", message: "Remote: \\x1b[2Jgone" });
  });
});
