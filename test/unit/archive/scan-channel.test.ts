// What the walking thread tells arrives as it was: names, 64-bit inodes, times, and warnings as objects of their class.
import { expect, test } from "vitest";
import {
  ScanChannel,
  type ScanEvent,
  ScanReader,
  ScanWriter,
  SLOT_BYTES,
} from "../../../src/archive/pipeline/scan-channel.ts";
import { BackupPermissionError, BackupRaceCondition } from "../../../src/errors.ts";
import { Stat } from "../../../src/runtime/index.ts";
import { PatternMatcher, parseInclExclCommand } from "../../../src/select/index.ts";

function aStat(seed: number): Stat {
  const stat = new Stat() as unknown as Record<string, unknown>;
  for (const [i, key] of Object.keys(stat).entries()) {
    if (typeof stat[key] === "number") stat[key] = seed * 1000 + i;
  }
  stat["hasBirthtime"] = seed % 2 === 0;
  stat["ino"] = seed % 3 === 0 ? 2n ** 64n - 5n : seed + 2 ** 40;
  stat["mtimeSec"] = -seed;
  return stat as unknown as Stat;
}

test("events come back in order, with every field", () => {
  const slot = new ScanChannel().slot(1);
  const writer = new ScanWriter(slot);
  expect(writer.isEmpty).toBe(true);
  const names = ["a", "größe", "new\nline", "broken\udcff", "x".repeat(255)];
  for (const [i, name] of names.entries()) {
    expect(writer.entry(i, name, aStat(i), i % 2)).toBe(true);
    expect(writer.status(i, name, "x")).toBe(true);
  }
  expect(writer.problem(7, "odd\udc80", new BackupRaceCondition("odd\udc80"))).toBe(true);
  expect(writer.problem(8, "p", new BackupPermissionError("p", "open: [EACCES]"))).toBe(true);
  const seen: ScanEvent[] = [];
  for (const reader = new ScanReader(slot); reader.next(); ) seen.push(reader.event(new Stat()));
  expect(seen.slice(0, 2 * names.length)).toEqual(
    names.flatMap((path, i) => [
      { type: "entry", root: i, path, stat: aStat(i), xattrs: i % 2 },
      { type: "status", root: i, path, status: "x" },
    ]),
  );
  const [race, permission] = seen.slice(-2) as (ScanEvent & { type: "problem" })[];
  expect(race!.problem).toBeInstanceOf(BackupRaceCondition);
  expect(race!.problem.message).toBe(new BackupRaceCondition("odd\udc80").message);
  expect(permission!.problem).toBeInstanceOf(BackupPermissionError);
  expect(permission).toMatchObject({ root: 8, path: "p" });
});

test("a full slot refuses what does not fit, and keeps what is there", () => {
  const slot = new ScanChannel().slot(0);
  const writer = new ScanWriter(slot);
  let written = 0;
  while (writer.entry(0, "n".repeat(200), aStat(1), 0)) written++;
  expect(written).toBeGreaterThan(SLOT_BYTES / 500);
  let read = 0;
  for (const reader = new ScanReader(slot); reader.next(); ) read++;
  expect(read).toBe(written);
});

test("a matcher decides the same in another thread", () => {
  const matcher = new PatternMatcher(true);
  const texts = [
    "- *.no",
    "! sh:tree/skip/**",
    "+ pp:tree/keep",
    "- re:/d1/f[0-3]$",
    "- pf:tree/d2/f7",
    "- fm:*/tmp",
  ];
  matcher.addInclExcl(texts.map((t) => parseInclExclCommand(t) as never));
  const copy = PatternMatcher.fromSpec(structuredClone(matcher.spec()));
  for (const path of [
    "a.no",
    "tree/skip/x",
    "tree/keep/a.no",
    "x/d1/f2",
    "x/d1/f4",
    "tree/d2/f7",
    "/a/tmp",
    "b",
  ]) {
    expect([path, copy.match(path), copy.recurseDir]).toEqual([
      path,
      matcher.match(path),
      matcher.recurseDir,
    ]);
  }
});
