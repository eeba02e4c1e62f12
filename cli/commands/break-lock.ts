// break-lock: removes the locks of a repository and of its cache, whoever holds them.
import type { Args } from "../args.ts";
import type { Context } from "../context.ts";
import { withRepository } from "../repository.ts";

export async function run(args: Args, ctx: Context): Promise<void> {
  await withRepository(ctx, args, { lock: false }, async ({ repository, environment }) => {
    await repository.breakLock();
    const [{ Lock }, { cacheDirPath }, { join }] = await Promise.all([
      import("../../src/storage/lock.ts"),
      import("../../src/cache/dirs.ts"),
      import("node:path"),
    ]);
    const cache = environment.storage(join(cacheDirPath(ctx.env), repository.idHex));
    new Lock(cache, "lock").break();
  });
}
