// Paths as archives keep them: relative and local, whatever was given on the command line.
import { normPath } from "../format/paths.ts";

/** Strips what would lead out of the place an archive is extracted to: leading "/", "./" and "../". */
export function makePathSafe(path: string): string {
  const first = path.charCodeAt(0);
  if (first !== 46 && first !== 47 && path !== "") return path;
  const second = path.charCodeAt(1);
  if (first === 47 && second !== 46 && second !== 47 && path.length > 1) return path.slice(1);
  return path.replace(/^((\.\.)?\/+)+/, "") || ".";
}

/** "/a/./b": what is before "/./" is used for reading only. Gives the prefix with one slash at its end. */
export function stripPrefixOf(path: string): string | undefined {
  const at = path.indexOf("/./");
  return at > 0 ? `${normPath(path.slice(0, at))}/` : undefined;
}

/** The path an item gets under a strip prefix; undefined for a directory level that is stripped itself. */
export function archivedPath(path: string, prefix: string | undefined): string | undefined {
  if (prefix !== undefined) {
    if (`${path}/` === prefix) return ".";
    if (prefix.startsWith(`${path}/`)) return undefined;
    if (path.startsWith(prefix)) path = path.slice(prefix.length);
  }
  return makePathSafe(path);
}
