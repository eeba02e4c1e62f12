// key migrate-to-repokey: a repository of the old passphrase mode gets its keys stored in it.
import { Manifest } from "../../../src/archive/manifest.ts";
import { migrateToRepokey } from "../../../src/crypto/keys.ts";
import type { Args } from "../../args.ts";
import type { Context } from "../../context.ts";
import { withRepository } from "../../repository.ts";

export async function run(args: Args, ctx: Context): Promise<void> {
  await withRepository(ctx, args, {}, async ({ repository, environment }) => {
    await migrateToRepokey(repository, await Manifest.fetch(repository), environment);
    ctx.log.info("Key updated");
  });
}
