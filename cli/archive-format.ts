// One line for an archive: the keys of Borg's ArchiveFormatter. An archive's own metadata is loaded only if the
// format names something of it.
import type { Archive } from "../src/archive/archive.ts";
import type { ArchiveInfo, Manifest } from "../src/archive/manifest.ts";
import { toHex } from "../src/format/bytes.ts";
import { type CompiledFormat, compileFormat } from "../src/format/formatter.ts";
import { removeSurrogates } from "../src/format/paths.ts";
import type { FormatValue } from "../src/format/pyformat.ts";
import { shellQuote } from "../src/format/shlex.ts";
import { OutputTime } from "../src/format/time.ts";
import type { Json } from "./output/json.ts";

const metadataKeys = ["hostname", "username", "comment", "bcomment", "end", "command_line", "tam"];

/** Every key --format knows for archives. */
export const archiveKeys: readonly string[] = [
  "archive",
  "name",
  "barchive",
  "id",
  "time",
  "start",
  ...metadataKeys,
];

export class ArchiveFormatter {
  readonly #manifest: Manifest;
  readonly #format: CompiledFormat;

  /** @throws InvalidPlaceholder for an unknown key */
  constructor(manifest: Manifest, format: string) {
    this.#manifest = manifest;
    this.#format = compileFormat(format, archiveKeys);
  }

  async line(info: ArchiveInfo): Promise<string> {
    const archive = await this.#load(info);
    return this.#format.render((key) => keyValue(key, info, archive));
  }

  /** The keys that are always there, and those the format names. */
  async json(info: ArchiveInfo): Promise<{ [key: string]: Json }> {
    const archive = await this.#load(info);
    const out: { [key: string]: Json } = {};
    for (const key of ["archive", "barchive", "id", "name", "start", "time", ...this.#format.keys]) {
      if (key === "command_line") {
        out[key] = archive!.metadata.cmdline.map(removeSurrogates);
        continue;
      }
      const value = keyValue(key, info, archive);
      out[key] = value instanceof OutputTime ? value.isoformat() : (value as string);
    }
    return out;
  }

  async #load(info: ArchiveInfo): Promise<Archive | undefined> {
    if (!metadataKeys.some((k) => this.#format.keys.has(k))) return undefined;
    const { Archive } = await import("../src/archive/archive.ts");
    return Archive.load(this.#manifest, info.id);
  }
}

function keyValue(key: string, info: ArchiveInfo, archive: Archive | undefined): FormatValue {
  switch (key) {
    case "archive":
    case "name":
      return removeSurrogates(info.name);
    case "barchive":
      return info.name;
    case "id":
      return toHex(info.id);
    case "time":
    case "start":
      return OutputTime.ofTimestamp(info.micros);
    case "end":
      return OutputTime.ofTimestamp(archive!.end);
    case "hostname":
      return removeSurrogates(archive!.metadata.hostname);
    case "username":
      return removeSurrogates(archive!.metadata.username);
    case "comment":
      return removeSurrogates(archive!.metadata.comment);
    case "bcomment":
      return archive!.metadata.comment;
    case "command_line":
      return archive!.metadata.cmdline.map((w) => shellQuote(removeSurrogates(w))).join(" ");
    case "tam":
      return archive!.tamVerified ? "verified" : "none";
    default:
      throw new Error(`no such key: ${key}`);
  }
}
