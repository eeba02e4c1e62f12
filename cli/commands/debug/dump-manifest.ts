// debug dump-manifest: the decoded manifest as JSON.
import { MANIFEST_ID } from "../../../src/archive/manifest.ts";
import { unpack } from "../../../src/format/msgpack.ts";
import type { Args } from "../../args.ts";
import type { Context } from "../../context.ts";
import { dumpable, withOutput } from "../../dump.ts";
import { jsonDocument } from "../../output/json.ts";
import { withManifest } from "../../repository.ts";

export async function run(args: Args, ctx: Context): Promise<void> {
  await withManifest(ctx, args, { operations: [] }, async ({ repository, manifest }) => {
    const data = unpack(manifest.objects.unpackUnidentified(await repository.get(MANIFEST_ID)));
    withOutput(ctx, args.word("path")!, (write) => write(jsonDocument(dumpable(data), { sortKeys: false })));
  });
}
