// key change-passphrase: protects the key with a new passphrase.
import { CommandError } from "../../../src/errors.ts";
import type { Args } from "../../args.ts";
import type { Context } from "../../context.ts";
import { withManifest } from "../../repository.ts";

export async function run(args: Args, ctx: Context): Promise<void> {
  await withManifest(ctx, args, { operations: ["check"] }, async ({ key }) => {
    if (key.info.storage === "none") {
      const why = "This repository is not encrypted, cannot change the passphrase.";
      // Front ends look for the sentence on stdout, where Borg up to 1.2 wrote it.
      ctx.print(why);
      throw new CommandError(why);
    }
    await key.changePassphrase();
    ctx.log.info("Key updated");
    if (key.target !== undefined) ctx.log.info(`Key location: ${key.target}`);
  });
}
