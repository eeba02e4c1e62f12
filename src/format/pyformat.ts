// Python's str.format, as far as Borg's options expose it: "{name}", "{name!r}", "{name:<20}", doubled braces,
// and the format mini language for text and numbers. Placeholders and --format strings are built on it.
import { floatRepr, toFixed } from "./numbers.ts";
import { pyRepr } from "./pyrepr.ts";

/** A value with a format language of its own, like a time. */
export interface Formattable {
  format(spec: string): string;
}
export type FormatValue = string | number | bigint | Formattable;

export type FormatPart = string | { name: string; conversion: string; spec: string };

/** What is wrong with a format string or with a value in it; callers turn it into one of Borg's errors. */
export class FormatSyntaxError extends Error {}

/** Literal texts and fields of a format string. @throws FormatSyntaxError */
export function parseFormat(text: string): FormatPart[] {
  const parts: FormatPart[] = [];
  let literal = "";
  let i = 0;
  while (i < text.length) {
    const c = text[i++]!;
    if (c !== "{" && c !== "}") {
      literal += c;
    } else if (text[i] === c) {
      literal += c;
      i++;
    } else if (c === "}") {
      throw new FormatSyntaxError('a single "}" (write "}}" for a brace)');
    } else {
      const end = closing(text, i);
      if (literal) parts.push(literal);
      literal = "";
      parts.push(field(text.slice(i, end)));
      i = end + 1;
    }
  }
  if (literal) parts.push(literal);
  return parts;
}

/** Index of the brace that closes the field which starts at i; a specification may hold fields of its own. */
function closing(text: string, i: number): number {
  for (let depth = 1; i < text.length; i++) {
    if (text[i] === "{") depth++;
    else if (text[i] === "}" && --depth === 0) return i;
  }
  throw new FormatSyntaxError('a "{" without its "}" (write "{{" for a brace)');
}

function field(inner: string): { name: string; conversion: string; spec: string } {
  const m = /^([^!:{}]*)(?:!([^:]*))?(?::([\s\S]*))?$/.exec(inner);
  if (!m) throw new FormatSyntaxError(`cannot understand "{${inner}}"`);
  const [, name = "", conversion, spec = ""] = m;
  if (conversion !== undefined && !/^[rsa]$/.test(conversion)) {
    throw new FormatSyntaxError(`unknown conversion "!${conversion}"`);
  }
  return { name, conversion: conversion ?? "", spec };
}

/** Names a format string uses, nested ones included. @throws FormatSyntaxError */
export function formatNames(text: string): Set<string> {
  const names = new Set<string>();
  for (const part of parseFormat(text)) {
    if (typeof part === "string") continue;
    names.add(part.name);
    if (part.spec.includes("{")) for (const name of formatNames(part.spec)) names.add(name);
  }
  return names;
}

/** One field as text. @throws FormatSyntaxError if the specification does not fit the value */
export function formatField(value: FormatValue, conversion: string, spec: string): string {
  if (conversion) value = convert(value, conversion);
  if (typeof value === "object") return value.format(spec);
  if (spec === "")
    return typeof value === "number" && !Number.isInteger(value) ? floatRepr(value) : String(value);
  return typeof value === "string" ? formatText(value, spec) : formatNumber(value, spec);
}

function convert(value: FormatValue, conversion: string): string {
  const text = formatField(value, "", "");
  if (conversion === "s" || typeof value !== "string") return text;
  return pyRepr(value, conversion === "a");
}

interface Spec {
  fill: string;
  align: string;
  sign: string;
  alternate: boolean;
  width: number;
  grouping: string;
  precision: number | undefined;
  type: string;
}

const MAX_WIDTH = 100_000;

function parseSpec(spec: string): Spec {
  const m = /^(?:(.)?([<>=^]))?([-+ ])?(#)?(0)?(\d+)?([,_])?(?:\.(\d+))?([a-zA-Z%])?$/su.exec(spec);
  if (!m) throw new FormatSyntaxError(`invalid format specification "${spec}"`);
  const width = Number(m[6] ?? 0);
  const precision = m[8] === undefined ? undefined : Number(m[8]);
  if (width > MAX_WIDTH || (precision ?? 0) > MAX_WIDTH) throw new FormatSyntaxError(`too wide: "${spec}"`);
  const zero = m[5] !== undefined && m[2] === undefined;
  return {
    fill: m[1] ?? (m[5] ? "0" : " "),
    align: m[2] ?? (zero ? "=" : ""),
    sign: m[3] ?? "",
    alternate: m[4] !== undefined,
    width,
    grouping: m[7] ?? "",
    precision,
    type: m[9] ?? "",
  };
}

/** Fills up to a width in characters (code points). */
function pad(text: string, { fill, width }: Spec, align: string, signLength = 0): string {
  const missing = width - [...text].length;
  if (missing <= 0) return text;
  if (align === "<") return text + fill.repeat(missing);
  if (align === "^") {
    const left = Math.floor(missing / 2);
    return fill.repeat(left) + text + fill.repeat(missing - left);
  }
  if (align === "=") return text.slice(0, signLength) + fill.repeat(missing) + text.slice(signLength);
  return fill.repeat(missing) + text;
}

function formatText(text: string, specText: string): string {
  const spec = parseSpec(specText);
  const { sign, alternate, grouping, type, precision } = spec;
  if (
    sign ||
    alternate ||
    grouping ||
    (type && type !== "s") ||
    (spec.align === "=" && !/^0/.test(specText))
  ) {
    throw new FormatSyntaxError(`"${specText}" is not for text`);
  }
  const cut = precision === undefined ? text : [...text].slice(0, precision).join("");
  // A leading zero fills on the right here: "{name:010}" (Python 3.10 and later).
  return pad(cut, spec, spec.align === "=" ? "<" : spec.align || "<");
}

const RADIX: Record<string, [number, string]> = { x: [16, "0x"], X: [16, "0X"], o: [8, "0o"], b: [2, "0b"] };

function formatNumber(value: number | bigint, specText: string): string {
  const spec = parseSpec(specText);
  const negative = value < 0;
  const abs = negative ? -value : value;
  const sign = negative ? "-" : spec.sign === "-" ? "" : spec.sign;
  let prefix = "";
  let digits: string;
  let type = spec.type;
  if (type === "" && typeof value === "number" && !Number.isInteger(value))
    type = spec.precision === undefined ? "r" : "g";
  const radix = RADIX[type];
  if (type === "n") type = typeof value === "number" && !Number.isInteger(value) ? "g" : "d";
  if (type === "" || type === "d" || radix) {
    if (spec.precision !== undefined || (typeof abs === "number" && !Number.isInteger(abs))) {
      throw new FormatSyntaxError(`"${specText}" is not for this number`);
    }
    digits = abs.toString(radix?.[0] ?? 10);
    if (type === "X") digits = digits.toUpperCase();
    if (radix && spec.alternate) prefix = radix[1];
  } else digits = real(Number(abs), type, spec);
  if (spec.grouping) digits = group(digits, spec, radix ? 4 : 3, sign.length + prefix.length);
  return pad(sign + prefix + digits, spec, spec.align || ">", sign.length + prefix.length);
}

function real(x: number, type: string, spec: Spec): string {
  const precision = Math.min(spec.precision ?? 6, 100);
  switch (type) {
    case "r":
      return floatRepr(x);
    case "f":
    case "F":
      return toFixed(x, precision);
    case "%":
      return `${toFixed(x * 100, precision)}%`;
    case "e":
    case "E": {
      const text = twoDigitExponent(x.toExponential(precision));
      return type === "E" ? text.toUpperCase() : text;
    }
    case "g":
    case "G": {
      const p = Math.max(1, precision);
      const exponent = x === 0 ? 0 : Number(x.toExponential(p - 1).split("e")[1]);
      let text =
        exponent < -4 || exponent >= p
          ? twoDigitExponent(x.toExponential(p - 1))
          : toFixed(x, Math.max(0, p - 1 - exponent));
      if (!spec.alternate && text.includes(".")) text = text.replace(/\.?0+(?=e|$)/, "");
      return type === "G" ? text.toUpperCase() : text;
    }
    default:
      throw new FormatSyntaxError(`unknown format type "${type}" for a number`);
  }
}

const twoDigitExponent = (text: string) => text.replace(/e([+-])(\d)$/, "e$10$2");

/** Separators between groups of digits; zeros that fill the width are grouped too. */
function group(digits: string, spec: Spec, size: number, signLength: number): string {
  const m = /^([0-9a-fA-F]*)(.*)$/.exec(digits)!;
  const join = (whole: string) => whole.replace(new RegExp(`\\B(?=(?:.{${size}})+$)`, "g"), spec.grouping);
  let whole = m[1]!;
  if (spec.align === "=" && spec.fill === "0") {
    const room = spec.width - signLength - m[2]!.length;
    while (join(whole).length < room) whole = `0${whole}`;
  }
  return join(whole) + m[2]!;
}
