// debug id-hash: the id that a file's content would have as one chunk of this repository.
import { readFileSync } from "node:fs";
import { toHex } from "../../../src/format/bytes.ts";
import type { Args } from "../../args.ts";
import type { Context } from "../../context.ts";
import { withManifest } from "../../repository.ts";

export async function run(args: Args, ctx: Context): Promise<void> {
  await withManifest(ctx, args, { operations: [] }, async ({ key }) => {
    ctx.print(toHex(key.idHash(readFileSync(args.word("path")!))));
  });
}
