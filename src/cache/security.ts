// What a client remembers of the repositories it has used, so that a server cannot put another one in their place:
// security/<id>/{key-type,location,manifest-timestamp}. The cache's config holds the same in part and may be newer or
// gone; both are reconciled here. Borg's docs/internals/security.rst and cache.py, SecurityManager.

import { rmSync } from "node:fs";
import type { Environment } from "../crypto/environment.ts";
import type { KeyModeInfo } from "../crypto/modes.ts";
import {
  CacheInitAborted,
  describeSystemError,
  EncryptionMethodMismatch,
  RepositoryAccessAborted,
  RepositoryIDNotUnique,
  RepositoryReplay,
} from "../errors.ts";
import { fsDecode, fsEncode } from "../format/bytes.ts";
import type { Storage } from "../storage/types.ts";
import { CacheConfig } from "./config.ts";
import { securityDirPath } from "./dirs.ts";

/** The parts of a repository, key and manifest that are looked at. */
export interface SecurityRepository {
  readonly idHex: string;
  readonly canonicalPath: string;
}
export interface SecurityKey {
  readonly info: KeyModeInfo;
  readonly logicallyEncrypted: boolean;
}
export interface SecurityManifest {
  /** As in the manifest, e.g. 2026-01-02T03:04:05.000006. */
  readonly timestamp: string;
}

const KEY_TYPE = "key-type";
const LOCATION = "location";
const MANIFEST_TIMESTAMP = "manifest-timestamp";

export class SecurityManager {
  readonly #repository: SecurityRepository;
  readonly #environment: Environment;
  readonly #files: Storage;

  constructor(repository: SecurityRepository, environment: Environment) {
    this.#repository = repository;
    this.#environment = environment;
    this.#files = environment.storage(environment.securityDir(repository.idHex));
  }

  /** Forgets a repository. */
  static destroy(environment: Environment, idHex: string): void {
    rmSync(securityDirPath(environment.env, idHex), { recursive: true, force: true });
  }

  /** Whether this client has used the repository before. */
  known(): boolean {
    return [KEY_TYPE, LOCATION, MANIFEST_TIMESTAMP].every((name) => this.#files.exists(name));
  }

  keyMatches(key: SecurityKey): boolean {
    return this.known() && this.#read(KEY_TYPE) === String(key.info.type);
  }

  /** Of the newest manifest that was seen from here; undefined for a repository that is not known. */
  manifestTimestamp(): string | undefined {
    return this.known() ? this.#read(MANIFEST_TIMESTAMP) : undefined;
  }

  /** Remembers what the repository is like now. */
  save(manifest: SecurityManifest, key: SecurityKey): void {
    this.#write(LOCATION, this.#repository.canonicalPath);
    this.#write(KEY_TYPE, String(key.info.type));
    this.#write(MANIFEST_TIMESTAMP, manifest.timestamp);
  }

  /** Every check, before anything of the repository is used. With no open cache config given, the one on disk is
   *  looked at. warnIfUnencrypted false: the repository is being made.
   *  @throws RepositoryAccessAborted, CacheInitAborted, EncryptionMethodMismatch, RepositoryReplay, RepositoryIDNotUnique */
  async assertSecure(
    manifest: SecurityManifest,
    key: SecurityKey,
    options: { cacheConfig?: CacheConfig; warnIfUnencrypted?: boolean; lockWait?: number } = {},
  ): Promise<void> {
    await this.assertAccessUnknown(manifest, key, options.warnIfUnencrypted ?? true);
    if (options.cacheConfig) return this.#assertSecure(manifest, key, options.cacheConfig);
    const config = new CacheConfig(this.#environment, this.#repository, { lockWait: options.lockWait });
    if (!config.exists()) return this.#assertSecure(manifest, key, undefined);
    await config.open();
    try {
      await this.#assertSecure(manifest, key, config);
    } finally {
      config.close();
    }
  }

  /** An unencrypted repository that was never seen: anyone could have put it there.
   *  @throws CacheInitAborted */
  async assertAccessUnknown(
    manifest: SecurityManifest,
    key: SecurityKey,
    warnIfUnencrypted: boolean,
  ): Promise<void> {
    if (key.logicallyEncrypted || this.known()) return;
    const allowed =
      !warnIfUnencrypted ||
      (await this.#environment.prompter.yes({
        msgid: "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK",
        envOverride: "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK",
        message:
          "Warning: this unencrypted repository has not been accessed from here before.\nContinue? [yN] ",
        falseMessage: "Aborting.",
        invalidMessage: "Neither yes nor no: aborting.",
      }));
    if (!allowed) throw new CacheInitAborted();
    this.save(manifest, key);
  }

  async #assertSecure(
    manifest: SecurityManifest,
    key: SecurityKey,
    config: CacheConfig | undefined,
  ): Promise<void> {
    await this.assertLocationMatches(config);
    this.assertKeyType(key, config);
    this.assertNoReplay(manifest, key, config);
    if (!this.known()) this.save(manifest, key);
  }

  /** Asks before data goes to a repository that is somewhere else now. @throws RepositoryAccessAborted */
  async assertLocationMatches(config?: CacheConfig): Promise<void> {
    let previous = this.#read(LOCATION);
    // Where the two disagree, Borg takes the cache's word.
    if (config?.previousLocation) previous = config.previousLocation;
    const current = this.#repository.canonicalPath;
    if (!previous || previous === current) return;
    const accepted = await this.#environment.prompter.yes({
      msgid: "BORG_RELOCATED_REPO_ACCESS_IS_OK",
      envOverride: "BORG_RELOCATED_REPO_ACCESS_IS_OK",
      message: `Warning: the repository at location ${current} was previously located at ${previous}\nContinue? [yN] `,
      falseMessage: "Aborting.",
      invalidMessage: "Neither yes nor no: aborting.",
    });
    if (!accepted) throw new RepositoryAccessAborted();
    this.#write(LOCATION, current);
    config?.save();
  }

  /** A manifest older than one seen before. @throws RepositoryReplay, RepositoryIDNotUnique */
  assertNoReplay(manifest: SecurityManifest, key: SecurityKey, config?: CacheConfig): void {
    let newest = this.#read(MANIFEST_TIMESTAMP) ?? "";
    if (config?.timestamp && config.timestamp > newest) newest = config.timestamp;
    if (newest <= manifest.timestamp) return;
    throw key.info.mode === "none" ? new RepositoryIDNotUnique() : new RepositoryReplay();
  }

  /** An encrypted repository must not have become another kind. @throws EncryptionMethodMismatch */
  assertKeyType(key: SecurityKey, config?: CacheConfig): void {
    if (config?.keyType !== undefined && config.keyType !== String(key.info.type))
      throw new EncryptionMethodMismatch();
    if (this.known() && !this.keyMatches(key)) throw new EncryptionMethodMismatch();
  }

  /** A file's text; undefined if it is not there, or cannot be read (which is told). */
  #read(name: string): string | undefined {
    try {
      return fsDecode(this.#files.read(name));
    } catch (error) {
      const cause = error as NodeJS.ErrnoException;
      if (cause.code !== "ENOENT") {
        this.#environment.log(
          "warning",
          `${this.#files.root}/${name} cannot be read: ${describeSystemError(cause)}`,
        );
      }
      return undefined;
    }
  }

  #write(name: string, text: string): void {
    this.#files.writeAtomic(name, fsEncode(text), { mode: 0o600 });
  }
}
