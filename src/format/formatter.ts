// The --format of list, prune, diff and info: Python's str.format over keys that the command offers, plus the
// fixed ones ({NL}, {TAB}, …). A format is compiled once and rendered for each archive or item.
import { InvalidPlaceholder, PlaceholderError } from "../errors.ts";
import {
  type FormatPart,
  FormatSyntaxError,
  type Formattable,
  type FormatValue,
  formatField,
  formatNames,
  parseFormat,
} from "./pyformat.ts";
import { formatFileSize } from "./sizes.ts";

/** Keys that every format knows. */
export const FIXED_KEYS: Readonly<Record<string, string>> = {
  NEWLINE: "\n",
  NL: "\n",
  NUL: "\0",
  SPACE: " ",
  TAB: "\t",
  CR: "\r",
  LF: "\n",
};

export interface CompiledFormat {
  /** Keys that render() will ask for, the fixed ones excluded: a command computes no others. */
  readonly keys: ReadonlySet<string>;
  /** @throws PlaceholderError if a specification does not fit its value */
  render(value: (key: string) => FormatValue): string;
}

/** @throws InvalidPlaceholder for a key that is not in `keys`, PlaceholderError for a malformed format */
export function compileFormat(format: string, keys: Iterable<string>): CompiledFormat {
  const known = new Set(keys);
  const nested = new Map<string, FormatPart[]>();
  let parts: FormatPart[];
  const used = new Set<string>();
  try {
    for (const name of formatNames(format)) {
      if (!known.has(name) && !Object.hasOwn(FIXED_KEYS, name)) throw new InvalidPlaceholder(name, format);
      if (!Object.hasOwn(FIXED_KEYS, name)) used.add(name);
    }
    parts = foldFixed(parseFormat(format));
    for (const part of parts) {
      if (typeof part !== "string" && part.spec.includes("{")) nested.set(part.spec, parseFormat(part.spec));
    }
  } catch (error) {
    throw asPlaceholderError(error, format);
  }

  const expand = (list: readonly FormatPart[], value: (key: string) => FormatValue): string => {
    let text = "";
    for (const part of list) {
      if (typeof part === "string") text += part;
      else {
        const inner = nested.get(part.spec);
        const spec = inner ? expand(inner, value) : part.spec;
        text += formatField(FIXED_KEYS[part.name] ?? value(part.name), part.conversion, spec);
      }
    }
    return text;
  };
  return {
    keys: used,
    render: (value) => {
      try {
        return expand(parts, value);
      } catch (error) {
        throw asPlaceholderError(error, format);
      }
    },
  };
}

function asPlaceholderError(error: unknown, format: string): unknown {
  return error instanceof FormatSyntaxError ? new PlaceholderError(format, error.message) : error;
}

/** Fixed keys become literal text, and neighbouring literals one. */
function foldFixed(parts: FormatPart[]): FormatPart[] {
  const folded: FormatPart[] = [];
  for (const part of parts) {
    const fixed = typeof part === "string" || part.spec.includes("{") ? undefined : FIXED_KEYS[part.name];
    const text =
      fixed === undefined || typeof part === "string" ? part : formatField(fixed, part.conversion, part.spec);
    if (typeof text === "string" && typeof folded.at(-1) === "string") folded.push(folded.pop() + text);
    else folded.push(text);
  }
  return folded;
}

/** The format with some keys replaced already and all others left as they were. @throws PlaceholderError */
export function partialFormat(format: string, values: Readonly<Record<string, FormatValue>>): string {
  const braces = (text: string) => text.replace(/[{}]/g, "$&$&");
  try {
    return parseFormat(format)
      .map((part) => {
        if (typeof part === "string") return braces(part);
        const value = Object.hasOwn(values, part.name) ? values[part.name] : undefined;
        if (value !== undefined) return braces(formatField(value, part.conversion, part.spec));
        return `{${part.name}${part.conversion && `!${part.conversion}`}${part.spec && `:${part.spec}`}}`;
      })
      .join("");
  } catch (error) {
    throw asPlaceholderError(error, format);
  }
}

/** A size that formats itself ("{size:>10}" of "1.23 kB"), where a command shows sizes for people. */
export class FileSize implements Formattable {
  private readonly text: string;
  constructor(size: number, iec = false) {
    this.text = formatFileSize(size, { iec });
  }
  format(spec: string): string {
    return formatField(this.text, "", spec);
  }
  toString(): string {
    return this.text;
  }
}
