// Words of a shell command line as Python's shlex has them: splitting what BORG_RSH, BORG_PASSCOMMAND and
// BORG_REMOTE_PATH hold, and quoting the command line that an archive remembers.
import { ArgumentError } from "../errors.ts";

/** A word as a POSIX shell takes it literally. */
export function shellQuote(word: string): string {
  if (word === "") return "''";
  return /^[A-Za-z0-9_@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'"'"'`)}'`;
}

/** Splits like shlex.split: quotes and backslashes are honoured, nothing is expanded. @throws ArgumentError */
export function shellSplit(text: string): string[] {
  const words: string[] = [];
  let word: string | undefined;
  for (let i = 0; i < text.length; i++) {
    const c = text[i]!;
    if (c === " " || c === "\t" || c === "\n" || c === "\r") {
      if (word !== undefined) words.push(word);
      word = undefined;
    } else if (c === "\\") {
      if (++i === text.length) throw new ArgumentError(`a backslash ends the command: ${text}`);
      word = (word ?? "") + text[i];
    } else if (c === "'" || c === '"') {
      word ??= "";
      for (i++; text[i] !== c; i++) {
        if (i >= text.length) throw new ArgumentError(`a quotation mark is not closed: ${text}`);
        // Within double quotes a backslash protects only a quote or another backslash.
        if (c === '"' && text[i] === "\\" && (text[i + 1] === '"' || text[i + 1] === "\\")) i++;
        word += text[i];
      }
    } else word = (word ?? "") + c;
  }
  if (word !== undefined) words.push(word);
  return words;
}
