// Python's repr() and ascii() of a string, for the !r and !a conversions and for messages that show names.

/** What Python's str.isprintable calls not printable: control, format, unassigned, private and separators but the space. */
const UNPRINTABLE = /^[\p{C}\p{Z}]$/u;

/** 'text' with escapes; with asciiOnly everything beyond ASCII is escaped too. */
export function pyRepr(text: string, asciiOnly = false): string {
  const quote = text.includes("'") && !text.includes('"') ? '"' : "'";
  let out = "";
  for (const c of text) {
    const code = c.codePointAt(0)!;
    if (c === quote || c === "\\") out += `\\${c}`;
    else if (c === "\n") out += "\\n";
    else if (c === "\r") out += "\\r";
    else if (c === "\t") out += "\\t";
    else if (c === " " || (code > 0x20 && code < 0x7f)) out += c;
    else if (code < 0x80 || asciiOnly || UNPRINTABLE.test(c)) out += escaped(code);
    else out += c;
  }
  return quote + out + quote;
}

function escaped(code: number): string {
  const hex = code.toString(16);
  if (code < 0x100) return `\\x${hex.padStart(2, "0")}`;
  return code < 0x10000 ? `\\u${hex.padStart(4, "0")}` : `\\U${hex.padStart(8, "0")}`;
}
