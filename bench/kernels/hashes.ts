// SHA-256, HMAC-SHA256 and keyed BLAKE2b-256 over independent messages: 1 MiB chunks, and small files.

import { choose } from "../../src/core/choose.ts";
import { createHasher, type HashKind } from "../../src/core/hasher.ts";
import * as host from "../../src/core/host.ts";
import { Core, coreModule } from "../../src/core/index.ts";
import { random, type Setting, smallSizes } from "./data.ts";
import { hashWasm, noble } from "./libraries.ts";
import { type Figures, type Row, rates } from "./measure.ts";
import { borgBlake2b, openssl } from "./native.ts";

const TOTAL = 8 << 20;

export async function hashes({ seconds }: Setting): Promise<Row[]> {
  const core = new Core(coreModule());
  const data = core.alloc(TOTAL);
  core.u8.set(random(TOTAL, 3), data);
  const [pure, wasm] = [await noble(), await hashWasm()];
  const hmacKey = new Uint8Array(32).fill(5);
  const blakeKey = new Uint8Array(128).fill(6);
  const hostKey = host.hmacKey(hmacKey);
  core.hmacSetKey(1, hmacKey);
  core.blake2bSetKey(1, blakeKey);
  const rows: Row[] = [];
  const choice = choose();

  for (const [name, sizes] of [
    ["1 MiB chunks", Array<number>(TOTAL >> 20).fill(1 << 20)],
    ["small files, 13 KB on average", smallSizes(TOTAL)],
  ] as const) {
    const n = sizes.length;
    const table = core.alloc(8 * n);
    const out = core.alloc(32 * n);
    const hashers = new Map<string, () => void>();
    const hasher = (kind: HashKind) => {
      const chosen = createHasher(core, kind, choice);
      hashers.set(kind.type, () => chosen.many(table, n, out));
      return hashers.get(kind.type)!;
    };
    const works: Record<string, Record<string, (() => void) | undefined>> = {
      "SHA-256": {
        "wasm, four at once": () => core.sha256Many(table, n, out),
        chosen: hasher({ type: "sha256" }),
      },
      "HMAC-SHA256": {
        "wasm, four at once": () => core.hmacSha256Many(1, table, n, out),
        chosen: hasher({ type: "hmac-sha256", key: hmacKey }),
      },
      "BLAKE2b-256 keyed": { "wasm, four at once": () => core.blake2bMany(1, table, n, out) },
    };
    let at = 0;
    const views = sizes.map((size, i) => {
      core.u32[table / 4 + 2 * i] = data + at;
      core.u32[table / 4 + 2 * i + 1] = size;
      at += size;
      return core.view(data + at - size, size);
    });
    const each = (work: (view: Uint8Array, i: number) => void) => () => views.forEach(work);
    const single = (i: number) => core.raw.sha256(core.u32[table / 4 + 2 * i]!, sizes[i]!, out);
    Object.assign(works["SHA-256"]!, {
      "wasm, one at a time": each((_, i) => single(i)),
      "host (node:crypto)": each((v) => void host.sha256(v)),
      "hash-wasm": wasm && each((v) => void wasm.sha256.init().update(v).digest("binary")),
      "@noble/hashes": pure && each((v) => void pure.sha256(v)),
    });
    Object.assign(works["HMAC-SHA256"]!, {
      "host (node:crypto)": each((v) => void host.hmacSha256(hostKey, v)),
      "hash-wasm": wasm && each((v) => void wasm.hmac.init().update(v).digest("binary")),
      "@noble/hashes": pure && each((v) => void pure.hmac(pure.sha256, hmacKey, v)),
    });
    Object.assign(works["BLAKE2b-256 keyed"]!, {
      "wasm, one at a time": each((v) => void core.blake2bPrefix(blakeKey, v)),
      "hash-wasm": wasm && each((v) => void wasm.blake2b.init().update(blakeKey).update(v).digest("binary")),
      "@noble/hashes": pure && each((v) => void pure.blake2b(v, { dkLen: 32 })),
    });
    const peers: Record<string, Record<string, number | undefined>> = {};
    let goals: Record<string, Row["goals"]> = {};
    if (n === TOTAL >> 20) {
      peers["SHA-256"] = {
        "OpenSSL without SHA instructions": openssl("sha256", 1 << 20, true),
        OpenSSL: openssl("sha256", 1 << 20),
      };
      peers["BLAKE2b-256 keyed"] = {
        "borg's": borgBlake2b(1 << 20),
        "OpenSSL's blake2b512": openssl("blake2b512", 1 << 20),
      };
      goals = {
        "SHA-256": [{ against: "OpenSSL without SHA instructions", floor: 1.2, goal: 1.5 }],
        "BLAKE2b-256 keyed": [
          { against: "borg's", floor: 1.5, goal: 1.9 },
          { against: "OpenSSL's blake2b512", floor: 1.1, goal: 1.3 },
        ],
      };
    } else {
      peers["BLAKE2b-256 keyed"] = { "borg's, 13 KB messages": borgBlake2b(13_000) };
    }
    for (const [kernel, entries] of Object.entries(works)) {
      const figures: Figures = rates(TOTAL, entries, seconds);
      for (const [peer, figure] of Object.entries(peers[kernel] ?? {})) if (figure) figures[peer] = figure;
      rows.push({
        kernel: `${kernel}, ${name}`,
        ours: Object.keys(entries)[0]!,
        figures,
        goals: goals[kernel],
      });
    }
  }
  return rows;
}
