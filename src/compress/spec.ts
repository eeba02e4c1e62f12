// Borg's --compression SPEC: none, lz4, zstd[,1–22], zlib[,0–9], lzma[,0–9], auto,SPEC, obfuscate,LEVEL,SPEC.
import { ArgumentError } from "../errors.ts";

/** A validated specification: plain data that can be sent to workers. */
export type CompressionSpec =
  | { readonly name: "none" | "lz4" }
  | { readonly name: "zstd" | "zlib" | "lzma"; readonly level: number }
  | { readonly name: "auto"; readonly inner: CompressionSpec }
  | { readonly name: "obfuscate"; readonly level: number; readonly inner: CompressionSpec };

const LEVELS = {
  zstd: { min: 1, max: 22, default: 3 },
  zlib: { min: 0, max: 9, default: 6 },
  lzma: { min: 0, max: 9, default: 6 },
} as const;

/** Borg's default. */
export const defaultCompression: CompressionSpec = { name: "lz4" };

/** @throws ArgumentError naming the specification and what is wrong with it */
export function parseCompression(spec: string): CompressionSpec {
  return parse(spec.split(","), (why) => new ArgumentError(`invalid compression "${spec}": ${why}`));
}

function parse(values: string[], fail: (why: string) => Error): CompressionSpec {
  const name = values[0]!;
  const count = values.length;
  switch (name) {
    case "none":
    case "lz4":
      // Borg does not look at what follows here.
      return { name };
    case "zstd":
    case "zlib":
    case "lzma": {
      const { min, max, default: usual } = LEVELS[name];
      if (count > 2) throw fail(`${name} takes a level at most`);
      const level = count === 1 ? usual : integer(values[1]!);
      if (level === undefined || level < min || level > max)
        throw fail(`the level has to be from ${min} to ${max}`);
      return { name, level };
    }
    case "auto":
      if (count < 2 || count > 3) throw fail("auto needs a compression to choose: auto,C[,L]");
      return { name, inner: parse(values.slice(1), fail) };
    case "obfuscate": {
      if (count < 3 || count > 5)
        throw fail("obfuscate needs a level and a compression: obfuscate,SPEC,C[,L]");
      const level = integer(values[1]!);
      if (
        level === undefined ||
        !((level >= 1 && level <= 6) || (level >= 110 && level <= 123) || level === 250)
      ) {
        throw fail("the level of obfuscate has to be from 1 to 6, from 110 to 123, or 250");
      }
      return { name, level, inner: parse(values.slice(2), fail) };
    }
    default:
      throw fail("the type has to be one of none, lz4, zstd, zlib, lzma, auto, obfuscate");
  }
}

/** What Python's int() takes. */
function integer(text: string): number | undefined {
  const trimmed = text.trim();
  return /^[+-]?\d+(_\d+)*$/.test(trimmed) ? Number(trimmed.replaceAll("_", "")) : undefined;
}

/** The specification as text, levels always named. */
export function formatCompression(spec: CompressionSpec): string {
  switch (spec.name) {
    case "none":
    case "lz4":
      return spec.name;
    case "auto":
      return `auto,${formatCompression(spec.inner)}`;
    case "obfuscate":
      return `obfuscate,${spec.level},${formatCompression(spec.inner)}`;
    default:
      return `${spec.name},${spec.level}`;
  }
}
