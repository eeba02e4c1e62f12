// Selecting files and archives by patterns, as Borg does.
export {
  cleanLines,
  type InclExcl,
  loadExcludeFile,
  loadPatternFile,
  type ParsedCommand,
  type PatternCommand,
  parseExcludePattern,
  parseInclExclCommand,
  parsePatternFileLine,
  type Selection,
} from "./commands.ts";
export { buildMatcher, type MatcherSpec, PatternMatcher } from "./matcher.ts";
export {
  createPattern,
  normalizePath,
  type Pattern,
  type PatternStyle,
  parsePattern,
  parseStyle,
} from "./pattern.ts";
export { pythonRegex } from "./pyregex.ts";
export { archiveGlobToRegex, fnmatchToRegex, shellToRegex } from "./shell.ts";
