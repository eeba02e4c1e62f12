// debug refcount-obj: how often objects are referenced, as the chunks cache knows it.
import { openCache } from "../../../src/archive/session.ts";
import type { Args } from "../../args.ts";
import type { Context } from "../../context.ts";
import { parseObjectId } from "../../ids.ts";
import { withManifest } from "../../repository.ts";

export async function run(args: Args, ctx: Context): Promise<void> {
  await withManifest(ctx, args, { exclusive: true, operations: [] }, async ({ manifest, environment }) => {
    const cache = await openCache(manifest, environment, {
      ...(ctx.lockWait >= 0 ? { lockWait: ctx.lockWait } : {}),
      progress: ctx.progressSink({ "cache.sync": "Syncing chunks cache" }),
    });
    try {
      for (const hex of args.words("ids")) {
        const id = parseObjectId(hex);
        const entry = id && cache.chunks.get(id);
        if (!id) ctx.print(`object id ${hex} is invalid.`);
        else if (entry) ctx.print(`object ${hex} has ${entry.refcount} referrers [info from chunks cache].`);
        else ctx.print(`object ${hex} not found [info from chunks cache].`);
      }
    } finally {
      cache.close();
    }
  });
}
