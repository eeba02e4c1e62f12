// JSON as Python's json module writes it, since programs compare and humans read Borg's: ASCII only, ", " and
// ": " between parts, indent 4 with sorted keys for whole documents (Borg's json_print), floats that stay floats.

/** A number that is a float in Python: 3 is written as 3.0. */
export class JsonFloat {
  readonly value: number;
  constructor(value: number) {
    this.value = value;
  }
}

export type Json =
  | string
  | number
  | bigint
  | boolean
  | null
  | undefined
  | JsonFloat
  | readonly Json[]
  | { readonly [key: string]: Json };

/** One line, keys in the order given (json.dumps(data)), or sorted. Keys whose value is undefined are left out. */
export function jsonLine(data: Json, options: { sortKeys?: boolean } = {}): string {
  return write(data, options.sortKeys ?? false, undefined, "");
}

/** json.dumps(data, sort_keys=True, indent=4), or with the keys in the order given, or with another indentation:
 *  a number of spaces, a text, or null for one line. */
export function jsonDocument(
  data: Json,
  options: { sortKeys?: boolean; indent?: number | string | null } = {},
): string {
  const { indent = 4 } = options;
  const step = typeof indent === "number" ? " ".repeat(Math.max(0, indent)) : (indent ?? undefined);
  return write(data, options.sortKeys ?? true, step, "");
}

function write(data: Json, sort: boolean, indent: string | undefined, current: string): string {
  if (data === null || data === undefined) return "null";
  if (typeof data === "string") return jsonString(data);
  if (typeof data === "number") return Number.isInteger(data) ? integer(data) : pythonFloat(data);
  if (typeof data === "bigint" || typeof data === "boolean") return String(data);
  if (data instanceof JsonFloat) return pythonFloat(data.value);
  const inner = indent === undefined ? "" : current + indent;
  const [open, comma, close] =
    indent === undefined ? ["", ", ", ""] : [`\n${inner}`, `,\n${inner}`, `\n${current}`];
  if (isArray(data)) {
    if (data.length === 0) return "[]";
    return `[${open}${data.map((v) => write(v, sort, indent, inner)).join(comma)}${close}]`;
  }
  let entries = Object.entries(data).filter(([, v]) => v !== undefined);
  if (entries.length === 0) return "{}";
  if (sort) entries = entries.sort(([a], [b]) => byCodePoint(a, b));
  return `{${open}${entries.map(([k, v]) => `${jsonString(k)}: ${write(v, sort, indent, inner)}`).join(comma)}${close}}`;
}

/** Python orders text by code points, JavaScript by UTF-16 units: they differ above U+FFFF. */
function byCodePoint(a: string, b: string): number {
  for (let i = 0; i < a.length && i < b.length; i++) {
    if (a[i] !== b[i]) return a.codePointAt(i)! - b.codePointAt(i)!;
  }
  return a.length - b.length;
}

function isArray(data: Json): data is readonly Json[] {
  return Array.isArray(data);
}

function integer(n: number): string {
  return Number.isSafeInteger(n) ? String(n) : String(BigInt(n));
}

/** repr() of a Python float: shortest digits, an exponent below 1e-4 and from 1e16 on. */
export function pythonFloat(n: number): string {
  if (Number.isNaN(n)) return "NaN";
  if (!Number.isFinite(n)) return n < 0 ? "-Infinity" : "Infinity";
  if (Object.is(n, -0)) return "-0.0";
  const abs = Math.abs(n);
  if (abs !== 0 && (abs < 1e-4 || abs >= 1e16)) {
    const [mantissa, exponent] = n.toExponential().split("e") as [string, string];
    const sign = exponent[0] === "-" ? "-" : "+";
    return `${mantissa}e${sign}${exponent.slice(1).padStart(2, "0")}`;
  }
  const text = String(n);
  return text.includes(".") ? text : `${text}.0`;
}

const short: Record<string, string> = {
  '"': '\\"',
  "\\": "\\\\",
  "\n": "\\n",
  "\r": "\\r",
  "\t": "\\t",
  "\f": "\\f",
  "\b": "\\b",
};

export function jsonString(text: string): string {
  if (!/[^ !#-[\]-~]/.test(text)) return `"${text}"`;
  return `"${text.replace(/[^ !#-[\]-~]/g, (c) => short[c] ?? `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`)}"`;
}
