// From the pattern options of a command line to a matcher, in the order they were given.
import { readFileSync } from "node:fs";
import { CommandError, describeSystemError } from "../src/errors.ts";
import { fsDecode } from "../src/format/bytes.ts";
import {
  buildMatcher,
  loadExcludeFile,
  loadPatternFile,
  PatternMatcher,
  parseExcludePattern,
  parsePatternFileLine,
  type Selection,
} from "../src/select/index.ts";
import type { Args } from "./args.ts";

/** Patterns and roots of the command line. @throws ArgumentError, CommandError for a file that cannot be read */
export function selection(args: Args): Selection {
  const into: Selection = { patterns: [], roots: [] };
  for (const { kind, value } of args.patternOps) {
    switch (kind) {
      case "exclude":
        into.patterns.push(parseExcludePattern(value));
        break;
      case "pattern":
        parsePatternFileLine(value, into, "sh");
        break;
      case "exclude-from":
        loadExcludeFile(text(value), into);
        break;
      case "patterns-from":
        loadPatternFile(text(value), into);
    }
  }
  return into;
}

/** For create: everything is included that no pattern excludes. */
export function createMatcher(args: Args): { matcher: PatternMatcher; roots: readonly string[] } {
  const { patterns, roots } = selection(args);
  const matcher = new PatternMatcher(true);
  matcher.addInclExcl(patterns);
  return { matcher, roots };
}

/** For commands that read archives: the paths given are include patterns. */
export function archiveMatcher(args: Args): PatternMatcher {
  const { patterns, roots } = selection(args);
  return buildMatcher(patterns, [...roots, ...args.paths]);
}

function text(path: string): string {
  try {
    return fsDecode(readFileSync(path === "-" ? 0 : path));
  } catch (e) {
    throw new CommandError(`${path}: ${describeSystemError(e as NodeJS.ErrnoException)}`);
  }
}
