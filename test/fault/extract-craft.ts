// Archives that no honest create makes: items of any shape, with contents and stored objects as the test wants them.
import { ChunkStore } from "../../src/archive/chunk-store.ts";
import type { ChunkRef, Item } from "../../src/archive/item.ts";
import { cacheManifest, openCache, openManifest } from "../../src/archive/session.ts";
import { Statistics } from "../../src/archive/stats.ts";
import { ArchiveWriter } from "../../src/archive/writer.ts";
import { localEnvironment } from "../../src/cache/dirs.ts";
import { silentPrompter } from "../../src/crypto/environment.ts";
import { LocalRepository } from "../../src/repository/local.ts";

export interface Crafted extends Partial<Item> {
  path: string;
  /** One chunk each. */
  content?: (string | Uint8Array)[];
  /** Changes the chunk list before it is written. */
  tamper?: (chunks: ChunkRef[]) => ChunkRef[];
}

/** Writes an archive into a repository without encryption. Regular files, mode 0644, unless said otherwise. */
export async function craft(
  repository: string,
  name: string,
  items: readonly Crafted[],
  env: Record<string, string | undefined>,
): Promise<void> {
  const environment = localEnvironment(env, { log: () => {}, prompter: silentPrompter(env) });
  const opened = await LocalRepository.open(repository, { exclusive: true });
  try {
    const manifest = await openManifest(opened, environment, { operations: ["write"] });
    const cache = await openCache(manifest, environment);
    cache.beginTxn();
    const store = new ChunkStore(manifest.objects, cache.chunks.index, new Statistics());
    const writer = new ArchiveWriter({
      manifest,
      store,
      name,
      identity: { cmdline: ["craft"], hostname: "h", username: "u", cwd: "/" },
      chunkerParams: ["buzhash", 19, 23, 21, 4095],
      commitCache: async () => {
        cache.commit(cacheManifest(manifest) as { id: Uint8Array; timestamp: string });
        cache.beginTxn();
      },
    });
    for (const { content, tamper, ...item } of items) {
      const chunks: ChunkRef[] = [];
      for (const piece of content ?? []) {
        const bytes = typeof piece === "string" ? new TextEncoder().encode(piece) : piece;
        chunks.push(await store.addData(bytes, store.stats));
      }
      const whole: Item = { mode: 0o100644, uid: 0, gid: 0, mtime: 1_600_000_000_000_000_000n, ...item };
      if (content) whole.chunks = tamper ? tamper(chunks) : chunks;
      await writer.add(whole);
    }
    await writer.save();
    cache.close();
  } finally {
    await opened.close();
  }
}
