// `npm run bench:kernels`: every kernel of the WebAssembly core against native programs, the host and JavaScript
// libraries, in one run on one machine; the ratios are what counts. `--quick` takes a third of the time, `--no-json`
// writes nothing. Runs on Node, Deno and Bun; bench/results/kernels-RUNTIME.json keeps the figures.

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { chunking, scanning } from "./kernels/buzhash.ts";
import { checksums } from "./kernels/checksums.ts";
import { codecs } from "./kernels/codecs.ts";
import { hashes } from "./kernels/hashes.ts";
import { lz4 } from "./kernels/lz4.ts";
import { type Row, table } from "./kernels/measure.ts";

const here = dirname(fileURLToPath(import.meta.url));
const { versions } = process;
const runtime = versions["bun"]
  ? `bun-${versions["bun"]}`
  : versions["deno"]
    ? `deno-${versions["deno"]}`
    : `node-${versions.node}`;
const seconds = process.argv.includes("--quick") ? 0.2 : 0.6;
const dir = mkdtempSync(join(tmpdir(), "alcove-bench-"));

const rows: Row[] = [];
try {
  for (const part of [scanning, chunking, hashes, lz4, checksums, codecs]) {
    const found = await part({ seconds, dir, native: join(here, "native") });
    rows.push(...found);
    console.log(table(found).trimEnd());
  }
} finally {
  rmSync(dir, { recursive: true, force: true });
}

if (!process.argv.includes("--no-json")) {
  mkdirSync(join(here, "results"), { recursive: true });
  const file = join(here, "results", `kernels-${runtime}.json`);
  const report = {
    runtime,
    cpu: cpus()[0]?.model,
    cpus: cpus().length,
    date: new Date().toISOString(),
    unit: "bytes/s",
    rows,
  };
  writeFileSync(file, `${JSON.stringify(report, null, 1)}\n`);
  console.log(`\n${file}`);
}
