// BORG_LOGGING_CONF: a logging configuration in the INI form of Python's logging.config.fileConfig, with which Borg's
// users send the log to files. Understood are loggers (level, handlers, propagate, qualname), the handlers
// StreamHandler, FileHandler, WatchedFileHandler, RotatingFileHandler and NullHandler, and formatters in the styles
// % and {. Anything else is refused by name, so that nobody waits for a log that is never written.
import { closeSync, fstatSync, openSync, renameSync, statSync, writeSync } from "node:fs";
import { AlcoveError } from "../../src/errors.ts";
import { Ini } from "../../src/format/ini.ts";
import { formatField, parseFormat } from "../../src/format/pyformat.ts";
import { strftime } from "../../src/format/strftime.ts";
import { localTime } from "../../src/format/time.ts";
import type { LogLevel } from "../../src/log-level.ts";
import { replaceSurrogates } from "./stream.ts";

const NUMBERS: Record<string, number> = {
  NOTSET: 0,
  DEBUG: 10,
  INFO: 20,
  WARN: 30,
  WARNING: 30,
  ERROR: 40,
  FATAL: 50,
  CRITICAL: 50,
};

export interface LogRecord {
  name: string;
  level: LogLevel;
  message: string;
  /** Milliseconds since the epoch. */
  time: number;
}

/** Standard streams, as lines. */
export interface ConsoleLines {
  stderr(line: string): void;
  stdout(line: string): void;
}

type Format = (record: LogRecord) => string;

interface Handler {
  level: number;
  format: Format;
  write(line: string): void;
}

interface ConfiguredLogger {
  level: number;
  propagate: boolean;
  handlers: Handler[];
}

export class LoggingConfiguration {
  private readonly loggers = new Map<string, ConfiguredLogger>();

  /** @throws AlcoveError that says what is not understood */
  constructor(text: string, console: ConsoleLines) {
    const ini = Ini.parse(text);
    const formats = new Map<string, Format>();
    for (const key of keys(ini, "formatters")) formats.set(key, formatter(ini, `formatter_${key}`));
    const handlers = new Map<string, Handler>();
    for (const key of keys(ini, "handlers"))
      handlers.set(key, handler(ini, `handler_${key}`, formats, console));
    const names = keys(ini, "loggers");
    if (!names.includes("root")) throw new AlcoveError("there is no logger root in [loggers]");
    for (const key of names) {
      const section = `logger_${key}`;
      if (!ini.hasSection(section)) throw new AlcoveError(`there is no section [${section}]`);
      const name = key === "root" ? "" : (ini.get(section, "qualname") ?? key);
      this.loggers.set(name, {
        level: levelNumber(ini.get(section, "level") ?? (name === "" ? "WARNING" : "NOTSET"), section),
        propagate: (ini.get(section, "propagate") ?? "1").trim() !== "0",
        handlers: list(ini.get(section, "handlers")).map((h) => {
          const found = handlers.get(h);
          if (!found)
            throw new AlcoveError(`[${section}] names the handler ${h}, which is not in [handlers]`);
          return found;
        }),
      });
    }
  }

  /** The lowest level a logger lets through. */
  threshold(name: string): number {
    for (const logger of this.upwards(name)) if (logger.level !== 0) return logger.level;
    return 0;
  }

  /** Gives a record to the handlers of its logger and of those above. */
  handle(record: LogRecord): void {
    for (const logger of this.upwards(record.name)) {
      for (const h of logger.handlers)
        if (NUMBERS[record.level.toUpperCase()]! >= h.level) h.write(h.format(record));
      if (!logger.propagate) return;
    }
  }

  private *upwards(name: string): Generator<ConfiguredLogger> {
    for (let n = name; ; n = n.slice(0, Math.max(0, n.lastIndexOf(".")))) {
      const logger = this.loggers.get(n);
      if (logger) yield logger;
      if (n === "") return;
    }
  }
}

function list(text: string | undefined): string[] {
  return (text ?? "")
    .split(",")
    .map((k) => k.trim())
    .filter((k) => k);
}

function keys(ini: Ini, section: string): string[] {
  if (!ini.hasSection(section)) throw new AlcoveError(`there is no section [${section}]`);
  return list(ini.get(section, "keys"));
}

function levelNumber(text: string, section: string): number {
  const n = NUMBERS[text.trim()];
  if (n === undefined) throw new AlcoveError(`[${section}]: unknown level ${text}`);
  return n;
}

function handler(
  ini: Ini,
  section: string,
  formats: ReadonlyMap<string, Format>,
  console: ConsoleLines,
): Handler {
  if (!ini.hasSection(section)) throw new AlcoveError(`there is no section [${section}]`);
  const kind = (ini.get(section, "class") ?? "").replace(/^logging\.|^handlers\.|^logging\.handlers\./, "");
  const args = literals(ini.get(section, "args") ?? "()", section);
  const named = pairs(ini.get(section, "kwargs") ?? "{}", section);
  const format = formats.get((ini.get(section, "formatter") ?? "").trim()) ?? ((r) => r.message);
  const level = levelNumber(ini.get(section, "level") ?? "NOTSET", section);
  const file = () => {
    const name = args[0] ?? named.get("filename");
    if (typeof name !== "string")
      throw new AlcoveError(`[${section}]: args must begin with the name of a file`);
    const mode = args[1] ?? named.get("mode") ?? "a";
    if (mode !== "a" && mode !== "w")
      throw new AlcoveError(`[${section}]: unknown file mode ${String(mode)}`);
    return { name, mode };
  };
  switch (kind.split(".").at(-1)) {
    case "StreamHandler": {
      const stream = args[0] ?? named.get("stream");
      const out = stream instanceof Word && stream.text === "sys.stdout" ? console.stdout : console.stderr;
      if (stream instanceof Word && !/^sys\.std(out|err)$|^None$/.test(stream.text))
        throw new AlcoveError(`[${section}]: unknown stream ${stream.text}`);
      return { level, format, write: out };
    }
    case "FileHandler":
      return { level, format, write: appender(file().name, file().mode, false, 0, 0) };
    case "WatchedFileHandler":
      return { level, format, write: appender(file().name, "a", true, 0, 0) };
    case "RotatingFileHandler": {
      const bytes = Number(args[2] ?? named.get("maxBytes") ?? 0);
      const count = Number(args[3] ?? named.get("backupCount") ?? 0);
      return { level, format, write: appender(file().name, "a", false, bytes, count) };
    }
    case "NullHandler":
      return { level, format, write: () => {} };
    default:
      throw new AlcoveError(
        `[${section}]: ${kind || "a handler without class"} is not supported (StreamHandler, FileHandler, WatchedFileHandler, RotatingFileHandler and NullHandler are)`,
      );
  }
}

/** Writes lines to a file: opened anew if it was moved away (watch), and moved away itself at a size. */
function appender(
  name: string,
  mode: string,
  watch: boolean,
  maxBytes: number,
  backups: number,
): (line: string) => void {
  let fd = openSync(name, mode);
  const again = () => {
    closeSync(fd);
    fd = openSync(name, "a");
  };
  return (line) => {
    const bytes = Buffer.from(`${replaceSurrogates(line)}\n`);
    if (watch) {
      const seen = statSync(name, { throwIfNoEntry: false });
      if (!seen || seen.ino !== fstatSync(fd).ino) again();
    }
    if (maxBytes > 0 && backups > 0 && fstatSync(fd).size + bytes.length >= maxBytes) {
      for (let i = backups - 1; i >= 0; i--) {
        const from = i === 0 ? name : `${name}.${i}`;
        if (statSync(from, { throwIfNoEntry: false })) renameSync(from, `${name}.${i + 1}`);
      }
      again();
    }
    writeSync(fd, bytes);
  };
}

/** Borg has one thread and one module as far as a log can tell. */
function attributes(record: LogRecord): Record<string, string | number> {
  const level = record.level.toUpperCase();
  return {
    name: record.name,
    levelname: level,
    levelno: NUMBERS[level]!,
    message: record.message,
    created: record.time / 1000,
    msecs: record.time % 1000,
    relativeCreated: performance.now(),
    process: process.pid,
    processName: "MainProcess",
    thread: 0,
    threadName: "MainThread",
    module: record.name.split(".").at(-1)!,
    pathname: "",
    filename: "",
    funcName: "",
    lineno: 0,
  };
}

function formatter(ini: Ini, section: string): Format {
  if (!ini.hasSection(section)) throw new AlcoveError(`there is no section [${section}]`);
  const kind = (ini.get(section, "class") ?? "logging.Formatter").trim();
  if (!/^(logging\.)?Formatter$/.test(kind))
    throw new AlcoveError(`[${section}]: the class ${kind} is not supported (logging.Formatter is)`);
  const style = (ini.get(section, "style") ?? "%").trim().replace(/^(['"])(.*)\1$/, "$2");
  const format = ini.get(section, "format") || (style === "{" ? "{message}" : "%(message)s");
  const dates = ini.get(section, "datefmt") ?? "";
  const known = new Set([
    ...Object.keys(attributes({ name: "", level: "info", message: "", time: 0 })),
    "asctime",
  ]);
  const value = (record: LogRecord, name: string): string | number => {
    if (name !== "asctime") return attributes(record)[name]!;
    const time = localTime(record.time * 1000);
    if (dates) return strftime(dates, time);
    const ms = String(Math.floor(record.time % 1000)).padStart(3, "0");
    return `${strftime("%Y-%m-%d %H:%M:%S", time)},${ms}`;
  };
  const check = (name: string) => {
    if (!known.has(name)) throw new AlcoveError(`[${section}]: there is no attribute ${name}`);
  };
  if (style === "{") {
    const parts = parseFormat(format);
    for (const p of parts) if (typeof p !== "string") check(p.name);
    return (r) =>
      parts
        .map((p) => (typeof p === "string" ? p : formatField(value(r, p.name), p.conversion, p.spec)))
        .join("");
  }
  if (style !== "%") throw new AlcoveError(`[${section}]: the style ${style} is not supported (% and { are)`);
  const field = /%(?:%|\((\w+)\)([-0+ ]*)(\d*)(?:\.(\d+))?([sdifr]))/g;
  for (const m of format.matchAll(field)) if (m[1]) check(m[1]);
  if (format.replace(field, "").includes("%"))
    throw new AlcoveError(`[${section}]: the format "${format}" is not understood`);
  return (r) =>
    format.replace(
      field,
      (whole, name: string | undefined, flags: string, width: string, digits: string, type) =>
        whole === "%%" || name === undefined
          ? "%"
          : percent(value(r, name), flags, width, digits, type as string),
    );
}

/** One field of Python's % operator. */
function percent(
  value: string | number,
  flags: string,
  width: string,
  digits: string | undefined,
  type: string,
) {
  let text = String(value);
  if (type === "d" || type === "i") text = String(Math.trunc(Number(value)));
  else if (type === "f") text = Number(value).toFixed(digits === undefined ? 6 : Number(digits));
  else if (digits !== undefined) text = text.slice(0, Number(digits));
  const columns = Number(width || 0);
  if (flags.includes("-")) return text.padEnd(columns);
  return text.padStart(columns, flags.includes("0") && type !== "s" ? "0" : " ");
}

/** A name that is no literal: sys.stderr, None. */
class Word {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
}

type Literal = string | number | Word;

/** The literals of a Python tuple: strings, numbers and names. */
function literals(text: string, section: string): Literal[] {
  const inner = /^\s*\(([\s\S]*)\)\s*$/.exec(text);
  if (!inner) throw new AlcoveError(`[${section}]: args must be a tuple, as in ('borg.log', 'a')`);
  return values(inner[1]!, section).map(([, v]) => v);
}

function pairs(text: string, section: string): Map<string, Literal> {
  const inner = /^\s*\{([\s\S]*)\}\s*$/.exec(text);
  if (!inner)
    throw new AlcoveError(`[${section}]: kwargs must be a dictionary, as in {'filename': 'borg.log'}`);
  return new Map(values(inner[1]!, section).map(([k, v]) => [String(k ?? ""), v]));
}

function values(text: string, section: string): [string | undefined, Literal][] {
  const item =
    /\s*(?:(?:'([^'\\]*)'|"([^"\\]*)")\s*:\s*)?(?:'([^'\\]*)'|"([^"\\]*)"|(-?\d+)|([A-Za-z_][\w.]*))\s*(?:,|$)/y;
  const out: [string | undefined, Literal][] = [];
  while (item.lastIndex < text.trimEnd().length) {
    const m = item.exec(text);
    if (!m)
      throw new AlcoveError(`[${section}]: "${text}" is not understood; strings, numbers and sys.stderr are`);
    const string = m[3] ?? m[4];
    out.push([m[1] ?? m[2], string ?? (m[5] === undefined ? new Word(m[6]!) : Number(m[5]))]);
  }
  return out;
}
