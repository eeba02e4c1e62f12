// Which archives --first, --last, --prefix, --glob-archives, --sort-by and --consider-checkpoints mean.
import type { ArchiveInfo, Manifest, SortKey } from "../src/archive/manifest.ts";
import { AlcoveError } from "../src/errors.ts";
import { archiveGlobToRegex } from "../src/select/shell.ts";
import type { Args } from "./args.ts";

/** True if any option that chooses among archives was given. */
export function choosesArchives(args: Args): boolean {
  return ["first", "last", "prefix", "glob-archives"].some((o) => args.has(o) && args.value(o) !== undefined);
}

/** @param considerCheckpoints overrides the option */
export function selectArchives(
  args: Args,
  manifest: Manifest,
  considerCheckpoints = args.has("consider-checkpoints") && args.flag("consider-checkpoints"),
): ArchiveInfo[] {
  if (args.location.archive !== undefined) {
    throw new AlcoveError(
      "The options --first, --last, --prefix, --glob-archives and --consider-checkpoints are for repositories, not for an archive.",
    );
  }
  const prefix = args.has("prefix") ? args.text("prefix") : undefined;
  const glob =
    prefix === undefined
      ? args.has("glob-archives")
        ? args.text("glob-archives")
        : undefined
      : `${prefix}*`;
  const regex = glob === undefined ? undefined : archiveGlobToRegex(glob);
  const first = args.has("first") ? args.number("first") : undefined;
  const last = args.has("last") ? args.number("last") : undefined;
  const sortBy = args.has("sort-by")
    ? (args.value("sort-by") as string | readonly string[] | undefined)
    : undefined;
  return manifest.archives.select({
    ...(regex ? { matches: (name) => regex.test(name) } : {}),
    sortBy: (typeof sortBy === "string" ? sortBy.split(",") : (sortBy ?? ["timestamp"])) as SortKey[],
    considerCheckpoints,
    ...(first === undefined ? {} : { first }),
    ...(last === undefined ? {} : { last }),
  });
}
