// Which archives `prune` keeps: Borg's rules (helpers/misc.py, do_prune), which go from the shortest period to the
// longest; in each period the newest archive counts, and one that a rule keeps does not count for the next rule.
// Times are local, so that a day is the user's day, daylight saving included.
import { strftime } from "../format/strftime.ts";
import { localTime, nowMicros } from "../format/time.ts";
import type { ArchiveInfo } from "./manifest.ts";

/** In the order in which they are applied; names are Borg's, and are shown to users. */
export const PRUNE_RULES = [
  "secondly",
  "minutely",
  "hourly",
  "daily",
  "weekly",
  "monthly",
  "quarterly_13weekly",
  "quarterly_3monthly",
  "yearly",
] as const;
export type PruneRule = (typeof PRUNE_RULES)[number];

export interface PrunePolicy {
  /** Hours: everything younger is kept. */
  within?: number | undefined;
  /** Number of archives by rule; negative keeps all. */
  counts: Partial<Record<PruneRule, number>>;
}

/** Why an archive is kept: the rule, and how many it had kept by then. */
export interface KeepReason {
  rule: string;
  number: number;
}

export interface PrunePlan {
  /** Newest first; checkpoints among them. */
  all: ArchiveInfo[];
  /** Archives that are no checkpoints. */
  archives: ArchiveInfo[];
  checkpoints: ArchiveInfo[];
  keep: Map<ArchiveInfo, KeepReason>;
  keepCheckpoints: Set<ArchiveInfo>;
  remove: Set<ArchiveInfo>;
}

const CHECKPOINT = /\.checkpoint(\.\d+)?$/;
/** What may stand behind the names that a glob matches. */
export const CHECKPOINT_SUFFIX = "(\\.checkpoint(\\.\\d+)?)?$";

export function isCheckpoint(name: string): boolean {
  return CHECKPOINT.test(name);
}

/** @param matching archives that the user's glob matches, checkpoints included, newest first */
export function planPrune(
  matching: readonly ArchiveInfo[],
  policy: PrunePolicy,
  now = nowMicros(),
): PrunePlan {
  const all = [...matching];
  const checkpoints = all.filter((a) => isCheckpoint(a.name));
  const archives = all.filter((a) => !isCheckpoint(a.name));
  // The latest checkpoint stays as long as no finished archive is newer: the next run may continue from it.
  const keepCheckpoints = new Set(all.length && all[0] === checkpoints[0] ? [all[0]!] : []);
  const keep = keptArchives(archives, policy, now);
  const remove = new Set(all.filter((a) => !keep.has(a) && !keepCheckpoints.has(a)));
  return { all, archives, checkpoints, keep, keepCheckpoints, remove };
}

/** @param archives newest first */
export function keptArchives(
  archives: readonly ArchiveInfo[],
  policy: PrunePolicy,
  now: number,
): Map<ArchiveInfo, KeepReason> {
  const keep = new Map<ArchiveInfo, KeepReason>();
  if (policy.within) {
    const since = now - policy.within * 3600 * 1e6;
    for (const a of archives) if (a.micros > since) keep.set(a, { rule: "within", number: keep.size + 1 });
  }
  for (const rule of PRUNE_RULES) {
    const count = policy.counts[rule] ?? 0;
    if (count !== 0) applyRule(archives, rule, count, keep);
  }
  return keep;
}

function applyRule(
  archives: readonly ArchiveInfo[],
  rule: PruneRule,
  count: number,
  keep: Map<ArchiveInfo, KeepReason>,
): void {
  const period = periods[rule];
  let last: string | undefined;
  let kept = 0;
  let oldest: ArchiveInfo | undefined;
  for (const archive of archives) {
    oldest = archive;
    const current = period(archive.micros);
    if (current === last) continue;
    last = current;
    if (keep.has(archive)) continue;
    keep.set(archive, { rule, number: ++kept });
    if (kept === count) break;
  }
  // With fewer periods than asked for, the oldest archive stays, so that the history reaches back as far as it can.
  if (oldest && kept < count && !keep.has(oldest))
    keep.set(oldest, { rule: `${rule}[oldest]`, number: kept + 1 });
}

const byFormat = (format: string) => (micros: number) => strftime(format, localTime(micros));

const periods: Record<PruneRule, (micros: number) => string> = {
  secondly: byFormat("%Y-%m-%d %H:%M:%S"),
  minutely: byFormat("%Y-%m-%d %H:%M"),
  hourly: byFormat("%Y-%m-%d %H"),
  daily: byFormat("%Y-%m-%d"),
  weekly: byFormat("%G-%V"),
  monthly: byFormat("%Y-%m"),
  quarterly_13weekly: (micros) => {
    const [year, week] = strftime("%G %V", localTime(micros)).split(" ").map(Number) as [number, number];
    return `${year} ${week <= 13 ? 1 : week <= 26 ? 2 : week <= 39 ? 3 : 4}`;
  },
  quarterly_3monthly: (micros) => {
    const [year, month] = strftime("%Y %m", localTime(micros)).split(" ").map(Number) as [number, number];
    return `${year} ${Math.ceil(month / 3)}`;
  },
  yearly: byFormat("%Y"),
};
