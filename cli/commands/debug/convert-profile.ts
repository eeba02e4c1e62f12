// debug convert-profile: a profile that Borg has written, for Python's pstats.
import { readFileSync, writeFileSync } from "node:fs";
import type { Args } from "../../args.ts";
import { convertProfile } from "../../profile.ts";

export function run(args: Args): void {
  writeFileSync(args.word("output")!, convertProfile(readFileSync(args.word("input")!)));
}
