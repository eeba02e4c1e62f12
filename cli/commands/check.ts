// check: verifies the repository, then the archives in it.
import { checkArchives } from "../../src/archive/check.ts";
import { JointCheck } from "../../src/archive/check-joint.ts";
import type { Archives, SortKey } from "../../src/archive/manifest.ts";
import { loadCore } from "../../src/core/index.ts";
import { CancelledByUser, CommandError } from "../../src/errors.ts";
import { archiveGlobToRegex } from "../../src/select/index.ts";
import type { Args } from "../args.ts";
import type { Context } from "../context.ts";
import { EXIT_WARNING } from "../exit.ts";
import { workerCount } from "../identity.ts";
import { withRepository } from "../repository.ts";

export async function run(args: Args, ctx: Context): Promise<number | undefined> {
  const repair = args.flag("repair");
  const repositoryOnly = args.flag("repository-only");
  if (repair && !(await confirmed(ctx))) throw new CancelledByUser();
  const filters = ["first", "last", "prefix", "glob-archives"].some((o) => args.given(o));
  if (repositoryOnly && (filters || args.flag("verify-data"))) {
    throw new CommandError(
      "--repository-only contradicts --first, --last, --glob-archives, --prefix and --verify-data arguments.",
    );
  }
  const maxDuration = args.number("max-duration")!;
  if (repair && maxDuration) throw new CommandError("--repair does not allow --max-duration argument.");
  // A partial check verifies checksums only: what it says about the index is not enough to judge archives by.
  if (maxDuration && !repositoryOnly)
    throw new CommandError("--repository-only is required for --max-duration support.");
  return withRepository(ctx, args, { exclusive: true }, async ({ repository, environment }) => {
    const verifyData = args.flag("verify-data");
    const workers = workerCount(ctx);
    const joint = JointCheck.of(repository, {
      core: loadCore(),
      environment,
      verifyData,
      workers,
      signal: ctx.signal,
    });
    if (!args.flag("archives-only")) {
      const good = await repository.check({
        repair,
        saveSpace: args.flag("save-space"),
        maxDuration,
        ...(joint ? { reader: joint } : {}),
        progress: ctx.progressSink({ "repository.check": "Checking segments" }),
        log: (level, message) => ctx.log.log(level, message, { name: "borg.repository" }),
      });
      if (!good) return EXIT_WARNING;
    }
    if (repositoryOnly) return undefined;
    const good = await checkArchives(repository, {
      core: loadCore(),
      environment,
      verifyData,
      workers,
      findings: joint?.findings,
      repair,
      saveSpace: args.flag("save-space"),
      confirmDeletion: (archives) => confirmedDeletion(ctx, archives),
      ...(args.location.archive !== undefined || filters
        ? { select: (a: Archives) => chosen(args, ctx, a) }
        : {}),
      log: (level, message) => ctx.log.log(level, message, { name: "borg.archive" }),
      progress: ctx.progressSink({
        "check.verify_data": "Verifying data",
        "check.rebuild_manifest": "Rebuilding manifest",
        "check.rebuild_refcounts": "Checking archives",
      }),
      signal: ctx.signal,
    });
    return good ? undefined : EXIT_WARNING;
  });
}

function confirmed(ctx: Context): Promise<boolean> {
  return ctx.prompter.yes({
    message:
      "This is a potentially dangerous function: a repair gives up what it cannot save.\nA check without --repair tells what that would be. Make a copy of the repository first.\n\nType 'YES' if you understand this and want to continue: ",
    falseMessage: "Aborting.",
    invalidMessage: "Invalid answer, aborting.",
    truish: ["YES"],
    retry: false,
    envOverride: "BORG_CHECK_I_KNOW_WHAT_I_AM_DOING",
  });
}

/** Archives that could be read, but are not authentic, are given up only by somebody who has seen their names. */
function confirmedDeletion(ctx: Context, archives: readonly string[]): Promise<boolean> {
  return ctx.prompter.yes({
    message: `The repair is about to delete archives whose authentication does not verify:\n  ${archives.join("\n  ")}\nThey may be forged. If you made them with a Borg before 1.2.5, answer anything else and authenticate them\nfirst with: upgrade --archives-tam\n\nType 'YES' to delete them: `,
    falseMessage: "Aborting, nothing was changed in the archives.",
    invalidMessage: "Invalid answer, aborting.",
    truish: ["YES"],
    retry: false,
    envOverride: "BORG_CHECK_I_KNOW_WHAT_I_AM_DOING",
  });
}

/** The archives that the command line chooses; complains about those that are not there. */
function chosen(args: Args, ctx: Context, archives: Archives) {
  const { archive } = args.location;
  if (archive !== undefined) {
    const info = archives.get(archive);
    if (info) return [info];
    ctx.log.error(`Archive '${archive}' not found.`);
    return undefined;
  }
  const prefix = args.text("prefix");
  const glob = prefix === undefined ? args.text("glob-archives") : `${prefix}*`;
  const regex = glob === undefined ? undefined : archiveGlobToRegex(glob);
  const [first, last] = [args.number("first"), args.number("last")];
  const list = archives.select({
    ...(regex ? { matches: (name: string) => regex.test(name) } : {}),
    sortBy: args.text("sort-by")!.split(",") as SortKey[],
    ...(first ? { first } : {}),
    ...(last ? { last } : {}),
  });
  if (glob !== undefined && !list.length)
    ctx.log.warning(`--glob-archives ${glob} does not match any archives`);
  if (first && list.length < first)
    ctx.log.warning(`--first ${first} archives: only found ${list.length} archives`);
  if (last && list.length < last)
    ctx.log.warning(`--last ${last} archives: only found ${list.length} archives`);
  return list;
}
