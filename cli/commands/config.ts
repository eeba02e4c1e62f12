// config: reads, sets and deletes values of a repository's config, or of this machine's cache of it.
import { CacheConfig } from "../../src/cache/config.ts";
import { cacheDirPath } from "../../src/cache/dirs.ts";
import { AlcoveError, CommandError } from "../../src/errors.ts";
import { fsDecode, fsEncode } from "../../src/format/bytes.ts";
import { Ini } from "../../src/format/ini.ts";
import { parseLocation } from "../../src/format/location.ts";
import { formatFileSize, parseFileSize } from "../../src/format/sizes.ts";
import { MAX_SEGMENT_SIZE_LIMIT } from "../../src/repository/constants.ts";
import type { LocalRepository } from "../../src/repository/local.ts";
import type { Args } from "../args.ts";
import type { Context } from "../context.ts";
import { closing, loadManifest, lockTimeout, openEnvironment, openLocalRepository } from "../repository.ts";

/** What is edited, and how it is saved. */
interface Editable {
  ini: Ini;
  section: string;
  /** @throws CommandError if the section has no such value; with a value, if it cannot be that. */
  validate(section: string, name: string, value?: string): void;
  save(): void;
}

export async function run(args: Args, ctx: Context): Promise<void> {
  const full = args.word("name");
  if (!args.flag("list") && full === undefined) throw new CommandError("No config key name was provided.");
  const repository = await openLocalRepository(ctx, args, { exclusive: true });
  await closing(repository, async () => {
    if (!args.flag("cache")) {
      edit(args, ctx, repository, {
        ini: repository.config.ini,
        section: "repository",
        validate: validateRepository,
        save: () => repository.saveConfig(),
      });
      return;
    }
    const environment = await openEnvironment(ctx);
    // Manifest and security checks come first, as for every use of a cache.
    await loadManifest(
      ctx,
      args,
      { repository, environment, location: args.location },
      { operations: ["write"] },
    );
    const timeout = lockTimeout(ctx);
    const cache = new CacheConfig(
      environment,
      repository,
      timeout === undefined ? {} : { lockWait: timeout },
    );
    if (!cache.exists())
      throw new AlcoveError(`There is no cache of this repository in ${cacheDirPath(ctx.env)}.`);
    await cache.open();
    try {
      // The file itself, so that what is not known here stays as it is.
      const ini = Ini.parse(fsDecode(cache.files.read("config")));
      edit(args, ctx, repository, {
        ini,
        section: "cache",
        validate: validateCache,
        save: () => cache.files.writeAtomic("config", fsEncode(ini.toString()), { mode: 0o600 }),
      });
    } finally {
      await cache.close();
    }
  });
}

function edit(args: Args, ctx: Context, repository: LocalRepository, what: Editable): void {
  if (args.flag("list")) {
    list(ctx, repository);
    return;
  }
  const [section, name] = split(args.word("name")!, what.section);
  const value = args.word("value");
  if (args.flag("delete")) {
    what.validate(section, name);
    what.ini.remove(section, name);
    what.save();
  } else if (value) {
    what.validate(section, name, value);
    what.ini.set(section, name, value);
    what.save();
  } else {
    const found = what.ini.get(section, name);
    if (found === undefined) throw new AlcoveError(`No option '${name}' in section: '${section}'`);
    ctx.print(found);
  }
}

function split(full: string, section: string): [string, string] {
  const parts = full.split(".");
  return parts.length === 2 ? [parts[0]!, parts[1]!] : [section, full];
}

const LISTED = [
  "version",
  "segments_per_dir",
  "max_segment_size",
  "storage_quota",
  "additional_free_space",
  "append_only",
  "id",
];

function list(ctx: Context, repository: LocalRepository): void {
  const { ini } = repository.config;
  ctx.print("[repository]");
  // "False" is what Borg shows for a value that is not there.
  for (const name of LISTED) ctx.print(`${name} = ${ini.get("repository", name) ?? "False"}`);
  const checked = ini.get("repository", "last_segment_checked");
  if (checked !== undefined) ctx.print(`last_segment_checked = ${checked}`);
}

const MIN_SIZE = 10_000_000;

function validateRepository(section: string, name: string, value?: string): void {
  if (section !== "repository") throw new CommandError(`Invalid section: ${section}`);
  const invalid = (why: string) => new CommandError(`Invalid value for ${name}: ${why}`);
  switch (name) {
    case "segments_per_dir":
    case "last_segment_checked":
      if (value !== undefined && !/^[+-]?\d+$/.test(value)) throw invalid(`${value} is not a number`);
      return;
    case "max_segment_size":
    case "additional_free_space":
    case "storage_quota": {
      if (value === undefined) return;
      let size: number;
      try {
        size = parseFileSize(value);
      } catch {
        throw invalid(`${value} is not a size`);
      }
      if (name === "max_segment_size") {
        if (size >= MAX_SEGMENT_SIZE_LIMIT) throw invalid(`it must be below ${MAX_SEGMENT_SIZE_LIMIT}`);
      } else if (size !== 0 && size < MIN_SIZE)
        throw invalid(`it must be 0 or at least ${formatFileSize(MIN_SIZE)}`);
      return;
    }
    case "append_only":
      if (value !== undefined && value !== "0" && value !== "1") throw invalid("it is 0 or 1");
      return;
    case "id":
      if (value !== undefined && !/^[0-9a-fA-F]{64}$/.test(value)) throw invalid("64 hex digits are needed");
      return;
    default:
      throw new CommandError(`Invalid name: ${name}`);
  }
}

function validateCache(section: string, name: string, value?: string): void {
  if (section !== "cache") throw new CommandError(`Invalid section: ${section}`);
  if (name !== "previous_location") throw new CommandError(`Invalid name: ${name}`);
  if (value !== undefined) parseLocation(value);
}
