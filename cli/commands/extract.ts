// extract: restores files from an archive into the current directory. Borg's do_extract.
import { writeSync } from "node:fs";
import { Archive } from "../../src/archive/archive.ts";
import { Extractor, extractedSize } from "../../src/archive/extract.ts";
import { IncludePatternNeverMatched } from "../../src/errors.ts";
import type { Args } from "../args.ts";
import type { Context } from "../context.ts";
import { workerCount } from "../identity.ts";
import { replaceSurrogates } from "../output/stream.ts";
import { archiveMatcher } from "../patterns.ts";
import { withManifest } from "../repository.ts";

export async function run(args: Args, ctx: Context): Promise<void> {
  const matcher = archiveMatcher(args);
  await withManifest(ctx, args, { operations: ["read"] }, async ({ manifest }) => {
    const archive = await Archive.open(manifest, args.location.archive!);
    const matches = (path: string): boolean => matcher.match(path) === true;
    const stripComponents = args.number("strip-components") ?? 0;
    const parts = args.flag("consider-part-files");
    const progress = ctx.percent("extract", "Extracting");
    let total = 0;
    let done = 0;
    if (ctx.showProgress) {
      progress.note("Calculating total archive size for the progress indicator");
      total = await extractedSize(archive, { matches, stripComponents, parts });
    }
    const permissions = args.flag("dry-run")
      ? undefined
      : ctx.percent("extract.permissions", "Setting directory permissions");
    await new Extractor(archive, {
      root: process.cwd(),
      matches,
      partial: !matcher.isEmpty,
      stripComponents,
      sparse: args.flag("sparse"),
      dryRun: args.flag("dry-run"),
      parts,
      workers: workerCount(ctx),
      restore: {
        numericIds: args.flag("numeric-ids"),
        flags: !args.flag("noflags"),
        acls: !args.flag("noacls"),
        xattrs: !args.flag("noxattrs"),
      },
      ...(args.flag("stdout") ? { stdout: (data: Uint8Array) => writeAll(1, data) } : {}),
      signal: ctx.signal,
      onItem: (path) => {
        if (args.flag("list")) ctx.log.output("list", replaceSurrogates(path));
      },
      onWarning: (w) => ctx.warn(w),
      onLimits: (sentence) => ctx.warning(sentence),
      onBytes: (bytes, path) => {
        done += bytes;
        progress.show(done, total, [replaceSurrogates(path)]);
      },
      onDirectory: (n, of) => permissions?.show(n, of),
    }).run();
    progress.finish();
    permissions?.finish();
    for (const pattern of matcher.unmatchedIncludePatterns())
      ctx.warn(new IncludePatternNeverMatched(pattern));
  });
}

function writeAll(fd: number, data: Uint8Array): void {
  for (let done = 0; done < data.length; ) {
    try {
      done += writeSync(fd, data, done);
    } catch (e) {
      // A pipe that is full for the moment, where the descriptor does not block.
      if ((e as NodeJS.ErrnoException).code !== "EAGAIN") throw e;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 2);
    }
  }
}
