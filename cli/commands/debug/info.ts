// debug info: what a bug report should say about this system.
import { type as osType, version as osVersion, release } from "node:os";
import { BORG_VERSION } from "../../../src/format/placeholders.ts";
import { hostId } from "../../../src/runtime/hostid.ts";
import { runtime } from "../../../src/runtime/platform.ts";
import type { Args } from "../../args.ts";
import type { Context } from "../../context.ts";

export function run(_args: Args, ctx: Context): void {
  const lines = [
    `Platform: ${osType()} ${release()} ${osVersion()} ${runtime.arch}`,
    `Alcove: ${ctx.program.version}  Borg: ${BORG_VERSION}  Runtime: ${runtime.name} ${runtime.version}  Cores: ${runtime.cores}`,
    `PID: ${process.pid}  CWD: ${process.cwd()}`,
    `Arguments: ${JSON.stringify(process.argv)}`,
    `SSH_ORIGINAL_COMMAND: ${JSON.stringify(ctx.env["SSH_ORIGINAL_COMMAND"] ?? null)}`,
    `Process ID in locks: ${hostId()}.${process.pid}-0`,
  ];
  for (const line of lines) ctx.print(line);
}
