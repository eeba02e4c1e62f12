// Borg's placeholders in archive names, locations, comments and globs: {hostname} {fqdn} {reverse-fqdn} {user}
// {pid} {uuid4} {now} {utcnow} {now:FORMAT} {unixtime} {borgversion} {borgmajor} {borgminor} {borgpatch}.
import { randomUUID } from "node:crypto";
import { InvalidPlaceholder, PlaceholderError } from "../errors.ts";
import { fqdn, hostname } from "../runtime/hostid.ts";
import { osUserName } from "../runtime/users.ts";
import { BORG_VERSION } from "./borg-version.ts";
import { FormatSyntaxError, type FormatValue, formatField, formatNames, parseFormat } from "./pyformat.ts";
import { strftime, type WallTime } from "./strftime.ts";
import { localTime, nowMicros, utcTime } from "./time.ts";

export { BORG_VERSION };

/** Where the values come from; whatever is absent is asked of the system. */
export interface PlaceholderContext {
  hostname?: string | undefined;
  fqdn?: string | undefined;
  user?: string | undefined;
  pid?: number | undefined;
  /** Microseconds since the epoch, for {now}, {utcnow} and {unixtime}. */
  now?: number | undefined;
  env?: Record<string, string | undefined> | undefined;
}

/** {now}: strftime of what stands behind the colon, ISO without fraction and zone by default. */
class Moment {
  private readonly time: WallTime;
  constructor(time: WallTime) {
    this.time = time;
  }
  format(spec: string): string {
    return strftime(spec || "%Y-%m-%dT%H:%M:%S", this.time);
  }
}

/** The value of one placeholder; undefined for a name that is none. */
function placeholderValue(name: string, context: PlaceholderContext, now: number): FormatValue | undefined {
  const env = context.env ?? process.env;
  const version = BORG_VERSION.split(".");
  switch (name) {
    case "hostname":
      return env["BORG_HOSTNAME"] || (context.hostname ?? hostname());
    case "fqdn":
      return context.fqdn ?? fqdn();
    case "reverse-fqdn":
      return (context.fqdn ?? fqdn()).split(".").reverse().join(".");
    case "user":
      return env["BORG_USERNAME"] || (context.user ?? osUserName());
    case "pid":
      return context.pid ?? process.pid;
    case "uuid4":
      return randomUUID();
    case "now":
      return new Moment(localTime(now));
    case "utcnow":
      return new Moment(utcTime(now));
    case "unixtime":
      return Math.floor(now / 1e6);
    case "borgversion":
      return BORG_VERSION;
    case "borgmajor":
      return version[0]!;
    case "borgminor":
      return version.slice(0, 2).join(".");
    case "borgpatch":
      return version.slice(0, 3).join(".");
    default:
      return undefined;
  }
}

/** The text with its placeholders replaced. @throws InvalidPlaceholder, PlaceholderError */
export function replacePlaceholders(text: string, context: PlaceholderContext = {}): string {
  if (!text.includes("{") && !text.includes("}")) return text;
  const now = context.now ?? nowMicros();
  const values = new Map<string, FormatValue>();
  const value = (name: string): FormatValue => {
    const known = values.get(name) ?? placeholderValue(name, context, now);
    if (known === undefined) throw new InvalidPlaceholder(name, text);
    values.set(name, known);
    return known;
  };
  const expand = (format: string): string => {
    let out = "";
    for (const part of parseFormat(format)) {
      if (typeof part === "string") out += part;
      else if (part.name === "") throw new FormatSyntaxError("a placeholder needs a name");
      else if (part.conversion) throw new InvalidPlaceholder(part.name, text);
      else out += formatField(value(part.name), "", part.spec.includes("{") ? expand(part.spec) : part.spec);
    }
    return out;
  };
  try {
    // Every name is checked before any value is computed, as the first complaint Borg makes is about names.
    for (const name of formatNames(text)) if (name !== "") value(name);
    return expand(text);
  } catch (error) {
    if (error instanceof FormatSyntaxError) throw new PlaceholderError(text, error.message);
    throw error;
  }
}
