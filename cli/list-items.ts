// The items of an archive, for list. Apart from the list of archives, which needs none of this.
import { Archive } from "../src/archive/archive.ts";
import { openCache } from "../src/archive/session.ts";
import { fsEncode } from "../src/format/bytes.ts";
import type { Args } from "./args.ts";
import type { Context } from "./context.ts";
import { ItemFormatter } from "./item-format.ts";
import { ItemLines } from "./item-lines.ts";
import { forTerminal } from "./output/stream.ts";
import { archiveMatcher } from "./patterns.ts";
import type { OpenedManifest } from "./repository.ts";

export async function listItems(
  args: Args,
  ctx: Context,
  { manifest, environment }: OpenedManifest,
): Promise<void> {
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
