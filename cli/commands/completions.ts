// completions: scripts for bash, zsh and fish, and the manual page.
import type { Args } from "../args.ts";
import { bashCompletion, fishCompletion, zshCompletion } from "../completions.ts";
import type { Context } from "../context.ts";
import { manPage } from "../manpage.ts";
import { argumentError } from "../usage.ts";

export function run(args: Args, ctx: Context): void {
  const shell = args.word("shell")!;
  const { name } = ctx.program;
  switch (shell) {
    case "bash":
      ctx.stdout.write(bashCompletion(name));
      break;
    case "zsh":
      ctx.stdout.write(zshCompletion(name));
      break;
    case "fish":
      ctx.stdout.write(fishCompletion(name));
      break;
    case "man":
      ctx.stdout.write(manPage(ctx.program));
      break;
    default:
      throw argumentError(
        "SHELL",
        `invalid choice: '${shell}' (choose from 'bash', 'zsh', 'fish', 'man')`,
        args.command,
      );
  }
}
