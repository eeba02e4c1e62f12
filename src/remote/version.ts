// Versions as Borg's remote protocol carries them: a tuple that compares element by element. It ends with -1 for a
// release; before that stand -2 (rc), -3 (beta), -4 (alpha) or -9 (dev) and a number for what came before one.
import { IntegrityError } from "../errors.ts";
import { BORG_VERSION } from "../format/placeholders.ts";

export type Version = readonly number[];

const PRERELEASE: Record<string, number> = { a: -4, b: -3, rc: -2, dev: -9 };

/** The Borg whose protocol this program speaks, at both ends. */
export const SPOKEN_VERSION: Version = parseVersion(BORG_VERSION);

/** "1.2.0a8" → [1, 2, 0, -4, 8]; "1.2.0" → [1, 2, 0, -1]. */
export function parseVersion(text: string): Version {
  const m = /^(\d+)\.(\d+)\.(\d+)(?:\.?(a|b|rc|dev)(\d+))?/.exec(text);
  if (!m) throw new IntegrityError(`not a version: ${JSON.stringify(text)}`);
  const numbers = [Number(m[1]), Number(m[2]), Number(m[3])];
  return m[4] ? [...numbers, PRERELEASE[m[4]]!, Number(m[5])] : [...numbers, -1];
}

/** The reverse of parseVersion. */
export function formatVersion(version: Version): string {
  const at = version.findIndex((part) => part < 0);
  const release = (at < 0 ? version : version.slice(0, at)).join(".");
  const kind = at < 0 ? undefined : Object.entries(PRERELEASE).find(([, code]) => code === version[at]);
  return kind ? `${release}${kind[0] === "dev" ? "." : ""}${kind[0]}${version[at + 1] ?? ""}` : release;
}

/** Negative, zero or positive, as tuples compare in Borg. */
export function compareVersions(a: Version, b: Version): number {
  const shared = Math.min(a.length, b.length);
  for (let i = 0; i < shared; i++) if (a[i] !== b[i]) return a[i]! - b[i]!;
  return a.length - b.length;
}

/** A version as it came over the wire, undefined if it is none. */
export function versionFromWire(value: unknown): Version | undefined {
  if (!Array.isArray(value) || value.length === 0 || value.length > 8) return undefined;
  return value.every((part) => Number.isInteger(part)) ? (value as number[]) : undefined;
}
