// debug dump-repo-objs: every object, decrypted, as a file in the current directory; with --ghost everything that the
// segment files hold, deleted and uncommitted entries included.
import { writeFileSync } from "node:fs";
import { MANIFEST_ID } from "../../../src/archive/manifest.ts";
import type { Objects } from "../../../src/archive/objects.ts";
import { IntegrityError } from "../../../src/errors.ts";
import { equalBytes, toHex } from "../../../src/format/bytes.ts";
import { TAG_COMMIT, TAG_DELETE, TAG_PUT } from "../../../src/repository/entry.ts";
import type { LocalRepository } from "../../../src/repository/local.ts";
import { entryData, entryId } from "../../../src/repository/reader.ts";
import type { Args } from "../../args.ts";
import type { Context } from "../../context.ts";
import { objectsFor, scanObjects, withObjects } from "../../objects.ts";
import { closing, openEnvironment, openLocalRepository } from "../../repository.ts";

const tagNames = new Map([
  [TAG_PUT, "put"],
  [TAG_DELETE, "del"],
  [TAG_COMMIT, "commit"],
]);

export async function run(args: Args, ctx: Context): Promise<void> {
  if (args.flag("ghost")) {
    const repository = await openLocalRepository(ctx, args);
    await closing(repository, () => ghosts(args, ctx, repository));
  } else {
    await withObjects(ctx, args, {}, async ({ repository, objects }) => {
      let i = 0;
      for await (const { id, blob } of scanObjects(repository))
        dump(ctx, [number(i++), toHex(id)], plain(objects, id, blob));
    });
  }
  ctx.print("Done.");
}

async function ghosts(args: Args, ctx: Context, repository: LocalRepository): Promise<void> {
  const opened = { repository, environment: await openEnvironment(ctx), location: args.location };
  await repository.prepare();
  let objects: Objects | undefined;
  let i = 0;
  const [only, at] = [args.number("segment"), args.number("offset")];
  for (const segment of repository.segmentNumbers()) {
    if (only !== undefined && segment !== only) continue;
    try {
      for (const entry of repository.segmentEntries(segment, { offset: at ?? 0 })) {
        if (at !== undefined && entry.offset > at) break;
        const name = [
          number(i++),
          String(segment),
          String(entry.offset),
          tagNames.get(entry.tag) ?? String(entry.tag),
        ];
        if (entry.tag === TAG_COMMIT) dump(ctx, name, new Uint8Array(0));
        else if (entry.tag === TAG_DELETE) dump(ctx, [...name, toHex(entryId(entry))], new Uint8Array(0));
        else if (entry.tag === TAG_PUT) {
          const id = entryId(entry);
          const blob = entryData(entry);
          objects ??= await objectsFor(opened, blob);
          dump(ctx, [...name, toHex(id)], plain(objects, id, blob));
        }
      }
    } catch (e) {
      if (!(e instanceof IntegrityError)) throw e;
      // This is for looking at damaged repositories: what can be read of the other segments is wanted too.
      ctx.log.error(`Segment ${segment} is damaged, its rest is left out: ${e.message}`);
    }
  }
}

function plain(objects: Objects, id: Uint8Array, blob: Uint8Array): Uint8Array {
  return equalBytes(id, MANIFEST_ID) ? objects.unpackUnidentified(blob) : objects.unpack(id, blob);
}

const number = (i: number) => String(i).padStart(8, "0");

function dump(ctx: Context, parts: readonly string[], data: Uint8Array): void {
  const name = `${parts.join("_")}.obj`;
  ctx.print(`Dumping ${name}`);
  writeFileSync(name, data);
}
