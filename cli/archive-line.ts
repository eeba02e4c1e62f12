// An archive in one line of a log or prompt: name, local start time and id, as Borg's format_archive.
import type { ArchiveInfo } from "../src/archive/manifest.ts";
import { toHex } from "../src/format/bytes.ts";
import { formatTime } from "../src/format/time.ts";

export function archiveLine(info: ArchiveInfo): string {
  return `${info.name.padEnd(36)} ${formatTime(info.micros)} [${toHex(info.id)}]`;
}
