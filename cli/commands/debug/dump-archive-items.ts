// debug dump-archive-items: the chunks of an archive's item stream, decrypted, as files in the current directory.
import { writeFileSync } from "node:fs";
import { ArchiveDoesNotExist } from "../../../src/errors.ts";
import { toHex } from "../../../src/format/bytes.ts";
import { unpack } from "../../../src/format/msgpack.ts";
import type { Args } from "../../args.ts";
import type { Context } from "../../context.ts";
import { withManifest } from "../../repository.ts";

export async function run(args: Args, ctx: Context): Promise<void> {
  await withManifest(ctx, args, { operations: [] }, async ({ manifest }) => {
    const entry = manifest.archives.get(args.location.archive!);
    if (!entry) throw new ArchiveDoesNotExist(args.location.archive!);
    const metadata = unpack(await manifest.objects.get(entry.id)) as Map<string, unknown>;
    let i = 0;
    for (const id of (metadata.get("items") ?? []) as Uint8Array[]) {
      const name = `${String(i++).padStart(6, "0")}_${toHex(id)}.items`;
      ctx.print(`Dumping ${name}`);
      writeFileSync(name, await manifest.objects.get(id));
    }
    ctx.print("Done.");
  });
}
