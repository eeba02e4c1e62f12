// debug put-obj: stores a file's content, as it is, under an id.
import { readFileSync } from "node:fs";
import type { Args } from "../../args.ts";
import type { Context } from "../../context.ts";
import { objectId } from "../../ids.ts";
import { withRepository } from "../../repository.ts";

export async function run(args: Args, ctx: Context): Promise<void> {
  const hex = args.word("id")!;
  const id = objectId(hex);
  const data = readFileSync(args.word("path")!);
  await withRepository(ctx, args, { exclusive: true }, async ({ repository }) => {
    await repository.put(id, data);
    ctx.print(`object ${hex} put.`);
    await repository.commit({ compact: false });
  });
}
