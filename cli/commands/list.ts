// list: the archives of a repository, or the items of an archive. Borg's do_list.
import { Archive } from "../../src/archive/archive.ts";
import { openCache } from "../../src/archive/session.ts";
import { CommandError } from "../../src/errors.ts";
import { fsEncode } from "../../src/format/bytes.ts";
import { ArchiveFormatter } from "../archive-format.ts";
import { basicDocument } from "../archive-output.ts";
import type { Args } from "../args.ts";
import type { Context } from "../context.ts";
import { ItemFormatter } from "../item-format.ts";
import { ItemLines } from "../item-lines.ts";
import type { Json } from "../output/json.ts";
import { forTerminal } from "../output/stream.ts";
import { archiveMatcher } from "../patterns.ts";
import { type OpenedManifest, withManifest } from "../repository.ts";
import { selectArchives } from "../select-archives.ts";

export async function run(args: Args, ctx: Context): Promise<void> {
  if (args.location.archive !== undefined) {
    if (args.flag("json"))
      throw new CommandError("The --json option is only valid for listing archives, not archive contents.");
    await withManifest(ctx, args, { operations: ["read"] }, (opened) => listItems(args, ctx, opened));
  } else {
    if (args.flag("json-lines")) {
      throw new CommandError(
        "The --json-lines option is only valid for listing archive contents, not archives.",
      );
    }
    await withManifest(ctx, args, { operations: ["read"] }, (opened) => listArchives(args, ctx, opened));
  }
}

async function listItems(args: Args, ctx: Context, { manifest, environment }: OpenedManifest): Promise<void> {
  const matcher = archiveMatcher(args);
  const format =
    args.text("format") ??
    (args.flag("short") ? "{path}{NL}" : "{mode} {user:6} {group:6} {size:8} {mtime} {path}{extra}{NL}");
  const archive = await Archive.open(manifest, args.location.archive!);
  const cache = ItemFormatter.needsCache(format)
    ? await openCache(manifest, environment, {
        progress: ctx.progressSink({ "cache.sync": "Syncing chunks cache" }),
      })
    : undefined;
  const withdraw = cache && ctx.onAbruptExit(() => cache.close());
  try {
    const formatter = new ItemFormatter(archive, format, cache?.chunks);
    const json = args.flag("json-lines");
    const everything = matcher.isEmpty;
    const options = { parts: args.flag("consider-part-files"), wanted: formatter.wanted(json) };
    const lines = everything && !json && !ctx.stdout.isTTY ? ItemLines.compile(format, formatter) : undefined;
    if (lines) {
      for await (const decoder of archive.decoders()) {
        ctx.checkSignal();
        ctx.stdout.writeBytes(lines.lines(decoder, options.parts));
      }
      return;
    }
    for await (const batch of archive.itemBatches(options)) {
      ctx.checkSignal();
      let text = "";
      for (const item of batch) {
        if (!everything && matcher.match(item.path) !== true) continue;
        text += json
          ? await formatter.json(item)
          : formatter.immediate
            ? formatter.lineNow(item)
            : await formatter.line(item);
      }
      if (text) ctx.stdout.writeBytes(fsEncode(ctx.stdout.isTTY ? forTerminal(text) : text));
    }
  } finally {
    withdraw?.();
    cache?.close();
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
    ctx.printJson({ ...basicDocument(manifest), archives: data });
    return;
  }
  for (const info of archives) ctx.stdout.writeBytes(fsEncode(await formatter.line(info)));
}
