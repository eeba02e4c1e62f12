// benchmark crud: create, read (extract), update (unchanged create) and delete of test files, in MB/s. The lines are
// those of Borg's benchmark: C-Z-BIG and so on, Z for zeros, R for random data.
import { randomBytes } from "node:crypto";
import { closeSync, existsSync, fsyncSync, mkdirSync, openSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";
import { AlcoveError } from "../../../src/errors.ts";
import { formatFileSize } from "../../../src/format/sizes.ts";
import type { Args } from "../../args.ts";
import type { Context } from "../../context.ts";

interface Sample {
  name: string;
  count: number;
  size: number;
  random: boolean;
}

const samples: readonly Sample[] = [
  { name: "Z-BIG", count: 10, size: 100_000_000, random: false },
  { name: "R-BIG", count: 10, size: 100_000_000, random: true },
  { name: "Z-MEDIUM", count: 1000, size: 1_000_000, random: false },
  { name: "R-MEDIUM", count: 1000, size: 1_000_000, random: true },
  { name: "Z-SMALL", count: 10_000, size: 10_000, random: false },
  { name: "R-SMALL", count: 10_000, size: 10_000, random: true },
];
/** With the variable that Borg's own tests set. */
const testSamples: readonly Sample[] = [
  { name: "Z-TEST", count: 1, size: 1, random: false },
  { name: "R-TEST", count: 1, size: 1, random: true },
];

const ARCHIVE = "borg-benchmark-crud";

export async function run(args: Args, ctx: Context): Promise<void> {
  for (const sample of ctx.env["_BORG_BENCHMARK_CRUD_TEST"] === undefined ? samples : testSamples) {
    const dir = join(args.word("path")!, "borg-test-data");
    if (existsSync(dir)) throw new AlcoveError(`${dir} is there already: remove it first.`);
    try {
      writeFiles(dir, sample, ctx);
      const seconds = await measure(args, ctx, dir);
      const megabytes = (sample.count * sample.size) / 1e6;
      const content = sample.random ? "random" : "all-zero";
      for (const [letter, dt] of Object.entries(seconds)) {
        const rate = (megabytes / dt).toFixed(2).padStart(9);
        const what = `(${sample.count} * ${formatFileSize(sample.size)} ${content} files: ${dt.toFixed(2)}s)`;
        ctx.print(`${letter}-${sample.name.padEnd(10)} ${rate} MB/s ${what}`);
      }
    } finally {
      rmSync(dir, { recursive: true, force: true });
    }
  }
}

function writeFiles(dir: string, { count, size, random }: Sample, ctx: Context): void {
  mkdirSync(dir, { recursive: true });
  const piece = Math.min(size, 1 << 20);
  const zeros = new Uint8Array(piece);
  for (let i = 0; i < count; i++) {
    ctx.checkSignal();
    const fd = openSync(join(dir, `file_${i}`), "w");
    for (let left = size; left > 0; left -= piece) {
      const bytes = random ? randomBytes(Math.min(piece, left)) : zeros.subarray(0, Math.min(piece, left));
      writeSync(fd, bytes);
    }
    fsyncSync(fd);
    closeSync(fd);
  }
}

/** Seconds of create, extract, update and delete. */
async function measure(
  args: Args,
  ctx: Context,
  path: string,
): Promise<Record<"C" | "R" | "U" | "D", number>> {
  const archive = (n: number) => `${args.location.canonicalPath()}::${ARCHIVE}${n}`;
  const inherited = ["rsh", "remote-path"].flatMap((o) =>
    args.text(o) === undefined ? [] : [`--${o}`, args.text(o)!],
  );
  const timed = async (...argv: string[]): Promise<number> => {
    const start = performance.now();
    const code = await ctx.run([argv[0]!, ...inherited, ...argv.slice(1)]);
    if (code !== 0) throw new AlcoveError(`benchmark: ${argv[0]} ended with exit code ${code}`);
    return (performance.now() - start) / 1000;
  };
  const none = "--compression=none";
  // Without the files cache, so that everything is read and chunked.
  const C = await timed("create", none, "--files-cache=disabled", archive(1), path);
  await timed("create", none, archive(2), path);
  await timed("delete", archive(2));
  const U = await timed("create", none, archive(3), path);
  await timed("delete", archive(3));
  const R = await timed("extract", "--dry-run", archive(1));
  // The last archive with this data.
  const D = await timed("delete", archive(1));
  return { C, R, U, D };
}
