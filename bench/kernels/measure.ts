// Timing and reporting for the kernel benchmarks: the best of many rounds, since other load can only make a round
// slower; and short ones, since a round of 20 ms is hardly ever left alone on a busy machine.

const ROUND = 2;
/** At least so many rounds, so that one of them had the processor for itself. */
const ROUNDS = 40;

/** Bytes a second of `work`, which handles `bytes` bytes a call; rounds of ≥ 2 ms for about `seconds`. */
export function rate(bytes: number, work: () => void, seconds = 0.6): number {
  work();
  let calls = 1;
  let rounds = 0;
  let least = Infinity;
  const stop = performance.now() + seconds * 1000;
  do {
    const start = performance.now();
    for (let i = 0; i < calls; i++) work();
    const spent = performance.now() - start;
    if (spent < ROUND && rounds === 0) calls = Math.ceil((calls * 1.2 * ROUND) / Math.max(spent, 0.05));
    else {
      least = Math.min(least, spent / calls);
      rounds++;
    }
    // The slow peers (a tenth of a second a call) are not waited for as long.
  } while (performance.now() < stop || (rounds < ROUNDS && performance.now() < stop + 1000 * seconds));
  return bytes / (least / 1000);
}

/** Rates of several works over the same bytes, their rounds taken in turn, so that load hits all alike. */
export function rates(
  bytes: number,
  works: Record<string, (() => void) | undefined>,
  seconds = 0.6,
): Figures {
  const out: Figures = {};
  for (let turn = 0; turn < 3; turn++) {
    for (const [name, work] of Object.entries(works)) {
      if (work) out[name] = Math.max(out[name] ?? 0, rate(bytes, work, seconds / 3));
    }
  }
  return out;
}

/** Implementation → bytes a second. */
export type Figures = Record<string, number>;

/** The rates over equal parts as one over the whole. */
export function together(parts: Figures[]): Figures {
  const names = Object.keys(parts[0] ?? {});
  return Object.fromEntries(
    names.map((name) => [name, parts.length / parts.reduce((sum, part) => sum + 1 / part[name]!, 0)]),
  );
}

export interface Row {
  kernel: string;
  /** Our figure's key in `figures`. */
  ours: string;
  figures: Figures;
  /** The peers that the project's goals name, with floor and goal for ours / theirs. */
  goals?: { against: string; floor: number; goal: number }[];
}

const GB = (rate: number): string => (rate / 1e9).toFixed(3);

/** Lines of a table: each peer's GB/s and ours as a ratio to it. */
export function table(rows: Row[]): string {
  const lines: string[] = [];
  for (const { kernel, ours, figures, goals } of rows) {
    const own = figures[ours];
    lines.push("", `${kernel}   ${ours}: ${own === undefined ? "–" : `${GB(own)} GB/s`}`);
    for (const [name, figure] of Object.entries(figures)) {
      if (name === ours || own === undefined) continue;
      const goal = goals?.find((g) => g.against === name);
      const ratio = own / figure;
      const verdict = goal
        ? `  floor ${goal.floor}, goal ${goal.goal}: ${ratio >= goal.goal ? "goal met" : ratio >= goal.floor ? "floor met" : "MISSED"}`
        : "";
      lines.push(
        `  ${name.padEnd(44)} ${GB(figure).padStart(8)} GB/s   ratio ${ratio.toFixed(2).padStart(6)}${verdict}`,
      );
    }
  }
  return lines.join("\n");
}
