// Shell patterns to regular expressions: Borg's own dialect (sh: and archive globs), where "*" and "?" stop at a
// slash and "**/" stands for any number of directories, and Python's fnmatch (fm:), where they do not stop.
import { ArgumentError } from "../errors.ts";
import { literalText, parseShellSet } from "./charclass.ts";

/** Finds the end of a set that starts behind "[" at i; -1 if there is none, and "[" is just itself. */
function setEnd(pattern: string, i: number): number {
  let j = i;
  if (pattern[j] === "!") j++;
  if (pattern[j] === "]") j++;
  return pattern.indexOf("]", j);
}

/** Source of a regular expression (flags "sv", anchored at its start) for a pattern in Borg's shell dialect. */
function shellSource(pattern: string): string {
  let source = "";
  for (let i = 0; i < pattern.length; ) {
    const c = pattern[i++]!;
    if (c === "*") {
      // As in Borg, "**/" only counts where it is not the end of the pattern's last two characters.
      if (i + 1 < pattern.length && pattern[i] === "*" && pattern[i + 1] === "/") {
        source += "(?:[^\\/]*\\/)*";
        i += 2;
      } else source += "[^\\/]*";
    } else if (c === "?") source += "[^\\/]";
    else if (c === "[") {
      const end = setEnd(pattern, i);
      if (end < 0) source += "\\[";
      else {
        const set = parseShellSet(pattern.slice(i, end), "refuse");
        if (!set) throw new ArgumentError(`a range is the wrong way round in the pattern "${pattern}"`);
        source += `[${set.negated ? "^" : ""}${set.members}]`;
        i = end + 1;
      }
    } else source += literalText(c);
  }
  return `^${source}`;
}

/**
 * Regular expression for a whole text in Borg's shell dialect.
 * end: source of what has to follow the pattern, default the end of the text. @throws ArgumentError
 */
export function shellToRegex(pattern: string, end = "$"): RegExp {
  return new RegExp(shellSource(pattern) + end, "sv");
}

/** Regular expression for archive names, as -a / --glob-archives and prune use it; an empty glob is "*". */
export function archiveGlobToRegex(glob: string, end = "$"): RegExp {
  return shellToRegex(glob || "*", end);
}

/** Regular expression for a whole text in the dialect of Python's fnmatch. */
export function fnmatchToRegex(pattern: string): RegExp {
  // Fixed pieces, with a "*" between each two.
  const pieces: string[] = [""];
  let starred = false;
  for (let i = 0; i < pattern.length; ) {
    const c = pattern[i++]!;
    let piece: string;
    if (c === "*") {
      if (!starred) pieces.push("");
      starred = true;
      continue;
    }
    starred = false;
    if (c === "?") piece = ".";
    else if (c === "[") {
      const end = setEnd(pattern, i);
      if (end < 0) piece = "\\[";
      else {
        const { members, negated } = parseShellSet(pattern.slice(i, end), "drop")!;
        if (members === "") piece = negated ? "." : "(?!)";
        else piece = `[${negated ? "^" : ""}${members}]`;
        i = end + 1;
      }
    } else piece = literalText(c);
    pieces[pieces.length - 1] += piece;
  }
  let source = `^${pieces[0]}`;
  for (let i = 1; i < pieces.length; i++) {
    if (i === pieces.length - 1) source += `.*${pieces[i]}`;
    // The first place where a middle piece fits is as good as any, so the choice is made final (an atomic group,
    // which JavaScript spells with a look-ahead): many stars would cost polynomial time otherwise.
    else source += `(?=(.*?${pieces[i]}))\\${i}`;
  }
  return new RegExp(`${source}$`, "sv");
}
