// Borg's times. Manifests and archives keep UTC as "2016-02-15T19:56:29.123456" without a zone; people see local
// time. A timestamp here is a number: microseconds since the epoch, exact until the year 2255.
import { statSync } from "node:fs";
import { ArgumentError, IntegrityError } from "../errors.ts";
import { strftime, type WallTime } from "./strftime.ts";

/** Borg clamps file times to what a signed 32-bit second can hold, less 48 hours for time zones. */
export const MAX_SECONDS = 2 ** 31 - 1 - 48 * 3600;
const MAX_NS = BigInt(MAX_SECONDS) * 1_000_000_000n;

const ISO = "%Y-%m-%dT%H:%M:%S.%f";
const HUMAN = "%a, %Y-%m-%d %H:%M:%S";

/** Microseconds since the epoch, now. */
export function nowMicros(): number {
  return Math.round((performance.timeOrigin + performance.now()) * 1000);
}

/** Clock face in UTC, with zone. */
export function utcTime(micros: number): WallTime {
  return wall(micros, new Date(Math.floor(micros / 1e6) * 1000), true);
}

/** Clock face in the local zone (TZ), with offset and name. */
export function localTime(micros: number): WallTime {
  return wall(micros, new Date(Math.floor(micros / 1e6) * 1000), false);
}

function wall(micros: number, date: Date, utc: boolean): WallTime {
  const epoch = Math.floor(micros / 1e6);
  if (Number.isNaN(date.getTime())) throw new IntegrityError(`a time out of range: ${micros} µs`);
  // The local clock face read as if it were UTC: its distance to the real moment is the offset.
  const face = utc
    ? date
    : new Date(
        dayStart(date.getFullYear(), date.getMonth(), date.getDate()) +
          ((date.getHours() * 60 + date.getMinutes()) * 60 + date.getSeconds()) * 1000,
      );
  const year = face.getUTCFullYear();
  return {
    year,
    month: face.getUTCMonth() + 1,
    day: face.getUTCDate(),
    hour: face.getUTCHours(),
    minute: face.getUTCMinutes(),
    second: face.getUTCSeconds(),
    micro: micros - epoch * 1e6,
    weekday: face.getUTCDay(),
    yearDay:
      Math.round((dayStart(year, face.getUTCMonth(), face.getUTCDate()) - dayStart(year, 0, 1)) / 86400000) +
      1,
    epoch,
    offset: Math.round((face.getTime() - date.getTime()) / 1000),
    // The name costs a look-up in Intl's tables, so it waits until %Z asks.
    get zone() {
      return utc ? "UTC" : zoneName(date);
    },
  };
}

/** Milliseconds of a UTC midnight; Date.UTC would take the years 0 to 99 for 1900 to 1999. */
function dayStart(year: number, month: number, day: number): number {
  const date = new Date(0);
  date.setUTCFullYear(year, month, day);
  return date.getTime();
}

function zoneName(date: Date): string {
  // Which abbreviations Intl knows depends on the region of the locale.
  for (const locale of ["en-US", "en-GB", "en-AU", "en-IN"]) {
    const parts = new Intl.DateTimeFormat(locale, { timeZoneName: "short" }).formatToParts(date);
    const name = parts.find((p) => p.type === "timeZoneName")?.value ?? "";
    if (/^[A-Z]{2,5}$/.test(name)) return name;
  }
  const minutes = -date.getTimezoneOffset();
  const abs = Math.abs(minutes);
  const two = (n: number) => String(n).padStart(2, "0");
  return `${minutes < 0 ? "-" : "+"}${two(Math.floor(abs / 60))}${abs % 60 ? two(abs % 60) : ""}`;
}

/** UTC as manifests and archives keep it: "2016-02-15T19:56:29.123456", always with microseconds. */
export function formatTimestamp(micros: number): string {
  return strftime(ISO, utcTime(micros)).padStart(26, "0");
}

/** A manifest's or archive's time, UTC, microseconds optional. @throws IntegrityError */
export function parseTimestamp(text: string): number {
  const found = parseIso(text, /^(\d{4})-(\d\d?)-(\d\d?)T(\d\d?):(\d\d?):(\d\d?)(?:\.(\d{1,6}))?$/);
  if (found === undefined) throw new IntegrityError(`not a timestamp: ${JSON.stringify(text.slice(0, 80))}`);
  return found;
}

function parseIso(text: string, pattern: RegExp): number | undefined {
  const m = pattern.exec(text);
  if (!m) return undefined;
  const [, year, month = "1", day = "1", hour = "0", minute = "0", second = "0", fraction = "0"] = m;
  return micros(+year!, +month, +day, +hour, +minute, +second, +fraction.padEnd(6, "0"));
}

/** Microseconds of a UTC clock face; undefined for a date that does not exist. */
function micros(year: number, month: number, day: number, h: number, min: number, s: number, us: number) {
  const ms = dayStart(year, month - 1, day);
  const date = new Date(ms);
  if (date.getUTCMonth() !== month - 1 || date.getUTCDate() !== day || year < 1) return undefined;
  if (h > 23 || min > 59 || s > 59) return undefined;
  return (ms / 1000 + h * 3600 + min * 60 + s) * 1e6 + us;
}

/**
 * The value of --timestamp: a file or directory whose mtime is meant, or a UTC time down to the day
 * ("2016-02-15", "2016-046", "2016-02-15T19:56", "2016-02-15 19:56:29", a trailing Z or +00:00 allowed).
 * @throws ArgumentError
 */
export function parseTimestampArgument(text: string): number {
  try {
    return Math.round(Math.min(Math.max(statSync(text).mtimeMs, 0), MAX_SECONDS * 1000) * 1000);
  } catch {
    // No such file: then it is a time.
  }
  const julian = /^(\d{4})-(\d{1,3})$/.exec(text);
  if (julian && +julian[2]! >= 1 && +julian[2]! <= 366) return dayStart(+julian[1]!, 0, +julian[2]!) * 1000;
  const found =
    parseIso(text, /^(\d{4})-(\d\d?)-(\d\d?)(?:(?:T|\s+)(\d\d?):(\d\d?)(?::(\d\d?))?)?$/) ??
    parseIso(text, /^(\d{4})-(\d\d?)-(\d\d?)T(\d\d?):(\d\d?):(\d\d?)(?:Z|\+00:00)$/);
  if (found === undefined)
    throw new ArgumentError(`neither a file nor a time: "${text}" (example: 2016-02-15T19:56:29)`);
  return found;
}

const HOURS: Record<string, number> = { H: 1, d: 24, w: 24 * 7, m: 24 * 31, y: 24 * 365 };

/** Hours of an interval like "12H", "2d", "1w", "6m", "1y". @throws ArgumentError */
export function parseInterval(text: string): number {
  const factor = HOURS[text.slice(-1)];
  if (factor === undefined) {
    throw new ArgumentError(
      `"${text}" is no interval: it has to end with one of ${Object.keys(HOURS).join(", ")}`,
    );
  }
  const digits = text.slice(0, -1).trim();
  const hours = /^\+?\d+(_\d+)*$/.test(digits) ? Number(digits.replaceAll("_", "")) * factor : 0;
  if (!(hours > 0)) throw new ArgumentError(`"${text}" is no interval: it needs an integer above zero`);
  return hours;
}

/** Seconds of a file time in nanoseconds, clamped to Borg's range, in µs as Borg rounds it (through a double). */
export function fileTimeMicros(ns: bigint): number {
  const clamped = ns < 0n ? 0n : ns > MAX_NS ? MAX_NS : ns;
  const seconds = Number(clamped) / 1e9;
  const whole = Math.trunc(seconds);
  return whole * 1e6 + roundHalfEven((seconds - whole) * 1e6);
}

function roundHalfEven(x: number): number {
  const floor = Math.floor(x);
  if (x - floor !== 0.5) return Math.round(x);
  return floor % 2 === 0 ? floor : floor + 1;
}

/**
 * A time as Borg's output shows it: local, "Mon, 2016-02-15 20:56:29" for people, "2016-02-15T20:56:29.000000"
 * (no zone) in JSON. A timestamp of a manifest or archive loses its fraction there; a file's time keeps it.
 */
export class OutputTime {
  private readonly wall: WallTime;
  private constructor(wall: WallTime) {
    this.wall = wall;
  }

  /** From a timestamp in microseconds, UTC. */
  static ofTimestamp(micros: number): OutputTime {
    const time = localTime(Math.floor(micros / 1e6) * 1e6);
    return new OutputTime({ ...withoutZone(time), micro: 0 });
  }

  /** From an item's time in nanoseconds. */
  static ofFileTime(ns: bigint): OutputTime {
    return new OutputTime(withoutZone(localTime(fileTimeMicros(ns))));
  }

  /** Python's format(): strftime of the spec, or the text for people if it is empty. */
  format(spec = ""): string {
    return strftime(spec || HUMAN, this.wall);
  }

  toString(): string {
    return this.format();
  }

  isoformat(): string {
    return strftime(ISO, this.wall);
  }

  toJSON(): string {
    return this.isoformat();
  }
}

function withoutZone(time: WallTime): WallTime {
  const { year, month, day, hour, minute, second, micro, weekday, yearDay, epoch } = time;
  return { year, month, day, hour, minute, second, micro, weekday, yearDay, epoch };
}

/** "Mon, 2016-02-15 20:56:29" in local time. */
export function formatTime(micros: number): string {
  return OutputTime.ofTimestamp(micros).format();
}

/** Local time as Borg's JSON has it, "2016-02-15T20:56:29.000000". */
export function toLocalIso(micros: number): string {
  return OutputTime.ofTimestamp(micros).isoformat();
}

/** A duration in seconds for people: "1 days 2 hours 3 minutes 4.56 seconds", leading zeros left out. */
export function formatDuration(seconds: number): string {
  const mod = (x: number, n: number) => ((x % n) + n) % n;
  const m = mod(Math.trunc(seconds / 60), 60);
  const h = mod(Math.trunc(seconds / 3600), 24);
  const d = Math.floor(seconds / 86400);
  let text = `${mod(seconds, 60).toFixed(2)} seconds`;
  if (m) text = `${m} minutes ${text}`;
  if (h) text = `${h} hours ${text}`;
  if (d) text = `${d} days ${text}`;
  return text;
}
