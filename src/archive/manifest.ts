// The manifest: the object with the all-zero id that names every archive of a repository, authenticated by a
// TAM. Borg's helpers/manifest.py; docs/internals/data-structures.rst. Its timestamp only ever grows, which is
// how a replayed repository is noticed.
import type { Key } from "../crypto/keys.ts";
import {
  AlcoveError,
  IntegrityError,
  MandatoryFeatureUnsupported,
  NoManifestError,
  ObjectNotFound,
} from "../errors.ts";
import { fsDecode, fsEncode, toHex } from "../format/bytes.ts";
import { formatTimestamp, nowMicros, parseTimestamp } from "../format/time.ts";
import type { Repository } from "../repository/types.ts";
import { ITEM_KEYS, MAX_ARCHIVES } from "./constants.ts";
import type { Objects } from "./objects.ts";

export const MANIFEST_ID = new Uint8Array(32);

/** What a command is about to do; each may need features of its own. */
export type Operation = "read" | "check" | "write" | "delete";

/** One line of the manifest. */
export interface ArchiveInfo {
  name: string;
  /** 32 bytes: the archive's metadata object. */
  id: Uint8Array;
  /** Start time as stored: UTC, ISO, with microseconds. */
  time: string;
  /** The same in microseconds since the epoch. */
  micros: number;
}

/** Which archives of a repository a command means. */
export interface ArchiveSelection {
  /** Shell pattern, anchored at both ends; all archives where undefined. */
  matches?: (name: string) => boolean;
  sortBy?: readonly SortKey[];
  considerCheckpoints?: boolean;
  first?: number;
  last?: number;
}
export type SortKey = "timestamp" | "name" | "archive" | "id" | "ts";

/** The archives of a manifest by name. */
export class Archives {
  readonly #byName = new Map<string, ArchiveInfo>();

  get size(): number {
    return this.#byName.size;
  }

  has(name: string): boolean {
    return this.#byName.has(name);
  }

  get(name: string): ArchiveInfo | undefined {
    return this.#byName.get(name);
  }

  /** @param time UTC, ISO, as in the archive's metadata */
  set(name: string, id: Uint8Array, time: string): void {
    this.#byName.set(name, { name, id, time, micros: parseTimestamp(time) });
  }

  delete(name: string): void {
    this.#byName.delete(name);
  }

  values(): IterableIterator<ArchiveInfo> {
    return this.#byName.values();
  }

  /** Archives chosen by a selection: filtered, sorted (stably, by the keys from the last to the first), cut. */
  select(selection: ArchiveSelection = {}): ArchiveInfo[] {
    const { matches, sortBy = [], considerCheckpoints = true, first, last } = selection;
    let list = [...this.#byName.values()];
    if (matches) list = list.filter((a) => matches(a.name));
    if (!considerCheckpoints) list = list.filter((a) => !a.name.includes(".checkpoint"));
    for (const key of [...sortBy].reverse()) list.sort(comparators[key]);
    if (first) return list.slice(0, first);
    if (last) return list.slice(Math.max(0, list.length - last));
    return list;
  }
}

const byText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);
const byTime = (a: ArchiveInfo, b: ArchiveInfo): number => a.micros - b.micros;
const byName = (a: ArchiveInfo, b: ArchiveInfo): number => byText(a.name, b.name);
const comparators: Record<SortKey, (a: ArchiveInfo, b: ArchiveInfo) => number> = {
  timestamp: byTime,
  ts: byTime,
  name: byName,
  archive: byName,
  id: (a, b) => byText(toHex(a.id), toHex(b.id)),
};

export class Manifest {
  readonly objects: Objects;
  readonly archives = new Archives();
  /** Raw configuration: "tam_required", "feature_flags", and what newer programs put there. */
  config = new Map<string, unknown>();
  /** The id hash of the manifest's plaintext; tells whether a cache is up to date. */
  id: Uint8Array = new Uint8Array(32);
  tamVerified = false;
  /** UTC, ISO; undefined before the first write. */
  timestamp: string | undefined;
  #itemKeys: Set<string> = new Set(ITEM_KEYS);

  constructor(objects: Objects) {
    this.objects = objects;
  }

  get key(): Key {
    return this.objects.key;
  }

  /** Keys that items of this repository may have: those known here and those the manifest names. */
  get itemKeys(): ReadonlySet<string> {
    return this.#itemKeys;
  }

  /** The stored manifest; the key is found by its first byte. @throws NoManifestError */
  static async fetch(repository: Repository): Promise<Uint8Array> {
    try {
      return await repository.get(MANIFEST_ID);
    } catch (e) {
      if (e instanceof ObjectNotFound) throw new NoManifestError();
      throw e;
    }
  }

  /**
   * Verifies and decodes a stored manifest.
   * @param forceTamNotRequired for repairs and `upgrade --tam --force`
   * @throws TAMRequired, TAMInvalid, MandatoryFeatureUnsupported, IntegrityError
   */
  static load(
    objects: Objects,
    stored: Uint8Array,
    operations: readonly Operation[],
    forceTamNotRequired = false,
  ): Manifest {
    const manifest = new Manifest(objects);
    const data = objects.unpackUnidentified(stored);
    const { metadata, verified } = objects.key.unpackAndVerifyManifest(data, forceTamNotRequired);
    manifest.tamVerified = verified;
    manifest.id = objects.id(data);
    const version = metadata.get("version");
    if (version !== 1 && version !== 2)
      throw new IntegrityError("The manifest has a version this program does not know.");
    const archives = metadata.get("archives");
    if (!(archives instanceof Map)) throw new IntegrityError("The manifest has no list of archives.");
    for (const [name, entry] of archives as Map<string, unknown>) {
      const id = entry instanceof Map ? entry.get("id") : undefined;
      const time = entry instanceof Map ? entry.get("time") : undefined;
      if (!(id instanceof Uint8Array) || id.length !== 32 || !(time instanceof Uint8Array)) {
        throw new IntegrityError("The manifest's entry of an archive is damaged.");
      }
      manifest.archives.set(name, id.slice(), fsDecode(time));
    }
    const timestamp = metadata.get("timestamp");
    if (timestamp instanceof Uint8Array) manifest.timestamp = fsDecode(timestamp);
    const config = metadata.get("config");
    if (config instanceof Map) manifest.config = config as Map<string, unknown>;
    const itemKeys = metadata.get("item_keys");
    if (Array.isArray(itemKeys)) {
      for (const k of itemKeys) if (k instanceof Uint8Array) manifest.#itemKeys.add(fsDecode(k));
    }
    manifest.checkCompatibility(operations);
    return manifest;
  }

  /** @throws MandatoryFeatureUnsupported if an operation needs a feature; this program knows none */
  checkCompatibility(operations: readonly Operation[]): void {
    const unknown = this.mandatoryFeatures();
    for (const operation of operations) {
      const needed = unknown.get(operation);
      if (needed?.length) throw new MandatoryFeatureUnsupported(needed.join(", "));
    }
  }

  /** Mandatory features by operation, as the repository demands them. */
  mandatoryFeatures(): Map<string, string[]> {
    const out = new Map<string, string[]>();
    const flags = this.config.get("feature_flags");
    if (!(flags instanceof Map)) return out;
    for (const [operation, requirements] of flags as Map<string, unknown>) {
      const mandatory = requirements instanceof Map ? requirements.get("mandatory") : undefined;
      if (!Array.isArray(mandatory)) continue;
      out.set(
        operation,
        mandatory.map((f) => (f instanceof Uint8Array ? fsDecode(f) : String(f))),
      );
    }
    return out;
  }

  /** Puts the manifest into the repository's open transaction. The caller commits. */
  async write(): Promise<void> {
    if (this.key.tamRequired) this.config.set("tam_required", true);
    let micros = nowMicros();
    if (this.timestamp !== undefined) micros = Math.max(micros, parseTimestamp(this.timestamp) + 1);
    this.timestamp = formatTimestamp(micros);
    if (this.archives.size > MAX_ARCHIVES)
      throw new AlcoveError(`A repository holds at most ${MAX_ARCHIVES} archives.`);
    const archives = new Map<string, unknown>();
    for (const a of this.archives.values()) {
      if (fsEncode(a.name).length > 255)
        throw new AlcoveError(`The name of archive ${a.name} is longer than 255 bytes.`);
      archives.set(
        a.name,
        new Map<string, unknown>([
          ["id", a.id],
          ["time", a.time],
        ]),
      );
    }
    const data = this.key.packAndAuthenticate(
      {
        version: 1,
        archives,
        timestamp: this.timestamp,
        config: this.config,
        item_keys: [...this.#itemKeys].sort(),
      },
      "manifest",
    );
    this.tamVerified = true;
    this.id = this.objects.id(data);
    await this.objects.repository.put(MANIFEST_ID, await this.objects.pack(data));
  }
}

/** Refuses what cannot be an archive's name. */
export function checkArchiveName(name: string): void {
  if (name === "" || name.includes("/")) throw new AlcoveError(`"${name}" cannot be the name of an archive.`);
}
