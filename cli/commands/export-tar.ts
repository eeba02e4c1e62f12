// export-tar: an archive, or parts of it, as a tar stream.
import { Archive } from "../../src/archive/archive.ts";
import { exportedSize, exportTar, type TarExportOptions } from "../../src/archive/tar-export.ts";
import { IncludePatternNeverMatched } from "../../src/errors.ts";
import type { Args } from "../args.ts";
import type { Context } from "../context.ts";
import { replaceSurrogates } from "../output/stream.ts";
import { archiveMatcher } from "../patterns.ts";
import { withManifest } from "../repository.ts";
import { tarFilter, writeThrough } from "../tar-filter.ts";

export async function run(args: Args, ctx: Context): Promise<void> {
  const matcher = archiveMatcher(args);
  const file = args.word("tarfile")!;
  await withManifest(ctx, args, { operations: ["read"] }, async ({ manifest }) => {
    const archive = await Archive.open(manifest, args.location.archive!);
    const progress = ctx.percent("extract", "Processing");
    let done = 0;
    let total = 0;
    const options: TarExportOptions = {
      format: args.text("tar-format") === "PAX" ? "pax" : "gnu",
      matches: (path) => matcher.match(path) === true,
      partial: !matcher.isEmpty,
      stripComponents: args.number("strip-components") ?? 0,
      parts: args.flag("consider-part-files"),
      signal: ctx.signal,
      onItem: (path) => {
        if (args.flag("list")) ctx.log.output("list", replaceSurrogates(path));
      },
      onUnsupported: (path, type) =>
        ctx.warning(`${replaceSurrogates(path)}: unsupported file type ${type.toString(8)} for tar export`),
      onBytes: (bytes, path) => {
        done += bytes;
        progress.show(done, total, [replaceSurrogates(path)]);
      },
    };
    if (ctx.showProgress) {
      progress.note("Calculating size");
      total = await exportedSize(archive, options);
    }
    await writeThrough(ctx, file, tarFilter(args.text("tar-filter")!, file, false), (write) =>
      exportTar(archive, write, options),
    );
    progress.finish();
    for (const pattern of matcher.unmatchedIncludePatterns())
      ctx.warn(new IncludePatternNeverMatched(pattern));
  });
}
