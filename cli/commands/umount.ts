// umount: ends what mount has begun, by the system's own tools, with their exit code.
import { resolve } from "node:path";
import { unmountByHand } from "../../src/mount/mounting.ts";
import type { Args } from "../args.ts";
import type { Context } from "../context.ts";

export async function run(args: Args, ctx: Context): Promise<number> {
  const { code, stderr } = await unmountByHand(resolve(args.word("mountpoint") ?? ""));
  if (stderr) ctx.stderr.write(`${stderr}\n`);
  return code;
}
