// key import: brings a saved key back, from a file, from standard input, or typed in from paper.
import { existsSync, readFileSync } from "node:fs";
import { Manifest } from "../../../src/archive/manifest.ts";
import { KeyBackup } from "../../../src/crypto/backup.ts";
import { CommandError } from "../../../src/errors.ts";
import type { Args } from "../../args.ts";
import type { Context } from "../../context.ts";
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
    const backup = new KeyBackup(repository, await Manifest.fetch(repository), environment);
    if (paper) await backup.importPaper(location);
    else await backup.importText(readFileSync(path === "-" ? 0 : path!, "latin1"), path!, location);
  });
}
