// Which version we say we are: by the name of borg the one whose behaviour we have, by our own name both.
import { readFileSync } from "node:fs";
import { basename } from "node:path";
import { BORG_VERSION } from "../src/format/placeholders.ts";
import type { Program } from "./context.ts";

declare const __ALCOVE_VERSION__: string;

export function ownVersion(): string {
  if (typeof __ALCOVE_VERSION__ !== "undefined") return __ALCOVE_VERSION__;
  // Unbuilt sources: the package's own file.
  return (
    JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8")) as { version: string }
  ).version;
}

/** Base name the program was started by, without the extension of a script; "alcove" for anything but borg. */
export function programName(path: string): string {
  const name = basename(path).replace(/\.(mjs|js|cjs|ts|exe)$/, "");
  return name === "borg" || name === "borgfs" ? name : "alcove";
}

export function versionText(program: Program): string {
  return program.name === "alcove"
    ? `alcove ${program.version} (borg ${BORG_VERSION})`
    : `borg ${BORG_VERSION}`;
}
