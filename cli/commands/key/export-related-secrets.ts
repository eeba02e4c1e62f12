// key export-related-secrets: what a second repository needs to make the same ids and cut points.
import { writeFileSync } from "node:fs";
import { exportRelatedSecrets } from "../../../src/crypto/related.ts";
import type { Args } from "../../args.ts";
import type { Context } from "../../context.ts";
import { withManifest } from "../../repository.ts";

export async function run(args: Args, ctx: Context): Promise<void> {
  await withManifest(ctx, args, { operations: ["read"] }, async ({ key }) => {
    const text = exportRelatedSecrets(key.material);
    const path = args.word("path") ?? "-";
    if (path === "-") ctx.stdout.write(text);
    else writeFileSync(path, text, { mode: 0o600 });
  });
}
