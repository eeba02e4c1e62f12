// The path this program was started by, links not followed: under the name "borg" it answers as borg does. Node and
// Deno give it as argv[1]. Bun gives the link's target there, and in a stand-alone executable a path inside it, so
// that the kernel's own list of arguments is asked (Linux; elsewhere the name of the file has to do).
import { readFileSync } from "node:fs";

export function invokedPath(argv: readonly string[] = process.argv): string {
  const given = argv[1] ?? "";
  if (process.versions["bun"] === undefined) return given;
  let words: string[];
  try {
    words = readFileSync("/proc/self/cmdline", "utf8").replace(/\0$/, "").split("\0");
  } catch {
    // No /proc: not Linux, or a container without it.
    return given.startsWith("/$bunfs/") ? process.execPath : given;
  }
  // Before the program's own arguments stands the script or, in a stand-alone executable, its own name.
  return words.at(-(argv.length - 1)) ?? given;
}
