// Progress: Borg's progress_percent, progress_message and archive_progress records with --log-json, its text
// form (one line ended by a carriage return) where stderr is no terminal, and on a terminal one rewritten line
// with percentage, rate and the time left. docs/internals/frontends.rst lists the records' fields; `eta` (seconds
// left), `rate` (bytes per second) and `estimate` (from an earlier archive) are our additions.
import type { Progress, ProgressSink } from "../../src/repository/types.ts";
import { type Json, JsonFloat } from "./json.ts";
import type { Logger } from "./log.ts";
import { forTerminalLine, type OutStream, replaceSurrogates } from "./stream.ts";
import { truncateMiddle, width } from "./text.ts";

/** One line that is written again and again, and wiped before anything else is written to the terminal. */
export class ProgressLine {
  private shown = 0;
  private readonly stream: OutStream;
  constructor(stream: OutStream) {
    this.stream = stream;
  }

  /** `fixed` is always shown; `rest` is cut in its middle to what room is left. */
  show(fixed: string, rest = ""): void {
    const columns = this.stream.columns() ?? 80;
    if (!this.stream.isTTY) {
      this.stream.write(`${fixed}${replaceSurrogates(rest)}\r`);
      return;
    }
    // What is always shown may hold the name of an archive.
    const shown = forTerminalLine(fixed);
    const room = Math.max(0, columns - 1 - width(shown));
    const text = shown + truncateMiddle(forTerminalLine(rest), room);
    const used = width(text);
    this.stream.write(`\r${text}${" ".repeat(Math.max(0, this.shown - used))}\r`);
    this.shown = used;
  }

  wipe(): void {
    if (this.shown === 0) return;
    this.stream.write(`\r${" ".repeat(this.shown)}\r`);
    this.shown = 0;
  }
}

let operations = 0;

export interface ProgressContext {
  log: Logger;
  line: ProgressLine;
  /** --progress was given. */
  enabled: boolean;
  isTTY: boolean;
  /** Milliseconds; a steady clock. */
  now(): number;
}

/** progress_percent of one operation. */
export class PercentProgress {
  private readonly ctx: ProgressContext;
  private readonly operation = ++operations;
  private readonly msgid: string;
  /** Text before the percentage, e.g. "Checking segments". */
  private readonly label: string;
  private readonly step: number;
  private nextAt = 0;
  private lastPaint = -1000;
  private readonly started: number;
  private done = false;

  constructor(ctx: ProgressContext, msgid: string, label: string, step = 0.1) {
    this.ctx = ctx;
    this.msgid = msgid;
    this.label = label;
    this.step = step;
    this.started = ctx.now();
  }

  /** Shows current of total; `info` says for people what is being worked on. Calls between two steps cost nothing. */
  show(current: number, total: number, info: readonly string[] = []): void {
    if (!this.ctx.enabled) return;
    const percent = total > 0 ? (current * 100) / total : 100;
    if (percent < this.nextAt) return;
    const now = this.ctx.now();
    if (this.ctx.isTTY && !this.ctx.log.json && now - this.lastPaint < 100 && percent < 100) return;
    this.lastPaint = now;
    while (this.nextAt <= percent) this.nextAt += this.step;
    const seconds = (now - this.started) / 1000;
    const left =
      seconds >= 2 && current > 0 && current < total ? (seconds * (total - current)) / current : undefined;
    const message = `${this.label} ${percent.toFixed(1).padStart(5)}%${info.length ? ` - ${info.join(" ")}` : ""}`;
    if (this.ctx.log.json) {
      this.ctx.log.record({
        message,
        current,
        total,
        info: info.length ? [...info] : null,
        ...(left === undefined ? {} : { eta: Math.round(left) }),
        ...this.common(false),
      });
    } else {
      const leftText = left === undefined ? "" : `, ${duration(left)} left`;
      this.ctx.line.show(`${this.label} ${percent.toFixed(1).padStart(5)}%${leftText} `, info.join(" "));
    }
  }

  /** Says what is done before there is a percentage. */
  note(message: string): void {
    if (!this.ctx.enabled) return;
    if (this.ctx.log.json) {
      this.ctx.log.record({ message, current: 0, total: 0, info: null, ...this.common(false) });
    } else this.ctx.line.show(message);
  }

  finish(): void {
    if (this.done) return;
    this.done = true;
    if (!this.ctx.enabled) return;
    if (this.ctx.log.json) this.ctx.log.record(this.common(true));
    else if (this.ctx.isTTY) this.ctx.line.wipe();
    else this.ctx.line.show("");
  }

  private common(finished: boolean): Record<string, Json> {
    return {
      operation: this.operation,
      msgid: this.msgid,
      type: "progress_percent",
      finished,
      time: this.ctx.log.time(),
    };
  }
}

/** progress_message: says what is going on, without a percentage. */
export class MessageProgress {
  private readonly ctx: ProgressContext;
  private readonly operation = ++operations;
  private readonly msgid: string;

  constructor(ctx: ProgressContext, msgid: string) {
    this.ctx = ctx;
    this.msgid = msgid;
  }

  output(message: string): void {
    if (!this.ctx.enabled) return;
    if (this.ctx.log.json) this.ctx.log.record({ message, ...this.common(false) });
    else this.ctx.line.show(message);
  }

  finish(): void {
    if (!this.ctx.enabled) return;
    if (this.ctx.log.json) this.ctx.log.record(this.common(true));
    else if (this.ctx.isTTY) this.ctx.line.wipe();
    else this.ctx.line.show("");
  }

  private common(finished: boolean): Record<string, Json> {
    return {
      operation: this.operation,
      msgid: this.msgid,
      type: "progress_message",
      finished,
      time: this.ctx.log.time(),
    };
  }
}

/** A sink for the library's progress reports: one PercentProgress for each msgid, made when it first speaks. */
export function percentSink(ctx: ProgressContext, labels: Record<string, string>): ProgressSink {
  const running = new Map<string, PercentProgress>();
  return (p: Progress) => {
    let progress = running.get(p.msgid);
    if (!progress) {
      progress = new PercentProgress(ctx, p.msgid, labels[p.msgid] ?? p.msgid);
      running.set(p.msgid, progress);
    }
    if (p.finished) {
      progress.finish();
      running.delete(p.msgid);
    } else progress.show(p.current, p.total, p.info);
  };
}

export interface ArchiveCounts {
  originalSize: number;
  compressedSize: number;
  deduplicatedSize: number;
  files: number;
}

/** What is expected in all, from an earlier archive: an estimate, and shown as one. */
export interface ArchiveEstimate {
  originalSize: number;
  files: number;
}

/** archive_progress: what create, recreate and import-tar have done so far. */
export class ArchiveProgress {
  private readonly ctx: ProgressContext;
  private readonly size: (n: number) => string;
  private readonly estimate: ArchiveEstimate | undefined;
  private readonly started: number;
  private last = Number.NEGATIVE_INFINITY;
  /** Least time between two reports, milliseconds: Borg's 0.2 s. */
  private readonly interval = 200;

  constructor(ctx: ProgressContext, size: (n: number) => string, estimate?: ArchiveEstimate) {
    this.ctx = ctx;
    this.size = size;
    this.estimate = estimate;
    this.started = ctx.now();
  }

  /** True if it is time for a report: lets the caller skip preparing one. */
  get enabled(): boolean {
    return this.ctx.enabled;
  }

  due(): boolean {
    return this.ctx.enabled && this.ctx.now() - this.last >= this.interval;
  }

  show(counts: ArchiveCounts, path: string): void {
    if (!this.due()) return;
    const now = this.ctx.now();
    this.last = now;
    const seconds = (now - this.started) / 1000;
    const rate = seconds > 0 ? counts.originalSize / seconds : 0;
    const fraction = this.fraction(counts);
    const left =
      fraction !== undefined && seconds >= 2 && fraction < 1 ? seconds * (1 / fraction - 1) : undefined;
    if (this.ctx.log.json) {
      this.ctx.log.record({
        original_size: counts.originalSize,
        compressed_size: counts.compressedSize,
        deduplicated_size: counts.deduplicatedSize,
        nfiles: counts.files,
        path: replaceSurrogates(path),
        rate: Math.round(rate),
        ...(fraction === undefined
          ? {}
          : {
              estimate: {
                percent: new JsonFloat(round1(fraction * 100)),
                eta: left === undefined ? null : Math.round(left),
              },
            }),
        time: this.ctx.log.time(),
        type: "archive_progress",
        finished: false,
      });
      return;
    }
    const { size } = this;
    let text = `${size(counts.originalSize)} O ${size(counts.compressedSize)} C ${size(counts.deduplicatedSize)} D ${counts.files} N `;
    if (this.ctx.isTTY) {
      if (fraction !== undefined) text = `~${String(Math.round(fraction * 100)).padStart(2)}% ${text}`;
      text += `${size(rate)}/s `;
      if (left !== undefined) text += `~${duration(left)} left `;
    }
    this.ctx.line.show(text, path);
  }

  finish(): void {
    if (!this.ctx.enabled) return;
    if (this.ctx.log.json) {
      this.ctx.log.record({ time: this.ctx.log.time(), type: "archive_progress", finished: true });
    } else if (this.ctx.isTTY) this.ctx.line.wipe();
    else this.ctx.line.show("");
  }

  private fraction(counts: ArchiveCounts): number | undefined {
    const e = this.estimate;
    if (!e || e.originalSize + e.files === 0) return undefined;
    // Many small files are bound by their number, few large ones by their size: weigh both.
    const bySize = e.originalSize ? counts.originalSize / e.originalSize : 1;
    const byFiles = e.files ? counts.files / e.files : 1;
    const f = (bySize + byFiles) / 2;
    return f > 0.001 ? Math.min(f, 0.999) : undefined;
  }
}

function round1(n: number): number {
  return Math.round(n * 10) / 10;
}

/** "45 s", "3 min", "2 h 10 min". */
export function duration(seconds: number): string {
  if (seconds < 90) return `${Math.max(1, Math.round(seconds))} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 90) return `${minutes} min`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}
