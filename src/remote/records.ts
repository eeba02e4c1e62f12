// What a server writes to its stderr for the client to show: JSON lines (Borg ≥ 1.1.0b6, the format of --log-json),
// "$LOG LEVEL name Remote: text" (1.0.x and until a client has said that it understands JSON) or plain text.
import { fsDecode } from "../format/bytes.ts";
import type { LogLevel } from "../log-level.ts";
import type { Progress } from "../repository/types.ts";

/** One line of a server, ready to be shown: messages carry the prefix "Remote: " already. */
export type RemoteRecord =
  | {
      kind: "log";
      level: LogLevel;
      name: string;
      message: string;
      msgid?: string;
      record?: Record<string, unknown>;
    }
  /** A progress_percent or progress_message record as the server sent it. */
  | { kind: "progress"; record: Record<string, unknown> }
  /** Anything else a server or ssh wrote; the line's end (\n or \r) included. */
  | { kind: "text"; line: string };

const LEVELS: readonly LogLevel[] = ["debug", "info", "warning", "error", "critical"];

/** Borg's order of levels; unknown names count as critical, as Borg has it. */
export function levelRank(level: string): number {
  const rank = LEVELS.indexOf(level.toLowerCase() as LogLevel);
  return rank < 0 ? LEVELS.length - 1 : rank;
}

function levelOf(name: unknown): LogLevel {
  return LEVELS[levelRank(String(name))]!;
}

/** Longest line that is kept whole; a server that never ends a line must not fill our memory. */
const MAX_LINE = 1024 * 1024;

/** Splits a server's stderr into records. Lines end with \n or with the \r of a progress display. */
export class RecordReader {
  private rest = "";
  private readonly decoder = new TextDecoder("utf-8");
  private readonly sink: (record: RemoteRecord) => void;

  constructor(sink: (record: RemoteRecord) => void) {
    this.sink = sink;
  }

  feed(bytes: Uint8Array): void {
    this.rest += this.decoder.decode(bytes, { stream: true });
    this.lines();
  }

  /** The stream has ended: what is left is a line as well. */
  end(): void {
    this.rest += this.decoder.decode();
    if (this.rest) this.rest += "\n";
    this.lines();
  }

  private lines(): void {
    let from = 0;
    for (let i = 0; i < this.rest.length; i++) {
      const c = this.rest.charCodeAt(i);
      if (c !== 10 && c !== 13) continue;
      if (c === 13 && this.rest.charCodeAt(i + 1) === 10) i++;
      this.sink(parseRecord(this.rest.slice(from, i + 1)));
      from = i + 1;
    }
    this.rest = this.rest.slice(from);
    if (this.rest.length > MAX_LINE) {
      this.sink(parseRecord(`${this.rest}\n`));
      this.rest = "";
    }
  }
}

/** A hostile server must not steer the user's terminal: control characters are shown, not sent. */
function clean(text: string): string {
  return text.replace(/[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]/g, (c) => {
    return `\\x${c.charCodeAt(0).toString(16).padStart(2, "0")}`;
  });
}

/** One line, with its end, as a record. */
export function parseRecord(line: string): RemoteRecord {
  if (line.startsWith("{")) {
    const record = parseJson(line);
    if (record) return record;
  }
  line = clean(line);
  const old = /^\$LOG (\S+) (?:(\S+) )?(Remote: ?.*)/s.exec(line);
  if (old) {
    return { kind: "log", level: levelOf(old[1]), name: old[2] ?? "root", message: old[3]!.trimEnd() };
  }
  return { kind: "text", line: `Remote: ${line}` };
}

function parseJson(line: string): RemoteRecord | undefined {
  let record: Record<string, unknown>;
  try {
    record = JSON.parse(line);
  } catch {
    return undefined; // not a record of Borg, only a line that begins like one
  }
  const message = typeof record.message === "string" ? `Remote: ${clean(record.message)}` : undefined;
  if (message !== undefined) record.message = message;
  switch (record.type) {
    case "log_message":
      return {
        kind: "log",
        level: levelOf(record.levelname),
        name: String(record.name ?? "root"),
        message: message ?? "",
        ...(typeof record.msgid === "string" ? { msgid: record.msgid } : {}),
        record,
      };
    case "progress_message":
    case "progress_percent":
      return { kind: "progress", record };
    default:
      return undefined;
  }
}

/** Writes a server's own log and progress in the form that the client on the other end understands. */
export class RecordWriter {
  /** Set when the client negotiated: it understands JSON lines. */
  json = false;
  private readonly level: number;
  private readonly write: (text: string) => void;
  private operations = 0;
  private operation: { msgid: string; id: number; trigger: number } | undefined;

  /** write: takes whole lines to stderr; level: records below it are dropped. */
  constructor(write: (text: string) => void, level: LogLevel = "warning") {
    this.write = write;
    this.level = levelRank(level);
  }

  log(level: LogLevel, message: string, name = "borg.repository", msgid?: string): void {
    if (levelRank(level) < this.level) return;
    const levelname = level.toUpperCase();
    if (!this.json) {
      this.write(`$LOG ${levelname} ${name} Remote: ${message}\n`);
      return;
    }
    const record = { type: "log_message", time: Date.now() / 1000, message, levelname, name };
    this.write(`${asciiJson(msgid ? { ...record, msgid } : record)}\n`);
  }

  /** Like Borg's percentage indicator: a line every few percent, and one at the end. */
  progress(p: Progress): void {
    if (this.operation?.msgid !== p.msgid) {
      this.operation = { msgid: p.msgid, id: ++this.operations, trigger: 0 };
    }
    const { id } = this.operation;
    const form = PROGRESS_TEXT[p.msgid] ?? { text: p.msgid, step: 1, digits: 0 };
    const base = { operation: id, msgid: p.msgid, type: "progress_percent" };
    if (p.finished) {
      this.operation = undefined;
      this.write(this.json ? `${asciiJson({ ...base, finished: true, time: Date.now() / 1000 })}\n` : "\r");
      return;
    }
    const percent = p.total > 0 ? (p.current * 100) / p.total : 0;
    if (percent < this.operation.trigger) return;
    this.operation.trigger += form.step;
    const message = `${form.text} ${percent.toFixed(form.digits)}%`;
    if (!this.json) {
      this.write(`${message}\r`);
      return;
    }
    const { current, total, info = null } = p;
    const rest = { finished: false, time: Date.now() / 1000 };
    this.write(`${asciiJson({ message, current, total, info, ...base, ...rest })}\n`);
  }
}

/** What Borg calls the operations that a server may report, with the step of its percentage. */
const PROGRESS_TEXT: Record<string, { text: string; step: number; digits: number }> = {
  "repository.check": { text: "Checking segments", step: 0.1, digits: 1 },
  "repository.compact_segments": { text: "Compacting segments", step: 1, digits: 0 },
  "repository.replay_segments": { text: "Replaying segments", step: 5, digits: 0 },
};

/** JSON without any character beyond ASCII, as Python writes it: undecodable bytes travel as lone surrogates. */
function asciiJson(value: unknown): string {
  return JSON.stringify(value).replace(
    /[\u007f-\uffff]/g,
    (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/** Text for people from raw bytes of a peer: control characters never reach a terminal raw. */
export function printable(bytes: Uint8Array, limit = 128): string {
  const text = fsDecode(bytes.subarray(0, limit));
  if (/^[\t\r\n -~]*$/.test(text)) return text;
  return Array.from(bytes.subarray(0, limit), (b) => b.toString(16).toUpperCase().padStart(2, "0")).join(" ");
}
