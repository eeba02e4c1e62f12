// --stats cannot be computed in a dry run; for scripts that give both it is no error but a warning (Archiver.run).
import type { Args } from "./args.ts";
import type { Context } from "./context.ts";

export function ignoreDryStats(args: Args, ctx: Context): void {
  if (!args.has("dry-run") || !args.flag("dry-run")) return;
  for (const option of ["stats", "quick-stats"]) {
    if (!args.has(option) || !args.flag(option)) continue;
    ctx.log.warning(`Ignoring --${option}. It is not supported when using --dry-run.`);
    args.override(option, 0);
  }
}
