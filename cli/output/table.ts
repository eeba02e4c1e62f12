// Aligned columns for people. On a terminal the widest column is shortened to fit and the header is bold; piped,
// columns are separated by two spaces and nothing is cut.
import type { OutStream } from "./stream.ts";
import { style } from "./style.ts";
import { truncateMiddle, width } from "./text.ts";

export interface Column {
  title: string;
  align?: "left" | "right";
  /** May be shortened to fit the terminal. */
  flexible?: boolean;
}

export function renderTable(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
  out: OutStream,
  env: Record<string, string | undefined>,
): string {
  const s = style(out, env);
  const widths = columns.map((c, i) => Math.max(width(c.title), ...rows.map((r) => width(r[i] ?? ""))));
  const room = out.columns();
  if (out.isTTY && room !== undefined) {
    const total = widths.reduce((a, b) => a + b, 0) + 2 * (columns.length - 1);
    const flexible = columns.findIndex((c) => c.flexible);
    if (total > room && flexible >= 0) widths[flexible] = Math.max(8, widths[flexible]! - (total - room));
  }
  const cell = (text: string, i: number, last: boolean) => {
    const cut = truncateMiddle(text, widths[i]!);
    const pad = " ".repeat(Math.max(0, widths[i]! - width(cut)));
    if (columns[i]!.align === "right") return pad + cut;
    return last ? cut : cut + pad;
  };
  const line = (cells: readonly string[]) =>
    cells.map((c, i) => cell(c, i, i === cells.length - 1)).join("  ");
  return [s.bold(line(columns.map((c) => c.title))), ...rows.map(line)].map((l) => `${l}\n`).join("");
}
