// The chunker: the bare scan of all positions against a C loop, and real chunking with minimum and maximum against
// Borg's own chunker over the same bytes.

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { Buzhash, defaultChunkerParams } from "../../src/chunker/index.ts";
import { Core, coreModule } from "../../src/core/index.ts";
import { random, type Setting } from "./data.ts";
import { type Figures, type Row, rates } from "./measure.ts";
import { borgChunker, cBuzhash } from "./native.ts";

const SIZE = 64 << 20;
const SPAN = 65538 * 4;
const SEED = 12345;

function defined(figures: Record<string, number | undefined>): Figures {
  return Object.fromEntries(Object.entries(figures).filter(([, v]) => v !== undefined)) as Figures;
}

export async function scanning({ seconds, dir, native }: Setting): Promise<Row[]> {
  const core = new Core(coreModule());
  const data = core.alloc(SIZE + 8192);
  const state = core.alloc(2048);
  const list = core.alloc(64 + 16 * 2048) + 64;
  core.u8.set(random(SIZE), data);
  core.raw.buzhashInit(state, SEED, 4095);
  const mask = 2 ** 21 - 1;
  const spans = Math.floor(SIZE / SPAN);
  const each = (work: (p: number) => void) => () => {
    for (let i = 0; i < spans; i++) work(data + i * SPAN);
  };
  const figures = rates(
    spans * SPAN,
    {
      "wasm, four streams": each((p) => core.raw.buzhashScan4(state, p, 65538, mask, list, 2048)),
      "wasm, one stream": each((p) => core.raw.buzhashScan(state, p, SPAN, 4095, mask)),
    },
    seconds,
  );
  const against = "C, one stream unrolled, gcc -O3";
  return [
    {
      kernel: "buzhash, scan of every position",
      ours: "wasm, four streams",
      figures: { ...figures, ...defined({ [against]: cBuzhash(join(native, "buzhash.c"), dir, "buzhash") }) },
      goals: [{ against, floor: 0.75, goal: 0.9 }],
    },
  ];
}

export async function chunking({ seconds, dir }: Setting): Promise<Row[]> {
  const core = new Core(coreModule());
  const data = core.alloc(SIZE + 8192);
  const bytes = random(SIZE, 99);
  core.u8.set(bytes, data);
  const file = join(dir, "chunks");
  writeFileSync(file, bytes);
  const chunker = new Buzhash(core, { seed: SEED, ...defaultChunkerParams });
  const figures = rates(SIZE, { "wasm chunker": () => void chunker.cuts(data, SIZE, true) }, seconds);
  const against = "borg's chunker";
  return [
    {
      kernel: "chunking 19,23,21,4095",
      ours: "wasm chunker",
      figures: { ...figures, ...defined({ [against]: borgChunker(file, SEED) }) },
      goals: [{ against, floor: 1.5, goal: 2.2 }],
    },
  ];
}
