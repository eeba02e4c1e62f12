// debug dump-hints: the decoded hints file as JSON.
import { fsEncode, toHex } from "../../../src/format/bytes.ts";
import { unpack } from "../../../src/format/msgpack.ts";
import { decodeHints, emptyHints } from "../../../src/repository/hints.ts";
import type { Args } from "../../args.ts";
import type { Context } from "../../context.ts";
import { withOutput } from "../../dump.ts";
import { type Json, jsonDocument } from "../../output/json.ts";
import { closing, openLocalRepository } from "../../repository.ts";

export async function run(args: Args, ctx: Context): Promise<void> {
  const repository = await openLocalRepository(ctx, args, { exclusive: true });
  await closing(repository, async () => {
    // Rebuilds the hints if they are gone.
    await repository.count();
    const transaction = repository.transactionId();
    const bytes = transaction === undefined ? undefined : repository.storage.read(`hints.${transaction}`);
    const hints = bytes === undefined ? emptyHints() : decodeHints(bytes);
    // Borg writes the keys in the order of the file, which a plain object would not keep for numbers, and our index
    // of shadowed objects not for ids.
    const shadow: Record<string, Json> = {};
    const ids = bytes && (unpack(bytes) as Map<string, unknown>).get("shadow_index");
    if (ids instanceof Map) for (const [id, segments] of ids) shadow[toHex(fsEncode(id))] = [...segments];
    const numbers = (map: Map<number, number>) => object([...map].map(([k, v]) => `        "${k}": ${v}`));
    withOutput(ctx, args.word("path")!, (write) => {
      write(
        `{\n    "segments": ${numbers(hints.segments)},\n    "compact": ${numbers(hints.compact)},\n` +
          `    "storage_quota_use": ${hints.quotaUse},\n` +
          `    "shadow_index": ${jsonDocument(shadow, { sortKeys: false }).replaceAll("\n", "\n    ")}\n}`,
      );
    });
  });
}

function object(lines: readonly string[]): string {
  return lines.length ? `{\n${lines.join(",\n")}\n    }` : "{}";
}
