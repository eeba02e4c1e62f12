// strftime as Python's datetime has it on Unix: the C library's directives in the C locale, glibc's flags
// (%-d, %_H, %^a), and Python's own %f and %z. Used by {now:FORMAT} and by times in --format.

/** A moment on a clock face. Months 1–12, weekday 0 = Sunday, yearDay 1–366. */
export interface WallTime {
  year: number;
  month: number;
  day: number;
  hour: number;
  minute: number;
  second: number;
  micro: number;
  weekday: number;
  yearDay: number;
  /** Seconds since the epoch, for %s. */
  epoch: number;
  /** Seconds east of UTC and the zone's name; both absent for a time without zone (then %z and %Z are empty). */
  offset?: number | undefined;
  zone?: string | undefined;
}

const DAYS = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const MONTHS = [
  "January",
  "February",
  "March",
  "April",
  "May",
  "June",
  "July",
  "August",
  "September",
  "October",
  "November",
  "December",
];

/** Directives that stand for others. */
const COMPOSED: Record<string, string> = {
  c: "%a %b %e %H:%M:%S %Y",
  D: "%m/%d/%y",
  F: "%Y-%m-%d",
  r: "%I:%M:%S %p",
  R: "%H:%M",
  T: "%H:%M:%S",
  x: "%m/%d/%y",
  X: "%H:%M:%S",
};

/** Number of a directive, its width and what it is padded with. */
function numeric(directive: string, t: WallTime): [number, number, string] | undefined {
  const hour12 = t.hour % 12 || 12;
  switch (directive) {
    case "C":
      return [Math.floor(t.year / 100), 2, "0"];
    case "d":
      return [t.day, 2, "0"];
    case "e":
      return [t.day, 2, " "];
    case "f":
      return [t.micro, 6, "0"];
    case "G":
      return [isoWeek(t)[0], 1, "0"];
    case "g":
      return [isoWeek(t)[0] % 100, 2, "0"];
    case "H":
      return [t.hour, 2, "0"];
    case "I":
      return [hour12, 2, "0"];
    case "j":
      return [t.yearDay, 3, "0"];
    case "k":
      return [t.hour, 2, " "];
    case "l":
      return [hour12, 2, " "];
    case "m":
      return [t.month, 2, "0"];
    case "M":
      return [t.minute, 2, "0"];
    case "s":
      return [t.epoch, 1, "0"];
    case "S":
      return [t.second, 2, "0"];
    case "u":
      return [t.weekday || 7, 1, "0"];
    case "U":
      return [Math.floor((t.yearDay + 6 - t.weekday) / 7), 2, "0"];
    case "V":
      return [isoWeek(t)[1], 2, "0"];
    case "w":
      return [t.weekday, 1, "0"];
    case "W":
      return [Math.floor((t.yearDay + 6 - ((t.weekday + 6) % 7)) / 7), 2, "0"];
    case "y":
      return [t.year % 100, 2, "0"];
    case "Y":
      return [t.year, 1, "0"];
    default:
      return undefined;
  }
}

/** ISO 8601 year and week. */
function isoWeek(t: WallTime): [number, number] {
  const weekday = t.weekday || 7;
  const week = Math.floor((t.yearDay - weekday + 10) / 7);
  if (week < 1) return [t.year - 1, weeksIn(t.year - 1)];
  return week > weeksIn(t.year) ? [t.year + 1, 1] : [t.year, week];
}

function weeksIn(year: number): number {
  // A year has 53 ISO weeks if it ends on a Thursday, or the one before it ended on a Wednesday.
  const end = (y: number) => (y + Math.floor(y / 4) - Math.floor(y / 100) + Math.floor(y / 400)) % 7;
  return end(year) === 4 || end(year - 1) === 3 ? 53 : 52;
}

function words(directive: string, t: WallTime): string | undefined {
  switch (directive) {
    case "a":
      return DAYS[t.weekday]!.slice(0, 3);
    case "A":
      return DAYS[t.weekday]!;
    case "b":
    case "h":
      return MONTHS[t.month - 1]!.slice(0, 3);
    case "B":
      return MONTHS[t.month - 1]!;
    case "n":
      return "\n";
    case "p":
      return t.hour < 12 ? "AM" : "PM";
    case "P":
      return t.hour < 12 ? "am" : "pm";
    case "t":
      return "\t";
    case "z":
      return t.offset === undefined ? "" : offsetText(t.offset);
    case "Z":
      return t.zone ?? "";
    case "%":
      return "%";
    default:
      return undefined;
  }
}

/** "+0100"; seconds only where a historical zone has them. */
export function offsetText(offset: number, colon = ""): string {
  const two = (n: number) => String(n).padStart(2, "0");
  const abs = Math.abs(offset);
  const seconds = abs % 60 ? colon + two(abs % 60) : "";
  return `${offset < 0 ? "-" : "+"}${two(Math.floor(abs / 3600))}${colon}${two(Math.floor(abs / 60) % 60)}${seconds}`;
}

/** The time in the given format. A directive nobody knows stays as it is, as glibc leaves it. */
export function strftime(format: string, t: WallTime): string {
  return format.replace(
    /%([-_0^#]*)(\d*)([EO]?)([\s\S])/g,
    (whole, flags: string, width: string, _e, directive: string) => {
      const composed = COMPOSED[directive];
      let text: string;
      let pad = " ";
      let least = Number(width) || 0;
      const number = numeric(directive, t);
      if (number) {
        let digits: number;
        [, digits, pad] = number;
        if (flags.includes("_")) pad = " ";
        else if (flags.includes("0")) pad = "0";
        least ||= flags.includes("-") ? 1 : digits;
        text = String(number[0]);
      } else {
        const word = composed ? strftime(composed, t) : words(directive, t);
        if (word === undefined) return whole;
        text = word;
        if (flags.includes("0")) pad = "0";
        if (flags.includes("^")) text = text.toUpperCase();
        // "#" swaps the case: names become upper case, AM and PM lower case.
        if (flags.includes("#"))
          text = directive === "p" || directive === "Z" ? text.toLowerCase() : text.toUpperCase();
      }
      return text.padStart(least, pad);
    },
  );
}
