// CRC-32 and XXH64 over 1 MiB pieces.

import { Core, coreModule } from "../../src/core/index.ts";
import { nativeCrc32 } from "../../src/runtime/crc32.ts";
import { random, type Setting } from "./data.ts";
import { hashWasm } from "./libraries.ts";
import { type Row, rates } from "./measure.ts";
import { xxhsum } from "./native.ts";

const SIZE = 1 << 20;

export async function checksums({ seconds }: Setting): Promise<Row[]> {
  const core = new Core(coreModule());
  const at = core.alloc(SIZE);
  core.u8.set(random(SIZE, 9), at);
  const view = core.view(at, SIZE);
  const wasm = await hashWasm();
  const native = nativeCrc32;
  const crc = rates(
    SIZE,
    {
      "wasm, slice by 16": () => void core.crc32(at, SIZE),
      "host (zlib.crc32)": native && (() => void native(view)),
      "hash-wasm": wasm && (() => void wasm.crc32.init().update(view).digest("binary")),
    },
    seconds,
  );
  const xxh = rates(
    SIZE,
    {
      wasm: () => void core.raw.xxh64(at, SIZE, 0n),
      "hash-wasm": wasm && (() => void wasm.xxh64.init().update(view).digest("binary")),
    },
    seconds,
  );
  const against = "xxhsum's benchmark";
  const figure = xxhsum();
  if (figure) xxh[against] = figure;
  return [
    { kernel: "CRC-32 (the host's is used where faster)", ours: "wasm, slice by 16", figures: crc },
    { kernel: "XXH64", ours: "wasm", figures: xxh, goals: [{ against, floor: 0.7, goal: 0.95 }] },
  ];
}
