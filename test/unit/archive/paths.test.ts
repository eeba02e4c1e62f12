import { execFileSync } from "node:child_process";
import fc from "fast-check";
import { expect, test } from "vitest";
import { makePathSafe } from "../../../src/archive/paths.ts";

test("paths are made safe as borg's expression does it", () => {
  // borg/helpers/fs.py: what leads out of the place an archive is extracted to.
  const paths = fc.sample(fc.array(fc.constantFrom("/", ".", "..", "a", "ä", "/.."), { maxLength: 7 }), 3000);
  const given = ["", "/", "//", "/a", "/.a", "/..a", "..a", "a/..", ...paths.map((parts) => parts.join(""))];
  const script =
    "import json,sys\nfrom borg.helpers import make_path_safe\n" +
    "print(json.dumps([make_path_safe(p) for p in json.load(sys.stdin)]))";
  const borg = JSON.parse(
    execFileSync("/usr/bin/python3", ["-c", script], { input: JSON.stringify(given), encoding: "utf8" }),
  );
  expect(given.map(makePathSafe)).toEqual(borg);
});
