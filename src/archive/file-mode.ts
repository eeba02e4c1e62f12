// "drwxr-xr-x": Python's stat.filemode, the first column of a list.
import { S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFMT, S_IFREG, S_IFSOCK } from "./constants.ts";

const types: Record<number, string> = {
  [S_IFREG]: "-",
  [S_IFDIR]: "d",
  [S_IFLNK]: "l",
  [S_IFBLK]: "b",
  [S_IFCHR]: "c",
  [S_IFIFO]: "p",
  [S_IFSOCK]: "s",
};

const cache = new Map<number, string>();

export function fileMode(mode: number): string {
  let text = cache.get(mode);
  if (text === undefined) {
    text =
      (types[mode & S_IFMT] ?? "?") +
      triple(mode >> 6, mode & 0o4000, "sS") +
      triple(mode >> 3, mode & 0o2000, "sS") +
      triple(mode, mode & 0o1000, "tT");
    cache.set(mode, text);
  }
  return text;
}

function triple(bits: number, special: number, letters: string): string {
  const x = (bits & 1) !== 0;
  return (bits & 4 ? "r" : "-") + (bits & 2 ? "w" : "-") + (special ? letters[x ? 0 : 1] : x ? "x" : "-");
}
