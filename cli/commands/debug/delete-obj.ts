// debug delete-obj: deletes objects, whether something needs them or not.
import { ObjectNotFound } from "../../../src/errors.ts";
import type { Args } from "../../args.ts";
import type { Context } from "../../context.ts";
import { parseObjectId } from "../../ids.ts";
import { withRepository } from "../../repository.ts";

export async function run(args: Args, ctx: Context): Promise<void> {
  await withRepository(ctx, args, { exclusive: true }, async ({ repository }) => {
    let modified = false;
    for (const hex of args.words("ids")) {
      const id = parseObjectId(hex);
      if (!id) ctx.print(`object id ${hex} is invalid.`);
      else {
        try {
          await repository.delete(id);
          modified = true;
          ctx.print(`object ${hex} deleted.`);
        } catch (e) {
          if (!(e instanceof ObjectNotFound)) throw e;
          ctx.print(`object ${hex} not found.`);
        }
      }
    }
    if (modified) await repository.commit({ compact: false });
    ctx.print("Done.");
  });
}
