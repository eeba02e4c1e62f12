// Colours and weights of text on a terminal: none where output is piped, where NO_COLOR is set (no-color.org), or
// where the terminal is dumb.
import type { OutStream } from "./stream.ts";

export interface Style {
  bold(text: string): string;
  dim(text: string): string;
  heading(text: string): string;
  good(text: string): string;
  bad(text: string): string;
}

const plain: Style = {
  bold: (t) => t,
  dim: (t) => t,
  heading: (t) => `${t}:`,
  good: (t) => t,
  bad: (t) => t,
};

const sgr = (open: number, close: number) => (t: string) => `\u001b[${open}m${t}\u001b[${close}m`;

const coloured: Style = {
  bold: sgr(1, 22),
  dim: sgr(2, 22),
  heading: (t) => `${sgr(1, 22)(sgr(36, 39)(t))}:`,
  good: sgr(32, 39),
  bad: sgr(31, 39),
};

export function style(out: OutStream, env: Record<string, string | undefined>): Style {
  const wanted = out.isTTY && !env["NO_COLOR"] && env["TERM"] !== "dumb";
  return wanted ? coloured : plain;
}
