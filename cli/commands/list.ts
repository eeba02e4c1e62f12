// list: the archives of a repository, or the items of an archive. Borg's do_list.
import { CommandError } from "../../src/errors.ts";
import { fsEncode } from "../../src/format/bytes.ts";
import { ArchiveFormatter } from "../archive-format.ts";
import type { Args } from "../args.ts";
import type { Context } from "../context.ts";
import type { Json } from "../output/json.ts";
import { forTerminal } from "../output/stream.ts";
import { type OpenedManifest, withManifest } from "../repository.ts";
import { selectArchives } from "../select-archives.ts";

export async function run(args: Args, ctx: Context): Promise<void> {
  if (args.location.archive !== undefined) {
    if (args.flag("json"))
      throw new CommandError("The --json option is only valid for listing archives, not archive contents.");
    await withManifest(ctx, args, { operations: ["read"] }, async (opened) => {
      const { listItems } = await import("../list-items.ts");
      await listItems(args, ctx, opened);
    });
  } else {
    if (args.flag("json-lines")) {
      throw new CommandError(
        "The --json-lines option is only valid for listing archive contents, not archives.",
      );
    }
    await withManifest(ctx, args, { operations: ["read"] }, (opened) => listArchives(args, ctx, opened));
  }
}

async function listArchives(args: Args, ctx: Context, { manifest }: OpenedManifest): Promise<void> {
  const format =
    args.text("format") ?? (args.flag("short") ? "{archive}{NL}" : "{archive:<36} {time} [{id}]{NL}");
  const formatter = new ArchiveFormatter(manifest, format);
  const archives = selectArchives(args, manifest);
  if (args.flag("json")) {
    const data: Json[] = [];
    for (const info of archives) data.push(await formatter.json(info));
    const { basicDocument } = await import("../archive-output.ts");
    ctx.printJson({ ...basicDocument(manifest), archives: data });
    return;
  }
  for (const info of archives) {
    const line = await formatter.line(info);
    ctx.stdout.writeBytes(fsEncode(ctx.stdout.isTTY ? forTerminal(line) : line));
  }
}
