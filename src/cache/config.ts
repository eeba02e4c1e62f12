// The config file of a repository's cache: which manifest the cache is in step with, the digests of its files, and
// what the security checks need. The directory's lock is held while it is open. Borg's docs/internals/
// data-structures.rst, "Cache", and cache.py, CacheConfig.

import { join } from "node:path";
import type { Environment } from "../crypto/environment.ts";
import { AlcoveError } from "../errors.ts";
import { fsDecode, fsEncode, toHex } from "../format/bytes.ts";
import { Ini, IniError } from "../format/ini.ts";
import { Lock } from "../storage/lock.ts";
import type { Storage } from "../storage/types.ts";
import { cacheDirPath } from "./dirs.ts";

const VERSION = 1;
const CONFIG = "config";
/** A section of our own, which Borg leaves as it is. */
const OWN = "alcove";

/** What a saved cache is in step with. */
export interface CacheManifest {
  readonly id: Uint8Array;
  readonly timestamp: string;
}

export class CacheConfig {
  readonly files: Storage;
  readonly #environment: Environment;
  readonly #repository: { readonly idHex: string; readonly canonicalPath: string };
  readonly #lockWait: number | undefined;
  #lock: Lock | undefined;
  #ini = new Ini();
  /** Hex of the id of the manifest's plaintext; empty if the cache is in step with none. */
  manifestId = "";
  timestamp: string | undefined;
  keyType: string | undefined;
  previousLocation: string | undefined;
  /** Integrity JSON by file name ("chunks", "files"). */
  integrity = new Map<string, string>();
  ignoredFeatures = new Set<string>();
  mandatoryFeatures = new Set<string>();

  constructor(
    environment: Environment,
    repository: { readonly idHex: string; readonly canonicalPath: string },
    options: { path?: string | undefined; lockWait?: number | undefined } = {},
  ) {
    this.#environment = environment;
    this.#repository = repository;
    this.#lockWait = options.lockWait;
    this.files = environment.storage(options.path ?? join(cacheDirPath(environment.env), repository.idHex));
  }

  /** The cache's directory. */
  get path(): string {
    return this.files.root;
  }

  exists(): boolean {
    return this.files.exists(CONFIG);
  }

  /** Writes the config of an empty cache. */
  create(): void {
    const ini = new Ini();
    ini.set("cache", "version", VERSION);
    ini.set("cache", "repository", this.#repository.idHex);
    ini.set("cache", "manifest", "");
    ini.set("integrity", "manifest", "");
    this.files.writeAtomic(CONFIG, fsEncode(ini.toString()), { mode: 0o600 });
  }

  /** Takes the lock and loads. @throws LockTimeout, ENOENT where there is no cache */
  async open(): Promise<void> {
    const lock = new Lock(this.files, "lock", {
      exclusive: true,
      ...(this.#lockWait === undefined ? {} : { timeout: this.#lockWait }),
      log: (level, message) => this.#environment.log(level, message),
    });
    await lock.acquire();
    this.#lock = lock;
    try {
      this.load();
    } catch (error) {
      this.close();
      throw error;
    }
  }

  load(): void {
    const where = `${this.path}/${CONFIG}`;
    const ini = readIni(where, fsDecode(this.files.read(CONFIG)));
    if (!ini.hasSection("cache")) throw notACache(where);
    const version = ini.get("cache", "version");
    if (version !== String(VERSION))
      throw new AlcoveError(`${where} has the cache version ${version}; ${VERSION} is known.`);
    this.#ini = ini;
    this.manifestId = ini.get("cache", "manifest") ?? "";
    this.timestamp = ini.get("cache", "timestamp");
    this.keyType = ini.get("cache", "key_type");
    this.ignoredFeatures = list(ini.get("cache", "ignored_features"));
    this.mandatoryFeatures = list(ini.get("cache", "mandatory_features"));
    this.integrity = new Map();
    if (ini.hasSection("integrity")) {
      // An old Borg leaves this section alone while it changes the cache; the manifest it names tells.
      if (ini.get("integrity", "manifest") === this.manifestId) {
        for (const name of ini.options("integrity")) {
          if (name !== "manifest") this.integrity.set(name, ini.get("integrity", name)!);
        }
      } else this.#environment.log("warning", "The cache has no integrity data: an old Borg has changed it.");
    }
    this.previousLocation = ini.get("cache", "previous_location") || undefined;
    ini.set("cache", "previous_location", this.#repository.canonicalPath);
  }

  /** Writes the config; with a manifest also what the cache is in step with now. */
  save(manifest?: CacheManifest, keyType?: number): void {
    const ini = this.#ini;
    if (manifest) {
      this.manifestId = toHex(manifest.id);
      this.timestamp = manifest.timestamp;
      ini.set("cache", "manifest", this.manifestId);
      ini.set("cache", "timestamp", manifest.timestamp);
      ini.set("cache", "ignored_features", [...this.ignoredFeatures].join(","));
      ini.set("cache", "mandatory_features", [...this.mandatoryFeatures].join(","));
      for (const [name, digests] of this.integrity) ini.set("integrity", name, digests);
      ini.set("integrity", "manifest", this.manifestId);
    }
    if (keyType !== undefined) {
      this.keyType = String(keyType);
      ini.set("cache", "key_type", this.keyType);
    }
    this.files.writeAtomic(CONFIG, fsEncode(ini.toString()), { mode: 0o600 });
  }

  /** Declares the cache to be in step with nothing; the digests in `integrity` are those of its emptied files. */
  saveWiped(): void {
    this.manifestId = "";
    this.ignoredFeatures = new Set();
    this.mandatoryFeatures = new Set();
    this.#ini.set("cache", "manifest", "");
    this.#ini.set("cache", "ignored_features", "");
    this.#ini.set("cache", "mandatory_features", "");
    for (const [name, digests] of this.integrity) this.#ini.set("integrity", name, digests);
    this.#ini.set("integrity", "manifest", "");
    this.files.writeAtomic(CONFIG, fsEncode(this.#ini.toString()), { mode: 0o600 });
  }

  /** Who found the files without attributes that a files cache tells of; see bare-files.ts. */
  sightOf(filesName: string): string | undefined {
    return this.#ini.get(OWN, `sight_${filesName}`);
  }
  setSight(filesName: string, sight: string): void {
    this.#ini.set(OWN, `sight_${filesName}`, sight);
  }

  /** Releases the lock. Idempotent. */
  close(): void {
    const lock = this.#lock;
    this.#lock = undefined;
    lock?.release();
  }

  /** Removes the cache directory's lock, whoever holds it. */
  breakLock(): void {
    new Lock(this.files, "lock", { exclusive: true }).break();
  }
}

function list(text: string | undefined): Set<string> {
  return new Set(
    (text ?? "")
      .split(",")
      .map((s) => s.trim())
      .filter((s) => s !== ""),
  );
}

// Not wiped unasked: a config that is no config may be something else's file.
function notACache(where: string): AlcoveError {
  const error = new AlcoveError(`${where} does not look like a Borg cache.`);
  error.hint =
    "Nothing but the cache is lost: remove it with alcove delete --cache-only REPOSITORY and go on.";
  return error;
}

function readIni(where: string, text: string): Ini {
  try {
    return Ini.parse(text);
  } catch (e) {
    if (e instanceof IniError) throw notACache(where);
    throw e;
  }
}
