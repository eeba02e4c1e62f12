// Splits a command line into words as a POSIX shell does, without expanding anything: BORG_PASSCOMMAND is run
// directly, and Python's shlex.split is what Borg users write it for.

/** @throws Error for an unfinished quotation or escape */
export function shellWords(text: string): string[] {
  const words: string[] = [];
  let word: string | undefined;
  let i = 0;
  while (i < text.length) {
    const c = text[i++]!;
    if (c === " " || c === "\t" || c === "\n" || c === "\r") {
      if (word !== undefined) words.push(word);
      word = undefined;
    } else if (c === "'") {
      const end = text.indexOf("'", i);
      if (end < 0) throw new Error("no closing quotation");
      word = (word ?? "") + text.slice(i, end);
      i = end + 1;
    } else if (c === '"') {
      word ??= "";
      for (;;) {
        const d = text[i++];
        if (d === undefined) throw new Error("no closing quotation");
        if (d === '"') break;
        if (d === "\\" && (text[i] === '"' || text[i] === "\\")) word += text[i++];
        else word += d;
      }
    } else if (c === "\\") {
      if (i >= text.length) throw new Error("no escaped character");
      word = (word ?? "") + text[i++];
    } else word = (word ?? "") + c;
  }
  if (word !== undefined) words.push(word);
  return words;
}
