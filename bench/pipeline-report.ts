// What bench/pipeline.ts found, as a table for the terminal, as JSON, and as a picture: one bar a step, how many
// times as fast as borg.
import { mkdirSync, writeFileSync } from "node:fs";

export interface Figures {
  wall: number;
  cpu: number;
  memory: number;
}

export interface Row {
  corpus: string;
  mode: string;
  step: string;
  alcove: Figures;
  borg: Figures;
  restic?: Figures;
}

export interface Report {
  date: string;
  machine: { cpu: string; cores: number; memoryGiB: number };
  runtime: string;
  alcove: string;
  borg: string;
  restic?: string;
  runs: number;
  corpora: { name: string; title: string; files: number; bytes: number }[];
  rows: Row[];
  /** Bytes of the repositories after two creates. */
  sizes: { corpus: string; mode: string; alcove: number; borg: number }[];
}

const MiB = (kib: number): string => (kib / 1024).toFixed(0);

export function table(report: Report): string {
  const head = [
    "corpus",
    "mode",
    "step",
    "wall s",
    "borg",
    "×",
    "CPU s",
    "borg",
    "×",
    "MiB",
    "borg",
    "restic s",
    "×",
    "MiB",
  ];
  const lines = report.rows.map(({ corpus, mode, step, alcove: a, borg: b, restic: r }) => [
    corpus,
    mode,
    step,
    a.wall.toFixed(2),
    b.wall.toFixed(2),
    (b.wall / a.wall).toFixed(2),
    a.cpu.toFixed(2),
    b.cpu.toFixed(2),
    (b.cpu / a.cpu).toFixed(2),
    MiB(a.memory),
    MiB(b.memory),
    ...(r ? [r.wall.toFixed(2), (r.wall / a.wall).toFixed(2), MiB(r.memory)] : ["", "", ""]),
  ]);
  const width = head.map((h, i) => Math.max(h.length, ...lines.map((l) => l[i]!.length)));
  const line = (cells: string[]): string =>
    cells.map((c, i) => (i < 3 ? c.padEnd(width[i]!) : c.padStart(width[i]!))).join("  ");
  const sizes = report.sizes.map(
    (s) =>
      `${s.corpus} ${s.mode}: repository ${s.alcove} bytes, borg's ${s.borg}, ${(s.alcove / s.borg).toFixed(4)}`,
  );
  return [line(head), ...lines.map(line), "", ...sizes].join("\n");
}

export function picture(report: Report): string {
  const row = 22;
  const left = 330;
  const scale = 46;
  const rows = report.rows;
  const most = Math.max(...rows.map((r) => r.borg.wall / r.alcove.wall), 2);
  const width = left + Math.ceil(most) * scale + 60;
  const height = rows.length * row + 60;
  const bars = rows.map(({ corpus, mode, step, alcove, borg }, i) => {
    const ratio = borg.wall / alcove.wall;
    const y = 36 + i * row;
    return (
      `<text x="${left - 8}" y="${y + 14}" text-anchor="end">${corpus}, ${mode}: ${step}</text>` +
      `<rect x="${left}" y="${y + 3}" width="${(ratio * scale).toFixed(1)}" height="${row - 7}" ` +
      `fill="${ratio >= 1 ? "#2f7d5b" : "#b5532d"}"/>` +
      `<text x="${(left + ratio * scale + 5).toFixed(1)}" y="${y + 14}">${ratio.toFixed(1)}</text>`
    );
  });
  const one = left + scale;
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" font-family="sans-serif" font-size="12">` +
    `<rect width="100%" height="100%" fill="#fff"/>` +
    `<text x="8" y="20" font-size="14">Times as fast as ${report.borg}, on ${report.runtime}</text>` +
    `${bars.join("")}<path d="M${one} 30V${height - 16}" stroke="#555" stroke-dasharray="3 3"/></svg>\n`
  );
}

/** Writes NAME.json and NAME.svg. */
export function save(report: Report, directory: string, name: string): void {
  mkdirSync(directory, { recursive: true });
  writeFileSync(`${directory}/${name}.json`, `${JSON.stringify(report, undefined, 1)}\n`);
  writeFileSync(`${directory}/${name}.svg`, picture(report));
}
