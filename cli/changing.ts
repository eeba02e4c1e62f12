// What delete, prune and rename have in common: archives are changed through the chunks cache, and repository and
// cache are committed together, now and then and at the end.

import { ChunkStore } from "../src/archive/chunk-store.ts";
import type { Manifest } from "../src/archive/manifest.ts";
import { openCache } from "../src/archive/session.ts";
import { Statistics } from "../src/archive/stats.ts";
import type { Cache } from "../src/cache/cache.ts";
import type { Environment } from "../src/crypto/environment.ts";
import { DASHES, repositoryTotals, STATS_HEADER, statisticsLine, totalsText } from "./archive-output.ts";
import type { Args } from "./args.ts";
import { beginCache, commitCache } from "./cache-transaction.ts";
import type { Context } from "./context.ts";
import { workerCount } from "./identity.ts";

export interface Changing {
  manifest: Manifest;
  cache: Cache;
  store: ChunkStore;
  /** What was deleted, as negative sizes. */
  stats: Statistics;
  /** After each change: commits if the checkpoint interval has passed. */
  changed(): Promise<void>;
  /** Commits what has not been committed yet. */
  commit(): Promise<void>;
}

/** Works with the cache open; the caller calls commit() at the end. */
export async function withChanges<T>(
  args: Args,
  ctx: Context,
  manifest: Manifest,
  environment: Environment,
  work: (changing: Changing) => Promise<T>,
): Promise<T> {
  const cache = await openCache(manifest, environment, {
    ...(ctx.lockWait >= 0 ? { lockWait: ctx.lockWait } : {}),
    progress: ctx.progressSink({ "cache.sync": "Syncing chunks cache" }),
    workers: workerCount(ctx),
  });
  const withdraw = ctx.onAbruptExit(() => cache.close());
  try {
    const stats = new Statistics();
    const store = new ChunkStore(manifest.objects, cache.chunks.index, stats);
    const interval = (args.has("checkpoint-interval") ? (args.number("checkpoint-interval") ?? 0) : 0) * 1000;
    let last = performance.now();
    let pending = 0;
    const commit = async () => {
      if (pending === 0) return;
      await manifest.write();
      await manifest.objects.repository.commit({
        compact: false,
        saveSpace: args.has("save-space") && args.flag("save-space"),
      });
      commitCache(ctx, cache, manifest);
      pending = 0;
      last = performance.now();
    };
    beginCache(ctx, cache);
    return await work({
      cache,
      manifest,
      store,
      stats,
      commit,
      changed: async () => {
        pending++;
        // Somebody wants us to stop: what was done so far is kept.
        if (ctx.signal.aborted || (interval && performance.now() - last > interval)) await commit();
      },
    });
  } finally {
    withdraw();
    cache.close();
  }
}

/** --stats and --quick-stats of what was deleted. */
export async function deletedStatistics(
  args: Args,
  ctx: Context,
  { cache, manifest, stats }: Changing,
): Promise<void> {
  if (!args.flag("stats") && !args.flag("quick-stats")) return;
  const lines = [DASHES, STATS_HEADER, statisticsLine(ctx, stats, "Deleted data:")];
  if (!args.flag("quick-stats")) lines.push(totalsText(ctx, await repositoryTotals(manifest, cache)));
  ctx.log.output("stats", [...lines, DASHES].join("\n"));
}
