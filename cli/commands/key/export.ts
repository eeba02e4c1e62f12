// key export: a copy of the key as text, as lines for paper, or as an HTML page with QR codes.
import { statSync, writeFileSync } from "node:fs";
import { CommandError } from "../../../src/errors.ts";
import type { Args } from "../../args.ts";
import type { Context } from "../../context.ts";
import { keyFileText, loadKeyBlob, paperKey } from "../../keybackup.ts";
import { withRepository } from "../../repository.ts";

export async function run(args: Args, ctx: Context): Promise<void> {
  await withRepository(ctx, args, { lock: false }, async ({ repository, environment }) => {
    const blob = await loadKeyBlob(repository, environment);
    let text: string;
    if (args.flag("paper")) text = paperKey(repository.id, blob);
    else if (args.flag("qr-html")) {
      const { paperPage } = await import("../../paperpage.ts");
      text = paperPage(repository.id, blob, repository.displayPath);
    } else text = keyFileText(repository.id, blob);
    save(ctx, args.word("path") ?? "-", text);
  });
}

function save(ctx: Context, path: string, text: string): void {
  if (path === "-") {
    ctx.stdout.write(text);
    return;
  }
  if (isDirectory(path)) throw new CommandError(`'${path}' must be a file, not a directory`);
  // Readable by its owner only: the passphrase may be weak.
  writeFileSync(path, text, { mode: 0o600 });
}

function isDirectory(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}
