// The options that select files: --exclude, --exclude-from, --pattern and --patterns-from, whose lines are
// commands: "R path" a root, "P style" the default style, "+", "-" and "!" include, exclude, exclude and do not
// descend. Order matters: the first pattern that matches decides.
import { ArgumentError } from "../errors.ts";
import { type Pattern, type PatternStyle, parsePattern, parseStyle } from "./pattern.ts";

export type PatternCommand = "include" | "exclude" | "excludeNoRecurse";

/** One pattern with what it does. */
export interface InclExcl {
  readonly pattern: Pattern;
  readonly command: PatternCommand;
}

export type ParsedCommand =
  | InclExcl
  | { readonly command: "root"; readonly path: string }
  | { readonly command: "style"; readonly style: PatternStyle };

/** What the selecting options of one command line add up to. */
export interface Selection {
  roots: string[];
  patterns: InclExcl[];
}

const COMMANDS: Record<string, ParsedCommand["command"]> = {
  "-": "exclude",
  "!": "excludeNoRecurse",
  "+": "include",
  R: "root",
  r: "root",
  P: "style",
  p: "style",
};

/** A value of --exclude or a line of an exclude file: a pattern that also stops the descent. @throws ArgumentError */
export function parseExcludePattern(text: string, fallback: PatternStyle = "fm"): InclExcl {
  return { pattern: parsePattern(text, fallback, false), command: "excludeNoRecurse" };
}

/** A value of --pattern or a line of a patterns file. @throws ArgumentError */
export function parseInclExclCommand(line: string, fallback: PatternStyle = "sh"): ParsedCommand {
  if (line === "") throw new ArgumentError("a pattern must not be empty");
  const command = COMMANDS[line[0]!];
  if (!command) {
    throw new ArgumentError(
      `"${line}": a pattern has to start with one of ${Object.keys(COMMANDS).join(" ")}`,
    );
  }
  const value = strip(line.slice(1)).start;
  if (value === "") throw new ArgumentError(`"${line}": something has to follow behind "${line[0]}"`);
  if (command === "root") return { command, path: value };
  if (command === "style") return { command, style: parseStyle(value) };
  return { command, pattern: parsePattern(value, fallback, command !== "excludeNoRecurse") };
}

/** Adds what a line says to the selection; gives the default style for the lines that follow. @throws ArgumentError */
export function parsePatternFileLine(line: string, into: Selection, fallback: PatternStyle): PatternStyle {
  const parsed = parseInclExclCommand(line, fallback);
  if (parsed.command === "root") into.roots.push(parsed.path);
  else if (parsed.command === "style") return parsed.style;
  else into.patterns.push(parsed);
  return fallback;
}

/** Adds a patterns file's contents. @throws ArgumentError naming the line */
export function loadPatternFile(text: string, into: Selection, fallback: PatternStyle = "sh"): void {
  for (const line of cleanLines(text)) fallback = parsePatternFileLine(line, into, fallback);
}

/** Adds an exclude file's contents. @throws ArgumentError */
export function loadExcludeFile(text: string, into: Selection): void {
  for (const line of cleanLines(text)) into.patterns.push(parseExcludePattern(line));
}

/** Lines without surrounding white space; empty lines and comments (#) are left out. */
export function* cleanLines(text: string): Generator<string> {
  for (const line of text.split(/\r\n|\r|\n/)) {
    const clean = strip(line).both;
    if (clean !== "" && !clean.startsWith("#")) yield clean;
  }
}

// White space as Python's str.strip has it, which counts the separators U+001C to U+001F.
const START = /^[\s\x1c-\x1f\x85]+/;
const END = /[\s\x1c-\x1f\x85]+$/;

function strip(text: string): { start: string; both: string } {
  const start = text.replace(START, "");
  return { start, both: start.replace(END, "") };
}
