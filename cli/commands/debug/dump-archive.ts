// debug dump-archive: an archive's manifest entry, metadata and items as one JSON document, written as it is read.
import { ArchiveDoesNotExist } from "../../../src/errors.ts";
import { Unpacker, unpack } from "../../../src/format/msgpack.ts";
import type { Args } from "../../args.ts";
import type { Context } from "../../context.ts";
import { dumpable, withOutput } from "../../dump.ts";
import { type Json, jsonDocument, jsonString } from "../../output/json.ts";
import { withManifest } from "../../repository.ts";

export async function run(args: Args, ctx: Context): Promise<void> {
  await withManifest(ctx, args, { operations: [] }, async ({ manifest }) => {
    const name = args.location.archive!;
    const entry = manifest.archives.get(name);
    if (!entry) throw new ArchiveDoesNotExist(name);
    const { objects } = manifest;
    const metadata = unpack(await objects.get(entry.id)) as Map<string, unknown>;
    const ids = (metadata.get("items") ?? []) as Uint8Array[];
    await withOutput(ctx, args.word("path")!, async (write) => {
      write(`{\n    "_name": ${jsonString(name)},\n    "_manifest_entry":\n`);
      write(
        indented(
          dumpable(
            new Map<string, unknown>([
              ["id", entry.id],
              ["time", entry.time],
            ]),
          ),
        ),
      );
      write(',\n    "_meta":\n');
      write(indented(dumpable(metadata)));
      write(',\n    "_items": [\n');
      const unpacker = new Unpacker();
      let first = true;
      for (const id of ids) {
        unpacker.feed(await objects.get(id));
        for (const item of unpacker) {
          if (!first) write(",\n");
          first = false;
          write(indented(dumpable(item)));
        }
      }
      write("\n    ]\n}\n");
    });
  });
}

function indented(data: Json): string {
  return jsonDocument(data, { sortKeys: false }).replace(/^/gm, "    ");
}
