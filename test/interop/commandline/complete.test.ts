// Every command and every option of borg 1.4.5 has a behaviour in the tables beside this file, and no entry is of an
// option that does not exist.
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import type { Entries } from "./compare.ts";
import { common } from "./entries-common.ts";
import { keep } from "./entries-keep.ts";
import { look } from "./entries-look.ts";
import { make } from "./entries-make.ts";

const tables: Entries = { ...look, ...make, ...keep, ...common };
type Argument = { flags?: string[] };
const borg = JSON.parse(
  readFileSync(new URL("../../cli/options-borg-1.4.5.json", import.meta.url), "utf8"),
) as { common: Argument[]; commands: Record<string, Argument[]> };

describe("each option of borg 1.4.5 has a behaviour", () => {
  for (const [command, list] of [["", borg.common] as const, ...Object.entries(borg.commands)]) {
    it(command || "common options", () => {
      const entries = tables[command] ?? {};
      if (command) expect(Object.keys(entries), command).toContain("");
      const flags = list.flatMap((a) => (a.flags ? [a.flags] : []));
      for (const spellings of flags) {
        const found = spellings.filter((f) => f in entries);
        expect(found.length, `${command} ${spellings.join("/")}`).toBe(1);
      }
      const known = new Set(["", ...flags.flat()]);
      for (const flag of Object.keys(entries)) expect(known, `${command} ${flag}`).toContain(flag);
    });
  }
  it("and nothing else is in the tables", () => {
    for (const command of Object.keys(tables)) expect(["", ...Object.keys(borg.commands)]).toContain(command);
    const all = [look, make, keep, common].flatMap((t) => Object.keys(t));
    expect(new Set(all).size).toBe(all.length);
  });
});
