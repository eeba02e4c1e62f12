// key import: brings a saved key back, from a file, from standard input, or typed in from paper.
import { existsSync, readFileSync } from "node:fs";
import { CommandError } from "../../../src/errors.ts";
import type { Args } from "../../args.ts";
import type { Context } from "../../context.ts";
import { blobFromExport, storedKeyMode, storeKeyBlob, typeInPaperKey } from "../../keybackup.ts";
import { withRepository } from "../../repository.ts";

export async function run(args: Args, ctx: Context): Promise<void> {
  const path = args.word("path");
  const paper = args.flag("paper");
  if (paper && path !== undefined) throw new CommandError("with --paper import from file is not supported");
  if (!paper && path === undefined) throw new CommandError("expected input file to import key from");
  if (path !== undefined && path !== "-" && !existsSync(path)) {
    throw new CommandError(`input file does not exist: ${path}`);
  }
  await withRepository(ctx, args, { lock: false }, async ({ repository, environment, location }) => {
    await storedKeyMode(repository);
    const blob = paper
      ? await typeInPaperKey(repository.id, {
          line: (prompt) => ctx.prompter.line(prompt),
          say: (text) => ctx.prompter.say(text),
          abort: () => ctx.prompter.yes({ message: "Abort import? [yN]:" }),
        })
      : blobFromExport(readFileSync(path === "-" ? 0 : path!, "latin1"), repository.id, path!);
    if (blob === undefined) ctx.prompter.say("\n - aborted");
    else await storeKeyBlob(repository, environment, location, blob);
  });
}
