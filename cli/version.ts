// Which version we say we are: by the name of borg the one whose behaviour we have, by our own name both.
import { readFileSync } from "node:fs";
import { basename } from "node:path";
import { BORG_VERSION } from "../src/format/borg-version.ts";
import type { Program } from "./context.ts";

declare const __ALCOVE_VERSION__: string;

export function ownVersion(): string {
  if (typeof __ALCOVE_VERSION__ !== "undefined") return __ALCOVE_VERSION__;
  // Unbuilt sources: the package's own file.
  return (
    JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8")) as { version: string }
  ).version;
}

const baseName = (path: string) => basename(path).replace(/\.(mjs|js|cjs|ts|exe)$/, "");
const isBorg = (name: string) => name === "borg" || name === "borgfs";

/** Base name the program was started by, without the extension of a script; "alcove" for anything but borg. */
export function programName(argv: readonly string[]): string {
  const name = baseName(argv[1] ?? "");
  if (isBorg(name)) return name;
  // Bun resolves symlinks in argv; what was typed is before our own arguments on the command line of the process.
  const typed = baseName(commandLine().at(-1 - argv.slice(2).length) ?? "");
  return isBorg(typed) ? typed : "alcove";
}

function commandLine(): string[] {
  try {
    return readFileSync("/proc/self/cmdline", "latin1").split("\0").slice(0, -1);
  } catch {
    // No /proc: then argv has to do.
    return [];
  }
}

export function versionText(program: Program): string {
  return program.name === "alcove"
    ? `alcove ${program.version} (borg ${BORG_VERSION})`
    : `borg ${BORG_VERSION}`;
}
