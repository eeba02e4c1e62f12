// benchmark cpu: what this machine's processor does with every primitive, in every implementation that is there.
import { benchmarkCpu } from "../../../src/core/benchmark.ts";
import type { Args } from "../../args.ts";
import type { Context } from "../../context.ts";
import { renderTable } from "../../output/table.ts";

export function run(args: Args, ctx: Context): void {
  const results = benchmarkCpu();
  if (args.flag("json")) {
    ctx.printJson({
      results: results.map((r) => ({
        primitive: r.primitive,
        on: r.on,
        implementation: r.implementation,
        ...(r.variant && { variant: r.variant }),
        mb_per_second: Math.round(r.mbPerSecond * 10) / 10,
        used: r.used,
      })),
    });
    return;
  }
  const columns = [
    { title: "Primitive" },
    { title: "On", flexible: true },
    { title: "Implementation" },
    { title: "MB/s", align: "right" as const },
    { title: "Used" },
  ];
  const rows = results.map((r) => [
    r.primitive,
    r.on,
    r.variant ? `${r.implementation}, ${r.variant}` : r.implementation,
    r.mbPerSecond.toFixed(r.mbPerSecond < 100 ? 1 : 0),
    r.used ? "yes" : "",
  ]);
  ctx.stdout.write(renderTable(columns, rows, ctx.stdout, ctx.env));
}
