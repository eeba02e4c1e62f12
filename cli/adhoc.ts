// --no-cache-sync: a chunks index made of the repository's ids alone. Every object counts as referenced without
// end, so nothing is ever deleted by it; sizes become known as chunks are met. Borg's AdHocCache.
import type { Manifest } from "../src/archive/manifest.ts";
import { MANIFEST_ID } from "../src/archive/manifest.ts";
import type { Cache } from "../src/cache/cache.ts";
import { ChunkIndex } from "../src/cache/chunks.ts";
import { SecurityManager } from "../src/cache/security.ts";
import { MAX_VALUE } from "../src/core/hashindex.ts";
import type { Environment } from "../src/crypto/environment.ts";
import type { Context } from "./context.ts";

const LIMIT = 100_000;

export async function adHocCache(
  manifest: Manifest,
  environment: Environment,
  ctx: Context,
): Promise<Pick<Cache, "chunks" | "files" | "commit" | "beginTxn" | "close">> {
  const { repository } = manifest.objects;
  const security = new SecurityManager(repository, environment);
  const total = await repository.count();
  const chunks = ChunkIndex.withCapacity(Math.ceil(total * 1.1));
  const progress = ctx.percent("cache.download_chunks", "Downloading chunk list");
  let marker: Uint8Array | undefined;
  for (;;) {
    const ids = await repository.list(LIMIT, marker);
    if (ids.length === 0) break;
    for (const id of ids) chunks.index.insert(id, 0, MAX_VALUE, 0, 0);
    marker = ids.at(-1);
    progress.show(chunks.size, total);
  }
  progress.finish();
  const manifestSlot = chunks.index.find(MANIFEST_ID);
  if (manifestSlot >= 0) chunks.index.remove(manifestSlot);
  return {
    chunks,
    files: undefined,
    beginTxn: () => {},
    commit: (m) => security.save(m, manifest.key),
    close: () => {},
  };
}
