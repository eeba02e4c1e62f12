// Borg's patterns, one of five styles: fm: (fnmatch), sh: (shell), re: (regular expression), pp: (path prefix)
// and pf: (full path). Paths are relative to the root, without a leading slash, as archives keep them.
import { ArgumentError } from "../errors.ts";
import { normPath, stripLeadingSlashes, stripTrailingSlashes } from "../format/paths.ts";
import { runtime } from "../runtime/platform.ts";
import { pythonRegex } from "./pyregex.ts";
import { fnmatchToRegex, shellToRegex } from "./shell.ts";

export type PatternStyle = "fm" | "sh" | "re" | "pp" | "pf";
const STYLES: readonly PatternStyle[] = ["fm", "sh", "re", "pp", "pf"];

const decomposes = runtime.os === "darwin";

/** macOS's file systems keep names decomposed, so there both sides are compared that way. */
export function normalizePath(path: string): string {
  return decomposes ? path.normalize("NFD") : path;
}

/** A compiled pattern. */
export interface Pattern {
  readonly style: PatternStyle;
  /** As given, without the style's prefix. */
  readonly text: string;
  /** Whether a directory that this pattern excludes is still descended into. */
  readonly recurseDir: boolean;
  /** For pf: the path that it stands for. */
  readonly fullPath: string | undefined;
  /** How often it matched. */
  matchCount: number;
  /** path: normalised, without leading slash; slashed: the same with a slash behind it. */
  test(path: string, slashed: string): boolean;
}

/** A pattern of a style. @throws ArgumentError */
export function createPattern(style: PatternStyle, text: string, recurseDir = false): Pattern {
  const pattern = normalizePath(text);
  const fullPath = style === "pf" ? stripLeadingSlashes(normPath(pattern)) : undefined;
  return { style, text, recurseDir, fullPath, matchCount: 0, test: tester(style, pattern, fullPath) };
}

function tester(style: PatternStyle, pattern: string, fullPath?: string): Pattern["test"] {
  // A directory's pattern covers what is below it: fm: and sh: patterns are extended by what may follow, and a
  // slash is put behind the path. A trailing slash means the contents only.
  const contents = pattern.endsWith("/");
  const normal = normPath(pattern);
  switch (style) {
    case "pf":
      return (path) => path === fullPath;
    case "pp": {
      const prefix = stripLeadingSlashes(`${stripTrailingSlashes(normal)}/`);
      return (_path, slashed) => slashed.startsWith(prefix);
    }
    case "fm": {
      const whole = contents ? `${stripTrailingSlashes(normal)}/*/` : `${normal}/*`;
      const regex = fnmatchToRegex(stripLeadingSlashes(whole));
      return (_path, slashed) => regex.test(slashed);
    }
    case "sh": {
      const whole = contents ? `${stripTrailingSlashes(normal)}/**/*/` : `${normal}/**/*`;
      const regex = shellToRegex(stripLeadingSlashes(whole));
      return (_path, slashed) => regex.test(slashed);
    }
    case "re": {
      const regex = pythonRegex(pattern);
      return (path) => regex.test(path);
    }
  }
}

/** @throws ArgumentError */
export function parseStyle(text: string): PatternStyle {
  const style = STYLES.find((s) => s === text);
  if (!style)
    throw new ArgumentError(`unknown pattern style "${text}": it has to be one of ${STYLES.join(", ")}`);
  return style;
}

/** A pattern with an optional style ("sh:**\/x"); fallback is the style of one without. @throws ArgumentError */
export function parsePattern(text: string, fallback: PatternStyle = "fm", recurseDir = true): Pattern {
  if (text.length > 2 && text[2] === ":" && /^[\p{L}\p{N}]{2}$/u.test(text.slice(0, 2))) {
    return createPattern(parseStyle(text.slice(0, 2)), text.slice(3), recurseDir);
  }
  return createPattern(fallback, text, recurseDir);
}
