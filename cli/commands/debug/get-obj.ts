// debug get-obj: copies one object, as it is stored, to a file.
import { writeFileSync } from "node:fs";
import { AlcoveError, ObjectNotFound } from "../../../src/errors.ts";
import type { Args } from "../../args.ts";
import type { Context } from "../../context.ts";
import { objectId } from "../../ids.ts";
import { withRepository } from "../../repository.ts";

export async function run(args: Args, ctx: Context): Promise<void> {
  const hex = args.word("id")!;
  const id = objectId(hex);
  await withRepository(ctx, args, {}, async ({ repository }) => {
    try {
      writeFileSync(args.word("path")!, await repository.get(id));
    } catch (e) {
      if (e instanceof ObjectNotFound) throw new AlcoveError(`object ${hex} not found.`, "RTError");
      throw e;
    }
    ctx.print(`object ${hex} fetched.`);
  });
}
