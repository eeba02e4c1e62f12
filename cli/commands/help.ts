// help: the first screen, a command's page, a topic, or the common options.
import type { Args } from "../args.ts";
import type { Context } from "../context.ts";
import { commandHelp, commonHelp, groupHelp, programHelp } from "../help.ts";
import { commandGroups, commands, findCommand } from "../options.ts";
import { style } from "../output/style.ts";
import { topics } from "../topics.ts";
import { UsageError } from "../usage.ts";

export function run(args: Args, ctx: Context): void {
  const topic = args.word("topic");
  const columns = Math.min(100, Math.max(40, ctx.stdout.columns() ?? 80));
  const s = style(ctx.stdout, ctx.env);
  if (topic === undefined) {
    ctx.stdout.write(programHelp(ctx.program, columns, s));
    return;
  }
  const text = topics[topic];
  const command = findCommand(topic);
  if (text !== undefined) ctx.stdout.write(text);
  else if (topic === "common") ctx.stdout.write(commonHelp(columns, s));
  else if (commandGroups.has(topic)) ctx.stdout.write(groupHelp(topic, ctx.program.name, columns, s));
  else if (command) {
    const parts = { usage: !args.flag("epilog-only"), about: !args.flag("usage-only") };
    ctx.stdout.write(commandHelp(command, ctx.program.name, columns, s, parts));
  } else {
    const names = [...new Set(commands.map((c) => c.name.split(" ")[0]))].sort();
    throw new UsageError(
      `No help available on ${topic}.\nTry one of the following:\n` +
        `    Commands: ${names.join(", ")}\n    Topics: ${[...Object.keys(topics), "common"].sort().join(", ")}`,
      args.command,
    );
  }
}
