// key export: a copy of the key as text, as lines for paper, or as an HTML page with a QR code.
import { statSync, writeFileSync } from "node:fs";
import { Manifest } from "../../../src/archive/manifest.ts";
import { KeyBackup } from "../../../src/crypto/backup.ts";
import { CommandError } from "../../../src/errors.ts";
import type { Args } from "../../args.ts";
import type { Context } from "../../context.ts";
import { withRepository } from "../../repository.ts";

export async function run(args: Args, ctx: Context): Promise<void> {
  await withRepository(ctx, args, { lock: false }, async ({ repository, environment }) => {
    const backup = new KeyBackup(repository, await Manifest.fetch(repository), environment);
    const text = args.flag("paper")
      ? await backup.paper()
      : args.flag("qr-html")
        ? await backup.html()
        : await backup.text();
    const path = args.word("path") ?? "-";
    if (path === "-") ctx.stdout.write(text);
    else if (statSync(path, { throwIfNoEntry: false })?.isDirectory()) {
      throw new CommandError(`'${path}' must be a file, not a directory`);
    } else {
      // Readable by its owner only: the passphrase may be weak.
      writeFileSync(path, text, { mode: 0o600 });
    }
  });
}
