// Which repository a client's path means, and whether it may be opened (--restrict-to-path, --restrict-to-repository).
// Compared are real paths with a slash at their end, so that /backup does not let in /backup-other (CVE-2017-15914)
// and no symlink leads out.
import { readFileSync, readlinkSync } from "node:fs";
import { homedir } from "node:os";
import path from "node:path";
import { PathNotAllowed } from "../errors.ts";
import { fsDecode, fsEncode } from "../format/bytes.ts";

/** Symlinks followed in one path before it is taken for a loop; Linux has the same limit. */
const MAX_LINKS = 40;

export interface Restrictions {
  /** Repositories in or below these directories are allowed. */
  restrictToPaths?: readonly string[];
  /** These repositories are allowed. */
  restrictToRepositories?: readonly string[];
}

/**
 * The real path that a client means. "/~/x" and "~/x" are in the home directory, "/~user/x" and "~user/x" in
 * another's, "/./x" and "x" in the current one.
 * @throws PathNotAllowed for what is no path at all
 */
export function resolveClientPath(
  asked: string,
  env: Record<string, string | undefined> = process.env,
): string {
  if (asked === "" || asked.includes("\0")) throw new PathNotAllowed(asked.replaceAll("\0", "\\0"));
  let wanted = asked;
  const home = env["BORG_BASE_DIR"] || env["HOME"] || homedir();
  if (wanted.startsWith("/~/")) wanted = path.posix.join(home, wanted.slice(3));
  else if (wanted.startsWith("~/")) wanted = path.posix.join(home, wanted.slice(2));
  else if (wanted.startsWith("/~")) wanted = expandUser(wanted.slice(1), home);
  else if (wanted.startsWith("~")) wanted = expandUser(wanted, home);
  else if (wanted.startsWith("/./")) wanted = wanted.slice(3);
  return realPath(wanted);
}

/** @throws PathNotAllowed if a real path is outside of what is allowed */
export function checkAllowed(real: string, restrictions: Restrictions): void {
  const { restrictToPaths = [], restrictToRepositories = [] } = restrictions;
  const slashed = withSlash(real);
  if (
    restrictToPaths.length > 0 &&
    !restrictToPaths.some((p) => slashed.startsWith(withSlash(realPath(p))))
  ) {
    throw new PathNotAllowed(real);
  }
  if (
    restrictToRepositories.length > 0 &&
    !restrictToRepositories.some((p) => slashed === withSlash(realPath(p)))
  ) {
    throw new PathNotAllowed(real);
  }
}

function withSlash(p: string): string {
  return p.endsWith("/") ? p : `${p}/`;
}

/** ~user/x by the system's user table; as it is where there is no such user. Nothing is executed for it. */
function expandUser(wanted: string, home: string): string {
  const slash = wanted.indexOf("/");
  const user = wanted.slice(1, slash < 0 ? undefined : slash);
  const rest = slash < 0 ? "" : wanted.slice(slash);
  if (user === "") return home + rest;
  let table = "";
  try {
    table = fsDecode(readFileSync("/etc/passwd"));
  } catch {
    return wanted; // no user table here: then there is no such user
  }
  const line = table.split("\n").find((l) => l.startsWith(`${user}:`));
  const directory = line?.split(":")[5];
  return directory ? directory.replace(/\/+$/, "") + rest : wanted;
}

/** Absolute path without symlinks, "." and ".."; what does not exist (yet) is taken as it is written, as Python does. */
export function realPath(wanted: string): string {
  const todo = parts(path.posix.isAbsolute(wanted) ? wanted : `${process.cwd()}/${wanted}`).reverse();
  const done: string[] = [];
  let links = 0;
  while (todo.length > 0) {
    const part = todo.pop()!;
    if (part === "..") {
      done.pop();
      continue;
    }
    const here = `/${[...done, part].join("/")}`;
    const target = linkTarget(here);
    if (target === undefined) {
      done.push(part);
      continue;
    }
    if (++links > MAX_LINKS) throw new PathNotAllowed(wanted);
    if (target.startsWith("/")) done.length = 0;
    todo.push(...parts(target).reverse());
  }
  return `/${done.join("/")}`;
}

function parts(p: string): string[] {
  return p.split("/").filter((part) => part !== "" && part !== ".");
}

function linkTarget(p: string): string | undefined {
  try {
    return fsDecode(readlinkSync(Buffer.from(fsEncode(p)), { encoding: "buffer" }));
  } catch {
    return undefined; // no symlink, or nothing there, or not readable: opening it will tell
  }
}
