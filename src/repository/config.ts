// The file `config` of a repository (docs/internals/data-structures.rst, "Config file"): an INI file whose section
// [repository] has version, limits, flags, the id, and the key of a repokey repository.
import { randomBytes } from "node:crypto";
import { AlcoveError, describeSystemError, InvalidRepository, InvalidRepositoryConfig } from "../errors.ts";
import { fromHex, fsDecode, fsEncode, toHex } from "../format/bytes.ts";
import { Ini } from "../format/ini.ts";
import { parseFileSize } from "../format/sizes.ts";
import type { Storage } from "../storage/types.ts";
import {
  DEFAULT_MAX_SEGMENT_SIZE,
  DEFAULT_SEGMENTS_PER_DIR,
  type Log,
  MAX_SEGMENT_SIZE_LIMIT,
} from "./constants.ts";

const SECTION = "repository";
const FILE = "config";
const OLD = "config.old";
/** What Borg and we write into README: by it a directory is recognised as a repository. */
export const README = "This is a Borg Backup repository.\nSee https://borgbackup.readthedocs.io/\n";

export class RepositoryConfig {
  readonly ini: Ini;
  private readonly path: string;

  private constructor(ini: Ini, path: string) {
    this.ini = ini;
    this.path = path;
  }

  /** The config of a new repository with a random id. */
  static create(
    path: string,
    options: { appendOnly?: boolean; storageQuota?: number } = {},
  ): RepositoryConfig {
    const ini = new Ini();
    const set = (name: string, value: string | number) => ini.set(SECTION, name, value);
    set("version", 1);
    set("segments_per_dir", DEFAULT_SEGMENTS_PER_DIR);
    set("max_segment_size", DEFAULT_MAX_SEGMENT_SIZE);
    set("append_only", options.appendOnly ? 1 : 0);
    set("storage_quota", options.storageQuota ?? 0);
    set("additional_free_space", 0);
    set("id", toHex(randomBytes(32)));
    return new RepositoryConfig(ini, path);
  }

  /** @throws InvalidRepository where there is none, InvalidRepositoryConfig where it cannot be used */
  static load(storage: Storage): RepositoryConfig {
    let text: string;
    try {
      text = fsDecode(storage.read(FILE));
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === "ENOENT" || code === "EISDIR") throw new InvalidRepository(storage.root);
      throw error;
    }
    let ini: Ini;
    try {
      ini = Ini.parse(text);
    } catch (error) {
      if (error instanceof AlcoveError) throw new InvalidRepositoryConfig(storage.root, error.message);
      throw error;
    }
    const config = new RepositoryConfig(ini, storage.root);
    config.validate();
    return config;
  }

  /** As load(), undefined for what load() refuses. */
  static peek(storage: Storage): RepositoryConfig | undefined {
    try {
      return RepositoryConfig.load(storage);
    } catch {
      return undefined;
    }
  }

  private validate(): void {
    if (!this.ini.hasSection(SECTION)) this.fail("no repository section found");
    const version = this.integer("version");
    if (version !== 1) this.fail(`repository version ${version} is not supported by this program`);
    if (this.maxSegmentSize >= MAX_SEGMENT_SIZE_LIMIT)
      this.fail(`max_segment_size >= ${MAX_SEGMENT_SIZE_LIMIT}`);
    if (this.maxSegmentSize < 1) this.fail("max_segment_size < 1");
    if (this.segmentsPerDir < 1) this.fail("segments_per_dir < 1");
    void [this.id, this.additionalFreeSpace, this.appendOnly, this.storageQuota];
  }

  get id(): Uint8Array {
    const text = (this.ini.get(SECTION, "id") ?? "").trim();
    if (!/^[0-9a-fA-F]{64}$/.test(text)) this.fail("id is not 64 hexadecimal digits");
    return fromHex(text);
  }

  get segmentsPerDir(): number {
    return this.integer("segments_per_dir");
  }
  get maxSegmentSize(): number {
    return this.size("max_segment_size");
  }
  get additionalFreeSpace(): number {
    return this.size("additional_free_space", "0");
  }
  get storageQuota(): number {
    return this.size("storage_quota", "0");
  }

  get appendOnly(): boolean {
    const text = (this.ini.get(SECTION, "append_only") ?? "0").toLowerCase();
    if (["1", "yes", "true", "on"].includes(text)) return true;
    if (["0", "no", "false", "off"].includes(text)) return false;
    return this.fail(`append_only = ${text} is neither yes nor no`);
  }

  get key(): Uint8Array {
    return fsEncode((this.ini.get(SECTION, "key") ?? "").trim());
  }
  set key(blob: Uint8Array) {
    this.ini.set(SECTION, "key", fsDecode(blob));
  }

  /** Where a partial check stopped; −1 if none is under way. */
  get lastSegmentChecked(): number {
    return this.integer("last_segment_checked", "-1");
  }
  set lastSegmentChecked(segment: number | undefined) {
    if (segment === undefined) this.ini.remove(SECTION, "last_segment_checked");
    else this.ini.set(SECTION, "last_segment_checked", segment);
  }

  private text(name: string, fallback?: string): string {
    return this.ini.get(SECTION, name) ?? fallback ?? this.fail(`no option "${name}"`);
  }

  private integer(name: string, fallback?: string): number {
    const text = this.text(name, fallback).trim();
    return /^[+-]?\d+$/.test(text) ? Number(text) : this.fail(`${name} = ${text} is not a number`);
  }

  private size(name: string, fallback?: string): number {
    const text = this.text(name, fallback);
    try {
      return parseFileSize(text);
    } catch {
      return this.fail(`${name} = ${text} is not a size`);
    }
  }

  private fail(why: string): never {
    throw new InvalidRepositoryConfig(this.path, why);
  }

  /**
   * Replaces the file atomically. The old one, which may hold an old key, is overwritten before it is removed; that
   * needs a second name for it, because the rename takes the first one away.
   */
  save(storage: Storage, options: { readOnlyIsFine?: boolean; log?: Log } = {}): void {
    const log = options.log ?? (() => {});
    if (storage.exists(OLD)) {
      log("warning", "The previous config file was not erased by the last update; erasing it now.");
      storage.erase(OLD);
    }
    if (storage.exists(FILE)) {
      try {
        storage.link(FILE, OLD);
      } catch (error) {
        const { code } = error as NodeJS.ErrnoException;
        if (
          !["EMLINK", "ENOSYS", "EPERM", "EACCES", "ENOTSUP", "EOPNOTSUPP", "EIO", "EROFS"].includes(
            code ?? "",
          )
        )
          throw error;
        log(
          "warning",
          "No hard links here: the old config, with the old key if it has one, may stay readable on the disk.",
        );
      }
    }
    try {
      storage.writeAtomic(FILE, fsEncode(this.ini.toString()));
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (!options.readOnlyIsFine || !["EPERM", "EACCES", "EROFS"].includes(code ?? "")) throw error;
      log("warning", `${describeSystemError(error as NodeJS.ErrnoException)}: the config was not updated.`);
    }
    if (storage.exists(OLD)) storage.erase(OLD);
  }
}
