// File sizes for people and from people: Borg's format_file_size ("1.23 kB") and parse_file_size ("1.7T").
import { ArgumentError } from "../errors.ts";
import { toFixed } from "./numbers.ts";

const DECIMAL = ["", "k", "M", "G", "T", "P", "E", "Z", "Y"];
const IEC = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei", "Zi", "Yi"];

export interface FileSizeOptions {
  /** Units of 1024 (KiB) instead of 1000 (kB). */
  iec?: boolean;
  /** Digits behind the point where there is a unit prefix, default 2. */
  precision?: number;
  /** A plus sign before what is above zero. */
  sign?: boolean;
}

/** "0 B", "1.23 kB", "-4.00 MiB": what Borg prints. */
export function formatFileSize(size: number | bigint, options: FileSizeOptions = {}): string {
  const { iec = false, precision = 2, sign = false } = options;
  const units = iec ? IEC : DECIMAL;
  const power = iec ? 1024 : 1000;
  let n = Number(size);
  const plus = sign && n > 0 ? "+" : "";
  let unit = 0;
  let digits = 0;
  while (unit < units.length - 1 && Math.abs(Number(toFixed(n, precision))) >= power) {
    n /= power;
    unit++;
    digits = precision;
  }
  return `${plus}${toFixed(n, digits)} ${units[unit]}B`;
}

const FACTORS: Record<string, number> = { K: 1e3, M: 1e6, G: 1e9, T: 1e12, P: 1e15 };

/** Bytes of "1234", "55G", "1.7T" (powers of 1000, upper-case suffix). @throws ArgumentError */
export function parseFileSize(text: string): number {
  const factor = FACTORS[text.slice(-1)];
  const digits = (factor ? text.slice(0, -1) : text).trim();
  const n = /^[+-]?(\d+(_\d+)*\.?(\d+(_\d+)*)?|\.\d+(_\d+)*)([eE][+-]?\d+)?$/.test(digits)
    ? Math.trunc(Number(digits.replaceAll("_", "")) * (factor ?? 1))
    : Number.NaN;
  if (!Number.isSafeInteger(n))
    throw new ArgumentError(`not a file size: "${text}" (examples: 1234, 55G, 1.7T)`);
  return n;
}
