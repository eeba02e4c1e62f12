// compact: frees the space of deleted objects; needs no key.
import { MANIFEST_ID } from "../../src/archive/manifest.ts";
import type { Args } from "../args.ts";
import type { Context } from "../context.ts";
import { withRepository } from "../repository.ts";

export async function run(args: Args, ctx: Context): Promise<void> {
  await withRepository(ctx, args, { exclusive: true }, async ({ repository }) => {
    if (args.flag("dry-run")) return;
    // A transaction is needed for a commit, and nothing else is to be written.
    await repository.put(MANIFEST_ID, await repository.get(MANIFEST_ID));
    await repository.commit({
      compact: true,
      threshold: args.number("threshold")! / 100,
      cleanupCommits: args.flag("cleanup-commits"),
      progress: ctx.progressSink({ "repository.compact_segments": "Compacting segments" }),
    });
  });
}
