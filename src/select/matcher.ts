// Decides about paths by an ordered list of patterns, as Borg's PatternMatcher does: the first that matches
// counts. Full paths (pf:) are looked up first, whatever their place in the list, so many of them cost nothing.
import { stripLeadingSlashes } from "../format/paths.ts";
import type { InclExcl, PatternCommand } from "./commands.ts";
import { createPattern, normalizePath, type Pattern, type PatternStyle, parsePattern } from "./pattern.ts";

/** A matcher as plain data. */
export interface MatcherSpec {
  fallback: boolean | null;
  items: { style: PatternStyle; text: string; recurseDir: boolean; command: PatternCommand }[];
  fullPaths: [path: string, command: PatternCommand][];
}

export class PatternMatcher {
  private readonly items: InclExcl[] = [];
  private readonly fullPaths = new Map<string, PatternCommand>();
  private includePatterns: Pattern[] = [];

  /** What match() gives where no pattern matches. */
  fallback: boolean | null;
  /** After match(): whether to descend into the path if it is a directory. */
  recurseDir = true;

  constructor(fallback: boolean | null = null) {
    this.fallback = fallback;
  }

  /** What another thread needs to decide the same; paths of addIncludePaths come as the patterns they became. */
  spec(): MatcherSpec {
    return {
      fallback: this.fallback,
      items: this.items.map(({ pattern: { style, text, recurseDir }, command }) => ({
        style,
        text,
        recurseDir,
        command,
      })),
      fullPaths: [...this.fullPaths],
    };
  }

  static fromSpec(spec: MatcherSpec): PatternMatcher {
    const matcher = new PatternMatcher(spec.fallback);
    for (const { style, text, recurseDir, command } of spec.items)
      matcher.items.push({ pattern: createPattern(style, text, recurseDir), command });
    for (const [path, command] of spec.fullPaths) matcher.fullPaths.set(path, command);
    return matcher;
  }

  get isEmpty(): boolean {
    return this.items.length === 0 && this.fullPaths.size === 0;
  }

  add(patterns: Iterable<Pattern>, command: PatternCommand): void {
    for (const pattern of patterns) {
      if (pattern.fullPath !== undefined) this.fullPaths.set(pattern.fullPath, command);
      else this.items.push({ pattern, command });
    }
  }

  /** Patterns from --exclude, --pattern and their files, in order. */
  addInclExcl(patterns: Iterable<InclExcl>): void {
    for (const { pattern, command } of patterns) this.add([pattern], command);
  }

  /**
   * Paths from the command line (style pp: by default): with any, only what they cover is included; with none,
   * everything that is not excluded. @throws ArgumentError
   */
  addIncludePaths(paths: readonly string[]): void {
    this.includePatterns = paths.map((path) => parsePattern(path, "pp"));
    this.add(this.includePatterns, "include");
    this.fallback = this.includePatterns.length === 0;
  }

  /** Paths from the command line that nothing matched, as given; pf: patterns are not counted. */
  unmatchedIncludePatterns(): string[] {
    return this.includePatterns.filter((p) => p.matchCount === 0 && p.style !== "pf").map((p) => p.text);
  }

  /** Whether the path is included: true, false, or the fallback; sets recurseDir. */
  match(path: string): boolean | null {
    if (this.isEmpty) {
      this.recurseDir = true;
      return this.fallback;
    }
    path = stripLeadingSlashes(normalizePath(path));
    if (this.fullPaths.size > 0) {
      const command = this.fullPaths.get(path);
      if (command !== undefined) {
        this.recurseDir = command !== "excludeNoRecurse";
        return command === "include";
      }
    }
    if (this.items.length > 0) {
      const slashed = `${path}/`;
      for (const { pattern, command } of this.items) {
        if (!pattern.test(path, slashed)) continue;
        pattern.matchCount++;
        this.recurseDir = pattern.recurseDir;
        return command === "include";
      }
    }
    this.recurseDir = true;
    return this.fallback;
  }
}

/** The matcher of a command: patterns first, then the paths from the command line. @throws ArgumentError */
export function buildMatcher(patterns: Iterable<InclExcl>, paths: readonly string[]): PatternMatcher {
  const matcher = new PatternMatcher();
  matcher.addInclExcl(patterns);
  matcher.addIncludePaths(paths);
  return matcher;
}
