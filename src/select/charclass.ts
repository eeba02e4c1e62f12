// Sets of characters for regular expressions that are built from shell patterns and from Python's syntax. The
// output is for the flag "v", where nearly every punctuation mark needs an escape within a set.

/** One literal character (code point), safe inside and outside of a set. */
export function literal(char: string): string {
  if (/^[A-Za-z0-9_]$/.test(char)) return char;
  return `\\u{${char.codePointAt(0)!.toString(16)}}`;
}

/** A text of literal characters, for the outside of sets, where only the syntax characters need an escape. */
export function literalText(text: string): string {
  return text.replace(/[\^$\\.*+?()[\]{}|/]/g, "\\$&");
}

/** What a set of a shell pattern means: members ready for [...], or that it matches nothing or anything. */
export interface ShellSet {
  members: string;
  negated: boolean;
}

/**
 * The inside of a shell pattern's [...]: "!" negates, "a-z" is a range, "-" at either end is itself.
 * backwards tells what becomes of a range like "z-a": fnmatch drops it, Borg's sh: patterns are wrong then.
 */
export function parseShellSet(inside: string, backwards: "drop" | "refuse"): ShellSet | undefined {
  const negated = inside.startsWith("!");
  const chars = [...(negated ? inside.slice(1) : inside)];
  let members = "";
  for (let i = 0; i < chars.length; i++) {
    const from = chars[i]!;
    const to = chars[i + 1] === "-" ? chars[i + 2] : undefined;
    if (to === undefined) {
      members += literal(from);
    } else {
      i += 2;
      if (from.codePointAt(0)! <= to.codePointAt(0)!) members += `${literal(from)}-${literal(to)}`;
      else if (backwards === "refuse") return undefined;
    }
  }
  return { members, negated };
}
