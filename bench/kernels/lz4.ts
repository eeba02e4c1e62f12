// LZ4 blocks of 2 MiB: text, a program, and bytes that do not compress.

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { Core, coreModule, lz4Bound } from "../../src/core/index.ts";
import { binary, random, type Setting, text } from "./data.ts";
import { lz4Wasm } from "./libraries.ts";
import { type Figures, type Row, rates, together } from "./measure.ts";
import { lz4 as liblz4 } from "./native.ts";

const BLOCK = 2 << 20;

export async function lz4({ seconds, dir }: Setting): Promise<Row[]> {
  const core = new Core(coreModule());
  const rows: Row[] = [];
  const library = await lz4Wasm();
  const src = core.alloc(8 << 20);
  const slot = lz4Bound(BLOCK);
  const dst = core.alloc(slot * 4);
  const back = core.alloc(BLOCK);
  for (const [name, data] of [
    ["text", text()],
    ["a program", binary()],
    ["random", random(8 << 20, 5)],
  ] as const) {
    const file = join(dir, "lz4");
    writeFileSync(file, data);
    core.u8.set(data, src);
    const blocks = [0, 1, 2, 3];
    const sizes = blocks.map((i) => core.lz4Compress(src + i * BLOCK, BLOCK, dst + i * slot, slot));
    const views = blocks.map((i) => data.subarray(i * BLOCK, (i + 1) * BLOCK));
    const packed = library && views.map((view) => library.compress(view));
    const native = liblz4(file, BLOCK);
    const against = "liblz4, fast level";
    // Block by block, since the best of a few long calls says more about the other load than about the kernel.
    const over = (works: Record<string, ((i: number) => void) | undefined>): Figures =>
      together(
        blocks.map((i) =>
          rates(
            BLOCK,
            Object.fromEntries(Object.entries(works).map(([key, work]) => [key, work && (() => work(i))])),
            seconds / blocks.length,
          ),
        ),
      );
    const compress = over({
      wasm: (i) => void core.lz4Compress(src + i * BLOCK, BLOCK, dst + i * slot, slot),
      "lz4-wasm": library && ((i) => void library.compress(views[i]!)),
    });
    const decompress = over({
      wasm: (i) => void core.lz4Decompress(dst + i * slot, sizes[i]!, back, BLOCK),
      "lz4-wasm": packed && ((i) => void library.decompress(packed[i]!)),
    });
    const named = name !== "random";
    if (native.compress) compress[against] = native.compress;
    if (native.decompress) decompress[against] = native.decompress;
    rows.push(
      {
        kernel: `LZ4 compress, ${name}`,
        ours: "wasm",
        figures: compress,
        ...(named && { goals: [{ against, floor: 0.65, goal: 0.85 }] }),
      },
      {
        kernel: `LZ4 decompress, ${name}`,
        ours: "wasm",
        figures: decompress,
        ...(named && { goals: [{ against, floor: 0.6, goal: 0.8 }] }),
      },
    );
  }
  return rows;
}
