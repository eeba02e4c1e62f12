// What all fuzzers share: valid samples changed at random from a seed, and the rule for what may come of it: data or an
// AlcoveError, in bounded time and memory. ALCOVE_FUZZ_SEED and ALCOVE_FUZZ_RUNS repeat or lengthen a run (cases a kind).
import { expect } from "vitest";
import { AlcoveError } from "../../src/errors.ts";
import { type Seeded, seeded } from "../fault/seeded.ts";

export const SEED = Number(process.env["ALCOVE_FUZZ_SEED"] ?? 20260101);
export const RUNS = Number(process.env["ALCOVE_FUZZ_RUNS"] ?? 1500);
/** No kind may make the process grow by more than this. */
const MEMORY = 400 << 20;
/** Milliseconds. Not a measurement: what takes this long does not end. */
const HANGS = 10_000;

/** Cases run in this process. */
export const counted = { cases: 0, accepted: 0 };

function joined(...parts: Uint8Array[]): Uint8Array {
  let length = 0;
  for (const p of parts) length += p.length;
  const out = new Uint8Array(length);
  let at = 0;
  for (const p of parts) {
    out.set(p, at);
    at += p.length;
  }
  return out;
}

/** Another form of the bytes: flipped, cut, spliced, repeated, or with a length that lies. */
export function mutate(random: Seeded, sample: Uint8Array): Uint8Array {
  // Not slice(): a Buffer's is a view.
  let out = Uint8Array.from(sample) as Uint8Array;
  for (let n = 1 + random.below(4); n > 0; n--) {
    const at = random.below(out.length + 1);
    switch (random.below(8)) {
      case 0:
        out = out.slice(0, at);
        break;
      case 1:
        out.fill(random.below(256), at, at + 1 + random.below(8));
        break;
      case 2:
        out = joined(out.subarray(0, at), random.bytes(random.below(12)), out.subarray(at));
        break;
      case 3: {
        // msgpack's and index headers' largest lengths.
        const length = Uint8Array.of(random.pick([0xdd, 0xdf, 0xdb, 0xc6, 0xff]), 0xff, 0xff, 0xff, 0xff);
        out.set(length.subarray(0, out.length - at), at);
        break;
      }
      case 4:
        out = joined(out.subarray(0, at), out.subarray(random.below(out.length + 1)));
        break;
      case 5:
        out = joined(out, out.subarray(at));
        break;
      default:
        if (at < out.length) out[at]! ^= 1 << random.below(8);
    }
  }
  return out;
}

/** Runs the cases of one kind. `work` may throw AlcoveErrors only. @returns how many were accepted */
export async function fuzz(
  kind: string,
  samples: readonly Uint8Array[],
  work: (bytes: Uint8Array, random: Seeded) => unknown,
  runs = RUNS,
): Promise<number> {
  const before = process.memoryUsage.rss();
  let accepted = 0;
  for (let run = 0; run < runs; run++) {
    const random = seeded(SEED * 31 + run);
    const bytes = run % 10 === 9 ? random.bytes(random.below(200)) : mutate(random, random.pick(samples));
    const started = performance.now();
    try {
      const result = work(bytes, random);
      if (result instanceof Promise) await result;
      accepted++;
    } catch (e) {
      if (!(e instanceof AlcoveError)) {
        const hex = Buffer.from(bytes.subarray(0, 4000)).toString("hex");
        throw new Error(`${kind}, seed ${SEED}, run ${run}: ${(e as Error).stack}\ninput: ${hex}`, {
          cause: e,
        });
      }
    }
    const took = performance.now() - started;
    if (took > HANGS) throw new Error(`${kind}, seed ${SEED}, run ${run}: ${took} ms`);
    // Tests that run for hours still have to answer their runner.
    if (run % 5000 === 4999) await new Promise((resolve) => setImmediate(resolve));
  }
  counted.cases += runs;
  counted.accepted += accepted;
  expect(process.memoryUsage.rss() - before, `${kind}: memory`).toBeLessThan(MEMORY);
  return accepted;
}
