// What the comparison with borg cannot show: error texts, refusals that are ours alone, and bounded work.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ArgumentError } from "../../../src/errors.ts";
import {
  buildMatcher,
  loadPatternFile,
  parsePattern,
  parsePatternFileLine,
  pythonRegex,
  type Selection,
} from "../../../src/select/index.ts";

const matches = (pattern: string, path: string) => parsePattern(pattern).test(path, `${path}/`);

describe("patterns", () => {
  it("say what is wrong with them", () => {
    expect(() => parsePattern("xx:y")).toThrow(/unknown pattern style "xx"/);
    expect(() => parsePattern("sh:[z-a]")).toThrow(/wrong way round/);
    expect(() => pythonRegex("(?i:a)b")).toThrow(/flags/);
    expect(() => pythonRegex("(a)?(?(1)b|c)")).toThrow(/conditional/);
    expect(() => pythonRegex("(a")).toThrow(/parenthesis/);
    const into: Selection = { roots: [], patterns: [] };
    expect(() => parsePatternFileLine("?x", into, "sh")).toThrow(/start with/);
    expect(() => loadPatternFile("+\n", into)).toThrow(/follow/);
  });

  it("take no polynomial time for many stars", () => {
    // Naive backtracking would try 4000 to the power of 12 ways here.
    expect(matches(`fm:${"*a".repeat(12)}*b`, "a".repeat(4000))).toBe(false);
    expect(matches(`fm:${"*a".repeat(12)}*b`, `${"a".repeat(4000)}b`)).toBe(true);
  });

  it("either compile or are refused, whatever they are", () => {
    fc.assert(
      fc.property(
        fc.string({ maxLength: 20 }),
        fc.constantFrom("fm:", "sh:", "re:", "pp:", "pf:"),
        (text, style) => {
          try {
            matches(style + text, "some/path.o");
          } catch (error) {
            expect(error).toBeInstanceOf(ArgumentError);
          }
        },
      ),
      { numRuns: 3000 },
    );
  });

  it("pf: patterns come first and are found by look-up", () => {
    const selection: Selection = { roots: [], patterns: [] };
    const lines = Array.from({ length: 10_000 }, (_, i) => `- pf:/d/file${i}`);
    loadPatternFile(`+ sh:**\n${lines.join("\n")}\n`, selection);
    const matcher = buildMatcher(selection.patterns, []);
    expect(matcher.match("/d/file77")).toBe(false);
    expect(matcher.match("d/file10000")).toBe(true);
  });
});
