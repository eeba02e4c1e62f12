// import-tar: a tar stream becomes an archive.
import { ChunkStore } from "../../src/archive/chunk-store.ts";
import { checkArchiveName } from "../../src/archive/manifest.ts";
import { storedParams } from "../../src/archive/recreate.ts";
import { openCache } from "../../src/archive/session.ts";
import { Statistics } from "../../src/archive/stats.ts";
import { importTar } from "../../src/archive/tar-import.ts";
import { ArchiveWriter } from "../../src/archive/writer.ts";
import { parseChunkerParams } from "../../src/chunker/index.ts";
import { archiveDocument, archiveSummary, repositoryTotals } from "../archive-output.ts";
import type { Args } from "../args.ts";
import { beginCache, commitCache } from "../cache-transaction.ts";
import type { Context } from "../context.ts";
import { commandLine, hostAndUser, workerCount } from "../identity.ts";
import { withManifest } from "../repository.ts";
import { readThrough, tarFilter } from "../tar-filter.ts";

export async function run(args: Args, ctx: Context): Promise<void> {
  const name = args.location.archive!;
  checkArchiveName(name);
  const file = args.word("tarfile")!;
  const chunker = parseChunkerParams(args.text("chunker-params")!);
  await withManifest(
    ctx,
    args,
    { exclusive: true, operations: ["write"] },
    async ({ manifest, environment, repository }) => {
      const cache = await openCache(manifest, environment, {
        ...(ctx.lockWait >= 0 ? { lockWait: ctx.lockWait } : {}),
        progress: ctx.progressSink({ "cache.sync": "Syncing chunks cache" }),
        workers: workerCount(ctx),
      });
      try {
        beginCache(ctx, cache);
        const store = new ChunkStore(manifest.objects, cache.chunks.index, new Statistics());
        const writer = new ArchiveWriter({
          manifest,
          store,
          name,
          identity: { cmdline: commandLine(ctx), cwd: process.cwd(), ...hostAndUser(ctx.env) },
          chunkerParams: storedParams(chunker),
          commitCache: async () => {
            commitCache(ctx, cache, manifest);
          },
        });
        const progress = ctx.archiveProgress();
        await importTar(writer, readThrough(ctx, file, tarFilter(args.text("tar-filter")!, file, true)), {
          chunker,
          ignoreZeros: args.flag("ignore-zeros"),
          checkpointInterval: args.number("checkpoint-interval")!,
          signal: ctx.signal,
          onStatus: (status, path) => ctx.fileStatus(status, path),
          onUnsupported: (path, flag) => ctx.warning(`${path}: Unsupported tarinfo type ${flag}`),
          onProgress: (s, path) => {
            if (!progress.due()) return;
            const counts = {
              originalSize: s.osize,
              compressedSize: s.csize,
              deduplicatedSize: s.usize,
              files: s.nfiles,
            };
            progress.show(counts, path);
          },
        });
        progress.finish();
        const timestamp = args.number("timestamp");
        await writer.save({
          comment: args.text("comment") ?? "",
          ...(timestamp === undefined ? {} : { timestamp }),
        });
        const wanted = args.flag("json") || args.flag("stats");
        const shown =
          wanted && !args.flag("quick-stats") ? await repositoryTotals(manifest, cache) : undefined;
        if (args.flag("json")) ctx.printJson(archiveDocument(ctx, manifest, writer, shown));
        else if (args.flag("stats") || args.flag("quick-stats")) {
          ctx.log.output("stats", archiveSummary(ctx, repository, writer, shown));
        }
      } finally {
        cache.close();
      }
    },
  );
}
