// diff: what differs between two archives of a repository.
import { Archive } from "../../src/archive/archive.ts";
import { diffArchives, type ItemDifference } from "../../src/archive/diff.ts";
import type { Item } from "../../src/archive/item.ts";
import { itemSize } from "../../src/archive/item-size.ts";
import { IncludePatternNeverMatched } from "../../src/errors.ts";
import type { Args } from "../args.ts";
import type { Context } from "../context.ts";
import { replaceSurrogates } from "../output/stream.ts";
import { archiveMatcher } from "../patterns.ts";
import { withManifest } from "../repository.ts";

export async function run(args: Args, ctx: Context): Promise<void> {
  await withManifest(ctx, args, { operations: ["read"] }, async ({ manifest }) => {
    const first = await Archive.open(manifest, args.location.archive!);
    const second = await Archive.open(manifest, args.word("archive2")!);
    const matcher = archiveMatcher(args);
    const differences = diffArchives(first, second, {
      matches: (path) => matcher.match(path) === true,
      comparableChunks: comparable(args, ctx, first, second),
      contentOnly: args.flag("content-only"),
      numericIds: args.flag("numeric-ids"),
      parts: args.flag("consider-part-files"),
      onWarning: (message) => ctx.warning(message),
      signal: ctx.signal,
    });
    const fields = args.text("sort-by") ?? (args.flag("sort") ? "path" : undefined);
    if (fields === undefined) for await (const d of differences) show(args, ctx, d);
    else {
      const all: ItemDifference[] = [];
      for await (const d of differences) all.push(d);
      for (const field of fields.split(",").reverse()) sortBy(all, field);
      for (const d of all) show(args, ctx, d);
    }
    for (const pattern of matcher.unmatchedIncludePatterns())
      ctx.warn(new IncludePatternNeverMatched(pattern));
  });
}

/** Whether equal contents have equal chunks in both archives; warns if they have to be read. */
function comparable(args: Args, ctx: Context, first: Archive, second: Archive): boolean {
  if (args.flag("same-chunker-params")) return true;
  const [a, b] = [first.metadata.chunkerParams, second.metadata.chunkerParams];
  if (!a || !b) {
    ctx.log.warning(
      "--chunker-params might be different between archives, diff will be slow.\nIf you know for certain that they are the same, pass --same-chunker-params to override this check.",
    );
    return false;
  }
  if (a.length === b.length && a.every((v, i) => v === b[i])) return true;
  ctx.log.warning("--chunker-params are different between archives, diff will be slow.");
  return false;
}

function show(args: Args, ctx: Context, d: ItemDifference): void {
  const path = replaceSurrogates(d.path);
  if (args.flag("json-lines")) ctx.printJsonLine({ path, changes: d.changes.map((c) => c.json) });
  else
    ctx.print(
      `${d.changes
        .map((c) => c.text)
        .join(" ")
        .padEnd(19)} ${path}`,
    );
}

type Key = string | number | bigint;

/** Stable, so that sorting by the fields from the last to the first sorts by all of them. */
function sortBy(all: ItemDifference[], spec: string): void {
  const descending = spec.startsWith(">");
  const field = spec.replace(/^[<>]/, "");
  const keys = new Map(all.map((d) => [d, keyOf(field, d)] as const));
  all.sort((a, b) => {
    const [x, y] = [keys.get(a)!, keys.get(b)!];
    const order =
      typeof x === "string" && typeof y === "string" ? byCodePoint(x, y) : x < y ? -1 : x > y ? 1 : 0;
    return descending ? -order : order;
  });
}

function byCodePoint(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}

function keyOf(field: string, d: ItemDifference): Key {
  const { before, after } = d;
  // The state in the second archive, as far as there is one.
  const current = after;
  switch (field) {
    case "size_added":
      return added(d);
    case "size_removed":
      return removed(d);
    case "size_diff":
      return added(d) - removed(d);
    case "size":
      return after.deleted ? 0 : itemSize(after as Item);
    case "ctime_diff":
      return (after.ctime ?? 0n) - (before.ctime ?? 0n);
    case "mtime_diff":
      return (after.mtime ?? 0n) - (before.mtime ?? 0n);
    case "user":
    case "group":
      return current[field] ?? "";
    case "uid":
    case "gid":
      return current[field] ?? -1;
    case "ctime":
    case "mtime":
      return current[field] ?? 0n;
    default:
      return replaceSurrogates(d.path);
  }
}

function sum(d: ItemDifference, kind: "added" | "removed"): number {
  let n = 0;
  for (const { json } of d.changes) {
    if (json.type === "modified") n += Number(json[kind] ?? 0);
    else if (json.type.startsWith(kind)) n += Number(json["size"] ?? 0);
  }
  return n;
}
const added = (d: ItemDifference) => sum(d, "added");
const removed = (d: ItemDifference) => sum(d, "removed");
