// SHA-256, HMAC-SHA256 and keyed BLAKE2b-256 over independent messages, chunks and small files, in every variant of the
// kernels; "ours" is the one that this engine uses.

import { choose } from "../../src/core/choose.ts";
import { createHasher, type HashKind } from "../../src/core/hasher.ts";
import * as host from "../../src/core/host.ts";
import { Core, coreModule } from "../../src/core/index.ts";
import { laneVariants } from "../../src/core/lanes.ts";
import { random, type Setting, smallSizes } from "./data.ts";
import { hashWasm, noble } from "./libraries.ts";
import { type Figures, type Row, rates } from "./measure.ts";
import { borgBlake2b, openssl } from "./native.ts";

const TOTAL = 15 << 18;
const CHUNK = 64 << 10;

interface Layout {
  core: Core;
  table: number;
  out: number;
  views: Uint8Array[];
}

// The same messages in a core's memory.
function lay(core: Core, data: Uint8Array, sizes: number[]): Layout {
  const area = core.alloc(data.length);
  const [table, out] = [core.alloc(8 * sizes.length), core.alloc(32 * sizes.length)];
  core.u8.set(data, area);
  let at = area;
  const places = sizes.map((size, i) => {
    core.u32[table / 4 + 2 * i] = at;
    core.u32[table / 4 + 2 * i + 1] = size;
    at += size;
    return [at - size, size] as const;
  });
  return { core, table, out, views: places.map(([ptr, size]) => core.view(ptr, size)) };
}

export async function hashes({ seconds }: Setting): Promise<Row[]> {
  const data = random(TOTAL, 3);
  const variants = laneVariants();
  const cores = variants.map((lanes) => new Core(coreModule(), lanes));
  const [pure, wasm] = [await noble(), await hashWasm()];
  const hmacKey = new Uint8Array(32).fill(5);
  const blakeKey = new Uint8Array(128).fill(6);
  const hostKey = host.hmacKey(hmacKey);
  for (const core of cores) {
    core.hmacSetKey(1, hmacKey);
    core.blake2bSetKey(1, blakeKey);
  }
  const rows: Row[] = [];
  const choice = choose();

  for (const [name, sizes] of [
    ["256 KiB chunks", Array<number>(TOTAL / CHUNK).fill(CHUNK)],
    ["small files, 13 KB on average", smallSizes(TOTAL)],
  ] as const) {
    const n = sizes.length;
    const layouts = cores.map((core) => lay(core, data, [...sizes]));
    const own = layouts[0]!;
    const { core, table, out } = own;
    // Memory that grew under a view detaches it.
    own.views = own.views.map((view) => core.view(view.byteOffset, view.byteLength));
    const hashers = (kind: HashKind) => {
      const hasher = createHasher(core, kind, choice);
      return () => hasher.many(table, n, out);
    };
    const chosen = {
      sha: hashers({ type: "sha256" }),
      hmac: hashers({ type: "hmac-sha256", key: hmacKey }),
    };
    const views = lay(core, data, [...sizes]).views;
    const each = (work: (view: Uint8Array, i: number) => void) => () => views.forEach(work);
    const kernel = (
      lanes: "sha256" | "blake2b",
      call: (layout: Layout) => void,
    ): Record<string, () => void> =>
      Object.fromEntries(
        layouts.map((layout, i) => [`wasm, ${variants[i]![lanes]} at once`, () => call(layout)]),
      );
    const works: Record<string, Record<string, (() => void) | undefined>> = {
      "SHA-256": {
        ...kernel("sha256", (l) => l.core.sha256Many(l.table, n, l.out)),
        chosen: chosen.sha,
        "wasm, one at a time": each((v) => core.raw.sha256(v.byteOffset, v.length, out)),
        "host (node:crypto)": each((v) => void host.sha256(v)),
        "hash-wasm": wasm && each((v) => void wasm.sha256.init().update(v).digest("binary")),
        "@noble/hashes": pure && each((v) => void pure.sha256(v)),
      },
      "HMAC-SHA256": {
        ...kernel("sha256", (l) => l.core.hmacSha256Many(1, l.table, n, l.out)),
        chosen: chosen.hmac,
        "host (node:crypto)": each((v) => void host.hmacSha256(hostKey, v)),
        "hash-wasm": wasm && each((v) => void wasm.hmac.init().update(v).digest("binary")),
        "@noble/hashes": pure && each((v) => void pure.hmac(pure.sha256, hmacKey, v)),
      },
      "BLAKE2b-256 keyed": {
        ...kernel("blake2b", (l) => l.core.blake2bMany(1, l.table, n, l.out)),
        "wasm, one at a time": each((v) => void core.blake2bPrefix(blakeKey, v)),
        "hash-wasm":
          wasm && each((v) => void wasm.blake2b.init().update(blakeKey).update(v).digest("binary")),
        "@noble/hashes": pure && each((v) => void pure.blake2b(v, { dkLen: 32 })),
      },
    };
    const peers: Record<string, Record<string, number | undefined>> = {};
    let goals: Record<string, Row["goals"]> = {};
    if (sizes[0] === CHUNK) {
      peers["SHA-256"] = {
        "OpenSSL without SHA instructions": openssl("sha256", CHUNK, true),
        OpenSSL: openssl("sha256", CHUNK),
      };
      peers["BLAKE2b-256 keyed"] = {
        "borg's": borgBlake2b(CHUNK),
        "OpenSSL's blake2b512": openssl("blake2b512", CHUNK),
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
