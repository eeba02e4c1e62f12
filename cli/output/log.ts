// The log on stderr, as Borg's: plain messages, or one JSON object a line with --log-json (log_message records,
// docs/internals/frontends.rst). Loggers have Python's dotted names; borg.output.* are opened by the option they
// belong to (--list, --stats, --progress, --show-rc, --show-version) and borg.debug.* by --debug-topic.
import type { LogLevel } from "../../src/log-level.ts";
import { type Json, JsonFloat, jsonLine } from "./json.ts";
import type { LoggingConfiguration } from "./logging-conf.ts";
import { forTerminal, type OutStream, replaceSurrogates } from "./stream.ts";

const rank: Record<LogLevel, number> = { debug: 10, info: 20, warning: 30, error: 40, critical: 50 };

export interface LogOptions {
  level: LogLevel;
  json: boolean;
  /** Levels of single loggers; their children inherit them. */
  levels?: Iterable<readonly [name: string, level: LogLevel]>;
  /** Text form "$LOG LEVEL name Remote: message", which a client of serve takes apart. */
  serve?: boolean;
  /** Called before a line is written, so that a progress line can be wiped first. */
  beforeLine?: () => void;
  now?: () => number;
  /** From BORG_LOGGING_CONF: decides on levels and writes the records, instead of us. */
  configuration?: Pick<LoggingConfiguration, "threshold" | "handle"> | undefined;
}

export interface RecordOptions {
  msgid?: string;
  /** Logger the record belongs to. */
  name?: string;
}

/** Name of records that no other name was given for. */
export const MAIN_LOGGER = "borg.archiver";

export class Logger {
  readonly json: boolean;
  private readonly stream: OutStream;
  private readonly options: LogOptions;
  private readonly levels: Map<string, LogLevel>;
  /** Set by the progress display: wipes its line. */
  beforeLine: (() => void) | undefined;

  constructor(stream: OutStream, options: LogOptions) {
    this.stream = stream;
    this.options = options;
    this.json = options.json;
    this.levels = new Map(options.levels ?? []);
    this.beforeLine = options.beforeLine;
  }

  debug(message: string, record?: RecordOptions): void {
    this.log("debug", message, record);
  }
  info(message: string, record?: RecordOptions): void {
    this.log("info", message, record);
  }
  warning(message: string, record?: RecordOptions): void {
    this.log("warning", message, record);
  }
  error(message: string, record?: RecordOptions): void {
    this.log("error", message, record);
  }
  critical(message: string, record?: RecordOptions): void {
    this.log("critical", message, record);
  }

  log(level: LogLevel, message: string, record: RecordOptions = {}): void {
    const name = record.name ?? MAIN_LOGGER;
    if (!this.enabled(level, name)) return;
    const { configuration } = this.options;
    if (configuration) {
      configuration.handle({ name, level, message, time: (this.options.now ?? Date.now)() });
      return;
    }
    if (this.json) {
      const data: Record<string, Json> = { type: "log_message", time: this.time() };
      data["message"] = message;
      data["levelname"] = level.toUpperCase();
      data["name"] = name;
      if (record.msgid) data["msgid"] = record.msgid;
      this.line(jsonLine(data));
    } else if (this.options.serve) {
      for (const part of message.split("\n"))
        this.line(`$LOG ${level.toUpperCase()} ${name} Remote: ${part}`);
    } else this.line(message);
  }

  /** A record of one of Borg's output loggers, e.g. output("list", …); written if its option was given. */
  output(
    logger: "list" | "stats" | "show-rc" | "show-version" | "progress",
    message: string,
    level: LogLevel = "info",
  ): void {
    // Borg logs statistics line by line.
    for (const line of logger === "stats" ? message.split("\n") : [message]) {
      this.log(level, line, { name: `borg.output.${logger}` });
    }
  }

  /** A record of another type, such as file_status: written with --log-json only, whatever the level. */
  record(data: Record<string, Json>): void {
    this.line(jsonLine(data));
  }

  enabled(level: LogLevel, name: string = MAIN_LOGGER): boolean {
    return rank[level] >= this.thresholdOf(name);
  }

  /** Opens or closes a logger and its children. */
  setLevel(name: string, level: LogLevel): void {
    this.levels.set(name, level);
  }

  /** Seconds since the epoch, as a Python float. */
  time(): JsonFloat {
    return new JsonFloat((this.options.now ?? Date.now)() / 1000);
  }

  /** Text as it is, outside of all loggers (prompts, usage). */
  raw(text: string): void {
    this.beforeLine?.();
    this.stream.write(this.stream.isTTY ? forTerminal(text) : text);
  }

  private line(text: string): void {
    this.beforeLine?.();
    this.stream.write(`${this.stream.isTTY ? forTerminal(text) : replaceSurrogates(text)}\n`);
  }

  private thresholdOf(name: string): number {
    for (let n = name; n; n = n.slice(0, Math.max(0, n.lastIndexOf(".")))) {
      const level = this.levels.get(n);
      if (level) return rank[level];
    }
    if (name.startsWith("borg.debug.")) return rank.warning;
    return this.options.configuration?.threshold(name) ?? rank[this.options.level];
  }
}
