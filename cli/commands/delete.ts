// delete: archives by name or by filters, or, given a repository alone, all of it.
import { Archive } from "../../src/archive/archive.ts";
import { deleteArchive } from "../../src/archive/delete.ts";
import { Cache } from "../../src/cache/cache.ts";
import { SecurityManager } from "../../src/cache/security.ts";
import { CancelledByUser, CommandError, NoManifestError } from "../../src/errors.ts";
import { archiveLine } from "../archive-line.ts";
import { DASHES } from "../archive-output.ts";
import type { Args } from "../args.ts";
import { deletedStatistics, withChanges } from "../changing.ts";
import type { Context } from "../context.ts";
import { loadManifest, type Opened, type OpenedManifest, withRepository } from "../repository.ts";
import { choosesArchives, selectArchives } from "../select-archives.ts";

export async function run(args: Args, ctx: Context): Promise<void> {
  const explicit = args.location.archive !== undefined || args.words("archives").length > 0;
  const filtered = choosesArchives(args);
  if (explicit && filtered) {
    throw new CommandError("Mixing archive filters and explicitly named archives is not supported.");
  }
  await withRepository(ctx, args, { exclusive: true }, async (opened) => {
    if (!explicit && !filtered) return deleteRepository(args, ctx, opened);
    const loaded = await loadManifest(ctx, args, opened, { operations: ["delete"], secure: false });
    const names = explicit
      ? [...(args.location.archive === undefined ? [] : [args.location.archive]), ...args.words("archives")]
      : selectArchives(args, loaded.manifest, true).map((a) => a.name);
    if (!names.length) return;
    if (args.count("force") >= 2) await dropEntries(args, ctx, loaded, names);
    else await deleteArchives(args, ctx, loaded, names);
  });
}

async function deleteArchives(
  args: Args,
  ctx: Context,
  { manifest, environment }: OpenedManifest,
  names: readonly string[],
): Promise<void> {
  const dryRun = args.flag("dry-run");
  await withChanges(args, ctx, manifest, environment, async (changing) => {
    for (const [i, name] of names.entries()) {
      const place = `(${i + 1}/${names.length})`;
      const info = manifest.archives.get(name);
      if (!info) {
        ctx.warning(`Archive ${name} not found ${place}.`);
        continue;
      }
      if (args.flag("list")) {
        ctx.log.output(
          "list",
          `${dryRun ? "Would delete" : "Deleting"} archive: ${archiveLine(info)} ${place}`,
        );
      }
      if (dryRun) continue;
      const progress = ctx.percent("archive.delete", "Decrementing references");
      const archive = await Archive.open(manifest, name);
      const intact = await deleteArchive(archive, changing.store, {
        stats: changing.stats,
        forced: args.flag("force"),
        parts: args.flag("consider-part-files"),
        progress: (done, total) => progress.show(done, total),
      });
      progress.finish();
      if (!intact) warnDamaged(ctx);
      await changing.changed();
      ctx.checkSignal();
    }
    await changing.commit();
    await deletedStatistics(args, ctx, changing);
  });
}

export function warnDamaged(ctx: Context): void {
  ctx.log.warning("The archive was damaged; it is gone, but some of its space is not free yet.");
  ctx.log.warning("To free it: check --repair");
}

/** --force --force: only the manifest's entries go; check --repair finds what is left over. */
async function dropEntries(
  args: Args,
  ctx: Context,
  { manifest, repository }: OpenedManifest,
  names: readonly string[],
): Promise<void> {
  const dryRun = args.flag("dry-run");
  let deleted = false;
  for (const [i, name] of names.entries()) {
    const info = manifest.archives.get(name);
    const place = `(${i + 1}/${names.length})`;
    if (!info) {
      ctx.warning(`Archive ${name} not found ${place}.`);
      continue;
    }
    deleted = true;
    manifest.archives.delete(name);
    if (args.flag("list")) {
      ctx.log.output("list", `${dryRun ? "Would delete" : "Deleted archive"}: ${archiveLine(info)} ${place}`);
    }
  }
  if (dryRun) ctx.log.info("Finished dry-run.");
  else if (deleted) {
    await manifest.write();
    await repository.commit({ compact: false });
    ctx.log.warning('Done. Run "check --repair" to clean up what is left.');
  } else ctx.log.warning("Aborted.");
}

async function deleteRepository(args: Args, ctx: Context, opened: Opened): Promise<void> {
  const { repository, environment } = opened;
  const dryRun = args.flag("dry-run");
  if (!args.flag("cache-only")) {
    if (!args.flag("force") && !(await confirmed(args, ctx, opened))) throw new CancelledByUser();
    const keepInfo = args.flag("keep-security-info");
    if (dryRun) {
      ctx.log.info("Would delete repository.");
      ctx.log.info(`Would ${keepInfo ? "keep" : "delete"} security info.`);
    } else {
      await repository.destroy();
      ctx.log.info("Repository deleted.");
      if (!keepInfo) SecurityManager.destroy(environment, repository.idHex);
    }
  }
  if (dryRun) ctx.log.info("Would delete cache.");
  else {
    Cache.destroy(environment, repository.idHex);
    ctx.log.info("Cache deleted.");
  }
}

async function confirmed(args: Args, ctx: Context, opened: Opened): Promise<boolean> {
  const { repository } = opened;
  let archives: string[] | undefined;
  try {
    const { manifest } = await loadManifest(ctx, args, opened, { operations: [], secure: false });
    archives = manifest.archives.select({ sortBy: ["timestamp"] }).map(archiveLine);
  } catch (e) {
    if (!(e instanceof NoManifestError)) throw e;
  }
  const lines = [
    archives
      ? `This DELETES the following repository completely, *including* the ${archives.length} archives in it:`
      : "This DELETES the following repository completely, *including* all archives that may be in it:",
    DASHES,
    `Repository ID: ${repository.idHex}`,
    `Location: ${repository.canonicalPath}`,
  ];
  if (args.flag("list")) {
    lines.push("", "Archives:");
    if (!archives) lines.push("The repository has no manifest: nothing is known about its contents.");
    else if (archives.length) lines.push(...archives);
    else lines.push("There are none.");
  }
  lines.push(DASHES, "Type 'YES' if you understand this and want to continue: ");
  return ctx.prompter.yes({
    message: lines.join("\n"),
    falseMessage: "Aborting.",
    invalidMessage: "Invalid answer, aborting.",
    truish: ["YES"],
    retry: false,
    envOverride: "BORG_DELETE_I_KNOW_WHAT_I_AM_DOING",
  });
}
