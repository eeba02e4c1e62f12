// rename: gives an archive a new name.
import { Archive } from "../../src/archive/archive.ts";
import { renameArchive } from "../../src/archive/rewrite.ts";
import type { Args } from "../args.ts";
import { withChanges } from "../changing.ts";
import type { Context } from "../context.ts";
import { withManifest } from "../repository.ts";

export async function run(args: Args, ctx: Context): Promise<void> {
  await withManifest(
    ctx,
    args,
    { exclusive: true, operations: ["check"] },
    async ({ manifest, environment }) => {
      const archive = await Archive.open(manifest, args.location.archive!);
      await withChanges(args, ctx, manifest, environment, async (changing) => {
        await renameArchive(archive, changing.store, args.word("name")!);
        await changing.changed();
        await changing.commit();
      });
    },
  );
}
