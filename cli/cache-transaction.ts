// The cache's transactions with Borg's progress messages around them (cache.begin_transaction, cache.commit), which
// front ends show while a large cache is read and written.
import type { Manifest } from "../src/archive/manifest.ts";
import { cacheManifest } from "../src/archive/session.ts";
import type { Cache } from "../src/cache/cache.ts";
import type { Context } from "./context.ts";

type Transactional = Pick<Cache, "beginTxn" | "commit">;

export function beginCache(ctx: Context, cache: Transactional): void {
  const message = ctx.message("cache.begin_transaction");
  message.output("Starting the cache's transaction");
  cache.beginTxn();
  message.finish();
}

/** Commits what was done so far; the next transaction is begun. */
export function commitCache(ctx: Context, cache: Transactional, manifest: Manifest): void {
  const message = ctx.message("cache.commit");
  message.output("Saving the cache");
  cache.commit(cacheManifest(manifest));
  message.finish();
  cache.beginTxn();
}
