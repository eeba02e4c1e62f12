// version: this program's and, for a repository on another machine, the server's.
import { BORG_VERSION } from "../../src/format/placeholders.ts";
import { formatVersion } from "../../src/remote/version.ts";
import type { Args } from "../args.ts";
import type { Context } from "../context.ts";
import { closing, openRepository } from "../repository.ts";

export async function run(args: Args, ctx: Context): Promise<void> {
  let server = BORG_VERSION;
  if (args.location.isRemote) {
    const { RemoteRepository } = await import("../../src/remote/client.ts");
    const repository = await openRepository(ctx, args, { lock: false });
    server = await closing(repository, async () =>
      repository instanceof RemoteRepository ? formatVersion(repository.serverVersion) : BORG_VERSION,
    );
  }
  ctx.print(`${BORG_VERSION} / ${server}`);
}
