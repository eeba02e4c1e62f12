// prune: deletes the archives that no rule keeps.
import { Archive } from "../../src/archive/archive.ts";
import { deleteArchive } from "../../src/archive/delete.ts";
import type { Manifest } from "../../src/archive/manifest.ts";
import { CHECKPOINT_SUFFIX, isCheckpoint, type PrunePlan, planPrune } from "../../src/archive/prune.ts";
import { CommandError } from "../../src/errors.ts";
import { archiveGlobToRegex } from "../../src/select/index.ts";
import { archiveLine } from "../archive-line.ts";
import type { Args } from "../args.ts";
import { deletedStatistics, withChanges } from "../changing.ts";
import type { Context } from "../context.ts";
import { withManifest } from "../repository.ts";
import { warnDamaged } from "./delete.ts";

const ruleOptions = {
  secondly: "keep-secondly",
  minutely: "keep-minutely",
  hourly: "keep-hourly",
  daily: "keep-daily",
  weekly: "keep-weekly",
  monthly: "keep-monthly",
  quarterly_13weekly: "keep-13weekly",
  quarterly_3monthly: "keep-3monthly",
  yearly: "keep-yearly",
} as const;

export async function run(args: Args, ctx: Context): Promise<void> {
  const within = args.number("keep-within");
  const counts = Object.fromEntries(
    Object.entries(ruleOptions).map(([rule, option]) => [rule, args.number(option)!]),
  );
  if (!within && !Object.values(counts).some((n) => n !== 0)) {
    throw new CommandError(
      'At least one of the "keep-within", "keep-last", "keep-secondly", "keep-minutely", "keep-hourly", "keep-daily", "keep-weekly", "keep-monthly", "keep-13weekly", "keep-3monthly", or "keep-yearly" settings must be specified.',
    );
  }
  await withManifest(
    ctx,
    args,
    { exclusive: true, operations: ["delete"] },
    async ({ manifest, environment }) => {
      const plan = planPrune(matching(args, manifest), { within, counts });
      summary(ctx, manifest, plan);
      const dryRun = args.flag("dry-run");
      if (dryRun) {
        for (const archive of plan.all) list(args, ctx, archive, describe(plan, archive, "Would prune:"));
        return;
      }
      await withChanges(args, ctx, manifest, environment, async (changing) => {
        const progress = ctx.percent("prune", "Pruning archives");
        let n = 0;
        for (const info of plan.all) {
          if (plan.remove.has(info)) {
            progress.show(n, plan.remove.size);
            n++;
          }
          list(args, ctx, info, describe(plan, info, `Pruning archive (${n}/${plan.remove.size}):`));
          if (!plan.remove.has(info)) continue;
          const archive = await Archive.open(manifest, info.name);
          const intact = await deleteArchive(archive, changing.store, {
            stats: changing.stats,
            forced: args.flag("force"),
            parts: args.flag("consider-part-files"),
          });
          if (!intact) warnDamaged(ctx);
          await changing.changed();
          ctx.checkSignal();
        }
        progress.finish();
        await changing.commit();
        await deletedStatistics(args, ctx, changing);
      });
    },
  );
}

/** Archives that the filters choose, their checkpoints with them, newest first. */
function matching(args: Args, manifest: Manifest) {
  const prefix = args.text("prefix");
  const glob = prefix === undefined ? (args.text("glob-archives") ?? "*") : `${prefix}*`;
  const regex = archiveGlobToRegex(glob, CHECKPOINT_SUFFIX);
  return manifest.archives.select({ matches: (name) => regex.test(name), sortBy: ["timestamp"] }).reverse();
}

function summary(ctx: Context, manifest: Manifest, plan: PrunePlan): void {
  const names = [...manifest.archives.values()].map((a) => a.name);
  const checkpoints = names.filter(isCheckpoint).length;
  const prunedCheckpoints = plan.checkpoints.filter((a) => plan.remove.has(a)).length;
  ctx.log.info(
    `Repository contains ${names.length - checkpoints} normal archives and ${checkpoints} checkpoint archives.`,
  );
  ctx.log.info(
    `Applying rules to the matching ${plan.archives.length} archives and ${plan.checkpoints.length} checkpoints...`,
  );
  ctx.log.info(
    `Keeping ${plan.keep.size} archives and ${plan.keepCheckpoints.size} checkpoints, pruning ${plan.remove.size - prunedCheckpoints} archives and ${prunedCheckpoints} checkpoints.`,
  );
}

type Info = PrunePlan["all"][number];

function describe(plan: PrunePlan, archive: Info, removing: string): string {
  if (plan.remove.has(archive)) return removing;
  const reason = plan.keep.get(archive);
  return reason ? `Keeping archive (rule: ${reason.rule} #${reason.number}):` : "Keeping checkpoint archive:";
}

function list(args: Args, ctx: Context, archive: Info, message: string): void {
  if (args.flag("list")) ctx.log.output("list", `${message.padEnd(44)} ${archiveLine(archive)}`);
}
