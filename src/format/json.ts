// JSON exactly as Python's json.dumps writes it, so that what programs get from Borg they get from us byte for
// byte: keys sorted on demand, indented by four, everything beyond ASCII escaped, floats as their repr.
import { floatRepr } from "./numbers.ts";
import { Float } from "./pack.ts";

export interface JsonOptions {
  /** Spaces or text to indent by; null for one line. Default null. */
  indent?: number | string | null;
  /** Keys in code point order. Default false. */
  sortKeys?: boolean;
}

const SHORT: Record<string, string> = {
  '"': '\\"',
  "\\": "\\\\",
  "\n": "\\n",
  "\r": "\\r",
  "\t": "\\t",
  "\b": "\\b",
  "\f": "\\f",
};

function jsonString(text: string): string {
  // Unit by unit, so that a lone surrogate (an undecodable byte) is written as Python writes it.
  return `"${text.replace(/["\\]|[^ -~]/g, (c) => SHORT[c] ?? `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`)}"`;
}

function jsonFloat(x: number): string {
  if (Number.isNaN(x)) return "NaN";
  if (!Number.isFinite(x)) return x > 0 ? "Infinity" : "-Infinity";
  return floatRepr(x);
}

/**
 * The value as JSON: string, number (an integer without fraction is an int; Float is always a float), bigint,
 * boolean, null, array, Map, plain object, or an object with toJSON(). Undefined properties are left out.
 */
export function jsonDump(value: unknown, options: JsonOptions = {}): string {
  const { indent = null, sortKeys = false } = options;
  const unit =
    indent === null ? undefined : typeof indent === "number" ? " ".repeat(Math.max(0, indent)) : indent;

  const container = (open: string, close: string, items: string[], outer: string): string => {
    if (items.length === 0) return open + close;
    if (unit === undefined) return open + items.join(", ") + close;
    const inner = `\n${outer}${unit}`;
    return `${open}${inner}${items.join(`,${inner}`)}\n${outer}${close}`;
  };

  const dump = (v: unknown, outer: string): string => {
    switch (typeof v) {
      case "string":
        return jsonString(v);
      case "number":
        return Number.isSafeInteger(v) && !Object.is(v, -0) ? String(v) : jsonFloat(v);
      case "bigint":
      case "boolean":
        return String(v);
      case "object": {
        if (v === null) return "null";
        if (v instanceof Float) return jsonFloat(v.value);
        const within = unit === undefined ? "" : outer + unit;
        if (Array.isArray(v)) {
          const items = v.map((item) => dump(item, within));
          return container("[", "]", items, outer);
        }
        if ("toJSON" in v && typeof v.toJSON === "function") return dump(v.toJSON(), outer);
        let entries = (v instanceof Map ? [...v] : Object.entries(v)).filter(
          ([, item]) => item !== undefined,
        );
        if (sortKeys) entries = entries.sort(([a], [b]) => compareText(String(a), String(b)));
        const items = entries.map(([key, item]) => `${jsonString(String(key))}: ${dump(item, within)}`);
        return container("{", "}", items, outer);
      }
      default:
        throw new TypeError(`JSON cannot hold a value of type ${typeof v}`);
    }
  };
  return dump(value, "");
}

/** Order of Python's str: by code points, where JavaScript's is by UTF-16 units. */
export function compareText(a: string, b: string): number {
  const n = Math.min(a.length, b.length);
  for (let i = 0; i < n; i++) {
    const x = a.charCodeAt(i);
    const y = b.charCodeAt(i);
    if (x === y) continue;
    const high = (unit: number) => unit >= 0xd800 && unit <= 0xdfff;
    if (!high(x) && !high(y)) return x - y;
    // Only where surrogates take part do the orders differ, and then the code points of both tell.
    return startOf(a, i) - startOf(b, i);
  }
  return a.length - b.length;
}

/** Code point that unit i belongs to. */
function startOf(text: string, i: number): number {
  const before = i > 0 ? text.codePointAt(i - 1)! : 0;
  return before > 0xffff ? before : text.codePointAt(i)!;
}

/** The indentation that BORG_JSON_INDENT (Borg 1.4) asks for: a number, a text, or "none"; 4 by default. */
export function jsonIndent(env: Record<string, string | undefined>): number | string | null {
  const value = env["BORG_JSON_INDENT"];
  if (value === undefined) return 4;
  if (value.toLowerCase() === "none") return null;
  return /^\s*[+-]?\d+\s*$/.test(value) ? Number(value) : value;
}
