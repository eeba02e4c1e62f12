// prune's decisions against borg's own functions (helpers/misc.py) on random series of archive times and rules, in
// several time zones, with days around changes of daylight saving among them. The quarterly rules, which the
// installed borg does not have, are held against Python's calendar.
import { spawnSync } from "node:child_process";
import { afterAll, describe, expect, it } from "vitest";
import type { ArchiveInfo } from "../../src/archive/manifest.ts";
import { keptArchives, PRUNE_RULES, type PruneRule } from "../../src/archive/prune.ts";

const ORACLE = `
import json, sys, time
from collections import namedtuple
from datetime import datetime, timedelta, timezone
from borg.helpers import misc
time.tzset()
A = namedtuple('A', 'name id ts')
def quarter13(a):
    (y, w, _) = misc.to_localtime(a.ts).isocalendar()
    return (y, min(3, (w - 1) // 13))
def quarter3(a):
    t = misc.to_localtime(a.ts)
    return (t.year, (t.month - 1) // 3)
def split(archives, rule, n, kept):
    if rule in misc.PRUNING_PATTERNS:
        return misc.prune_split(archives, rule, n, kept)
    period = {'quarterly_13weekly': quarter13, 'quarterly_3monthly': quarter3}[rule]
    last, keep, a = None, [], None
    if n == 0:
        return keep
    for a in archives:
        p = period(a)
        if p != last:
            last = p
            if a.id not in kept:
                keep.append(a)
                kept[a.id] = (rule, len(keep))
                if len(keep) == n:
                    break
    if a is not None and len(keep) < n and a.id not in kept:
        keep.append(a)
        kept[a.id] = (rule + '[oldest]', len(keep))
    return keep
for line in sys.stdin:
    case = json.loads(line)
    epoch = datetime(1970, 1, 1, tzinfo=timezone.utc)
    archives = [A(str(i), i, epoch + timedelta(microseconds=t)) for i, t in enumerate(case['times'])]
    kept = {}
    if case['within']:
        now = epoch + timedelta(microseconds=case['now'])
        class Clock(datetime):
            @classmethod
            def now(cls, tz=None):
                return now
        misc.datetime, real = Clock, misc.datetime
        misc.prune_within(archives, case['within'], kept)
        misc.datetime = real
    for rule, n in case['counts']:
        split(archives, rule, n, kept)
    print(json.dumps(sorted([i, r, n] for i, (r, n) in kept.items())))
`;

interface Case {
  times: number[];
  now: number;
  within: number;
  counts: [PruneRule, number][];
}

/** xorshift32: the series are the same in every run. */
function random(seed: number): (below: number) => number {
  let x = seed;
  return (below) => {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    return (x >>> 0) % below;
  };
}

/** Series end behind these: changes of daylight saving in Berlin, New York and Lord Howe (by half an hour there), both
 *  ways, and the turn of a year whose last days belong to the next one's first week. */
const DAYS: [year: number, month: number, day: number][] = [
  [2026, 2, 29],
  [2025, 9, 26],
  [2026, 2, 8],
  [2025, 10, 2],
  [2026, 3, 5],
  [2025, 9, 5],
  [2025, 11, 31],
];

function makeCase(seed: number): Case {
  const r = random(seed);
  const [year, month, day] = DAYS[r(DAYS.length)]!;
  const now = (Date.UTC(year, month, day, 12) + r(72) * 3600_000) * 1000;
  // Minutes, hours, days or weeks apart, with clusters, and some at the very same moment.
  const unit = [60, 3600, 86400, 7 * 86400][r(4)]! * 1e6;
  const times: number[] = [];
  let t = now - r(86400) * 1e6;
  for (let n = 1 + r(60); n > 0; n--) {
    times.push(t);
    t -= r(4) === 0 ? r(5) * 1e6 : (1 + r(3)) * unit - r(1000) * 1e3;
  }
  const counts = PRUNE_RULES.filter(() => r(3) === 0).map((rule) => [rule, r(8) - 1] as [PruneRule, number]);
  return { times, now, within: r(3) === 0 ? 1 + r(500) : 0, counts };
}

function ours(c: Case): [number, string, number][] {
  const archives: ArchiveInfo[] = c.times.map((micros, i) => ({
    name: String(i),
    id: new Uint8Array(32),
    time: "",
    micros,
  }));
  const policy = { within: c.within, counts: Object.fromEntries(c.counts) };
  return [...keptArchives(archives, policy, c.now)]
    .map(([a, reason]) => [Number(a.name), reason.rule, reason.number] as [number, string, number])
    .sort((a, b) => a[0] - b[0]);
}

describe("the archives kept, and why", () => {
  const before = process.env["TZ"];
  afterAll(() => {
    if (before === undefined) delete process.env["TZ"];
    else process.env["TZ"] = before;
  });
  for (const zone of ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"]) {
    it(`equal borg's on 300 series in ${zone}`, () => {
      process.env["TZ"] = zone;
      const cases = Array.from({ length: 300 }, (_, i) => makeCase(1 + i * 7919));
      const run = spawnSync("/usr/bin/python3", ["-c", ORACLE], {
        input: cases.map((c) => JSON.stringify(c)).join("\n"),
        encoding: "utf8",
        env: { ...process.env, TZ: zone },
        timeout: 60_000,
      });
      expect(run.stderr).toBe("");
      const theirs = run.stdout.trim().split("\n");
      expect(theirs).toHaveLength(cases.length);
      cases.forEach((c, i) => {
        expect(ours(c), JSON.stringify(c)).toEqual(JSON.parse(theirs[i]!));
      });
    });
  }
});
