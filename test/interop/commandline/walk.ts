// One test for each option of a table of behaviours.
import { afterAll, beforeAll, describe, it } from "vitest";
import { type Behaviour, carryOut, type Entries } from "./compare.ts";
import { Lab } from "./lab.ts";

export function walk(entries: Entries): void {
  const lab = new Lab();
  beforeAll(() => lab.start(), 60_000);
  afterAll(() => lab.stop());
  for (const [command, options] of Object.entries(entries)) {
    describe(command || "common options", () => {
      for (const [flag, entry] of Object.entries(options)) {
        it(flag || "itself", async () => {
          if (typeof entry === "function") {
            lab.restore();
            lab.touch();
            await entry(lab);
          } else
            for (const b of Array.isArray(entry) ? entry : [entry])
              await carryOut(lab, command, b as Behaviour);
        }, 60_000);
      }
    });
  }
}
