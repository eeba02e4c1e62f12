// A manifest that is lost or damaged, made anew: every object of the repository is read, and those that are metadata
// of an archive, authenticated as such, become its entries. Borg's ArchiveChecker.rebuild_manifest.
import { blocksOf, ENVELOPE_SIZE, nonceOf } from "../crypto/material.ts";
import { IntegrityError } from "../errors.ts";
import { fsDecode } from "../format/bytes.ts";
import { unpack } from "../format/msgpack.ts";
import type { CheckLog } from "./check-files.ts";
import type { CheckObjects } from "./check-objects.ts";
import { Manifest } from "./manifest.ts";
import { decodeArchiveMetadata } from "./metadata.ts";
import type { Objects } from "./objects.ts";

export interface Rebuilt {
  manifest: Manifest;
  /** Names of archives that are there, but not authentic: they are not in the manifest. */
  dropped: string[];
  /** The first counter behind all that stored objects were encrypted with; 0 where nothing is encrypted. */
  nextNonce: number;
  /** Objects that could not be read. */
  damaged: number;
}

const required = ["version", "name", "items", "cmdline", "time"];

export async function rebuildManifest(
  objects: Objects,
  known: CheckObjects,
  log: CheckLog,
  progress: (done: number) => void,
): Promise<Rebuilt> {
  const { key } = objects;
  const rebuilt: Rebuilt = { manifest: new Manifest(objects), dropped: [], nextNonce: 0, damaged: 0 };
  const ids = [...known.ids()].filter((id) => id.some((byte) => byte !== 0));
  let done = 0;
  for await (const { id, blob, data, error } of known.read(objects, ids)) {
    progress(done++);
    if (error) {
      log("error", `A damaged chunk is skipped: ${error.message}`);
      rebuilt.damaged++;
      continue;
    }
    if (blob && key.info.encrypted && blob.length >= ENVELOPE_SIZE)
      rebuilt.nextNonce = Math.max(rebuilt.nextNonce, nonceOf(blob) + blocksOf(blob.length));
    if (!data || !looksLikeArchive(data)) continue;
    const raw = tryUnpack(data);
    if (!raw || !required.every((name) => raw.has(name))) continue;
    try {
      const { metadata } = key.unpackAndVerifyArchive(data);
      const { name, time } = decodeArchiveMetadata(metadata);
      let free = name;
      for (let i = 1; rebuilt.manifest.archives.has(free); i++) free = `${name}.${i}`;
      log("info", `Found archive ${name}`);
      if (free !== name) log("warning", `There is an archive ${name} already: this one is called ${free}`);
      rebuilt.manifest.archives.set(free, id, time);
    } catch (e) {
      if (!(e instanceof IntegrityError)) throw e;
      const name = raw.get("name");
      const text = name instanceof Uint8Array ? fsDecode(name) : "<unknown>";
      log("error", `Archive TAM authentication issue for archive ${text}: ${e.message}`);
      log("error", "It does not get into the rebuilt manifest, and a repair deletes it.");
      rebuilt.dropped.push(text);
    }
  }
  return rebuilt;
}

/** A map whose first key is a string, with what archive metadata always contains. Cheap: most objects are contents. */
function looksLikeArchive(data: Uint8Array): boolean {
  const tag = data[0];
  if (tag === undefined || ((tag & 0xf0) !== 0x80 && tag !== 0xde)) return false;
  const bytes = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  return bytes.includes("\xa7cmdline", 0, "latin1") && bytes.includes("\xa7version\x01", 0, "latin1");
}

function tryUnpack(data: Uint8Array): Map<string, unknown> | undefined {
  try {
    const raw = unpack(data);
    return raw instanceof Map ? (raw as Map<string, unknown>) : undefined;
  } catch (e) {
    // No msgpack: contents of some file that contains the words.
    if (e instanceof IntegrityError) return undefined;
    throw e;
  }
}
