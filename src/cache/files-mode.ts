// How the files cache is used (--files-cache), what its file is called, and how long its entries live.

import { AlcoveError } from "../errors.ts";

/** What of a file's status must be the same for it to count as unchanged (--files-cache). */
export interface FilesCacheMode {
  /** Which time is kept and compared; undefined compares none and keeps ctime. */
  time: "ctime" | "mtime" | undefined;
  size: boolean;
  inode: boolean;
  /** Every file is read; the cache is only updated. */
  rechunk: boolean;
  disabled: boolean;
}

const DEFAULT_TTL = 20;
const MODE_LETTERS: Record<string, string> = {
  ctime: "c",
  mtime: "m",
  size: "s",
  inode: "i",
  rechunk: "r",
  disabled: "d",
};
const VALID_MODES = ["cis", "ims", "cs", "ms", "cr", "mr", "d", "s"];

/** The mode of a comma-separated list, e.g. "ctime,size,inode". @throws AlcoveError */
export function parseFilesCacheMode(text: string): FilesCacheMode {
  const letters = new Set<string>();
  for (const word of text.trim().split(",")) {
    const letter = Object.hasOwn(MODE_LETTERS, word) ? MODE_LETTERS[word]! : "";
    if (!letter)
      throw new AlcoveError(
        `The files cache mode "${word}" is none of ${Object.keys(MODE_LETTERS).join(", ")}.`,
      );
    letters.add(letter);
  }
  if (!VALID_MODES.includes([...letters].sort().join(""))) {
    throw new AlcoveError(`The files cache cannot work with the mode "${text}".`);
  }
  return {
    time: letters.has("m") ? "mtime" : letters.has("c") ? "ctime" : undefined,
    size: letters.has("s"),
    inode: letters.has("i"),
    rechunk: letters.has("r"),
    disabled: letters.has("d"),
  };
}

/** "files", or "files.SUFFIX" with BORG_FILES_CACHE_SUFFIX. */
export function filesCacheName(env: Readonly<Record<string, string | undefined>>): string {
  const suffix = env["BORG_FILES_CACHE_SUFFIX"];
  return suffix ? `files.${suffix}` : "files";
}

/** BORG_FILES_CACHE_TTL: how many backups an entry survives without its file being seen. @throws AlcoveError */
export function filesCacheTtl(env: Readonly<Record<string, string | undefined>>): number {
  const text = env["BORG_FILES_CACHE_TTL"];
  if (text === undefined) return DEFAULT_TTL;
  if (!/^\s*[+-]?\d+\s*$/.test(text)) throw new AlcoveError(`BORG_FILES_CACHE_TTL is not a number: ${text}`);
  return Number(text);
}
