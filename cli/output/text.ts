// Widths and shortening of text on a terminal: wide (East Asian, emoji) characters take two columns, combining
// marks none.

export function width(text: string): number {
  if (/^[ -~]*$/.test(text)) return text.length;
  let n = 0;
  for (const c of text) n += charWidth(c.codePointAt(0)!);
  return n;
}

function charWidth(c: number): number {
  if (c < 0x20 || (c >= 0x7f && c < 0xa0)) return 0;
  if (c < 0x300) return 1;
  if (/\p{M}/u.test(String.fromCodePoint(c)) || c === 0x200b || c === 0x200d) return 0;
  const wide =
    (c >= 0x1100 && c <= 0x115f) ||
    (c >= 0x2e80 && c <= 0xa4cf && c !== 0x303f) ||
    (c >= 0xac00 && c <= 0xd7a3) ||
    (c >= 0xf900 && c <= 0xfaff) ||
    (c >= 0xfe30 && c <= 0xfe6f) ||
    (c >= 0xff00 && c <= 0xff60) ||
    (c >= 0xffe0 && c <= 0xffe6) ||
    (c >= 0x1f300 && c <= 0x1faff) ||
    (c >= 0x20000 && c <= 0x3fffd);
  return wide ? 2 : 1;
}

/** Text of at most `room` columns, its middle replaced by "..." if it is longer (Borg's ellipsis_truncate). */
export function truncateMiddle(text: string, room: number): string {
  if (width(text) <= room) return text;
  if (room < 3 + 2) return "...".slice(0, room);
  const half = Math.floor((room - 3) / 2);
  return `${take([...text], half).join("")}...${take([...text].reverse(), half)
    .reverse()
    .join("")}`;
}

function take(chars: string[], room: number): string[] {
  const out: string[] = [];
  let used = 0;
  for (const c of chars) {
    used += width(c);
    if (used > room) break;
    out.push(c);
  }
  return out;
}

/** Paragraph broken at spaces into lines of at most `columns`, indented. */
export function wrap(text: string, columns: number, indent = ""): string {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(/\s+/)) {
    if (line && width(indent) + width(line) + 1 + width(word) > columns) {
      lines.push(indent + line);
      line = word;
    } else line = line ? `${line} ${word}` : word;
  }
  if (line) lines.push(indent + line);
  return lines.join("\n");
}
