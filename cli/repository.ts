// Opens what a command works on: the repository, local or behind ssh; with it the manifest and its key; with them
// the caches. What Borg's with_repository decorator does, as functions that close everything in order again.
// Imports are lazy: `break-lock` needs no codec, `list` no ssh.
import type { Manifest, Operation } from "../src/archive/manifest.ts";
import type { Core } from "../src/core/index.ts";
import type { Environment } from "../src/crypto/environment.ts";
import type { Key } from "../src/crypto/keys.ts";
import { CommandError } from "../src/errors.ts";
import type { Location } from "../src/format/location.ts";
import type { LogLevel } from "../src/log-level.ts";
import type { RemoteRecord } from "../src/remote/records.ts";
import type { RepositoryConfig } from "../src/repository/config.ts";
import type { LocalRepository } from "../src/repository/local.ts";
import type { Repository } from "../src/repository/types.ts";
import type { Args } from "./args.ts";
import type { Context } from "./context.ts";

export interface RepositorySpec {
  create?: boolean;
  exclusive?: boolean;
  /** False to open without a lock; --bypass-lock does the same where a command allows it. */
  lock?: boolean;
  /** Told of a local repository's config before the lock is taken. */
  early?: (config: RepositoryConfig) => void;
}

export interface ManifestSpec extends RepositorySpec {
  /** What the command is about to do; the repository may demand features for it. Empty: no check. */
  operations: readonly Operation[];
  /** Check the security directory (default true). */
  secure?: boolean;
  forceTamNotRequired?: boolean;
}

export interface Opened {
  repository: Repository;
  environment: Environment;
  location: Location;
}

export interface OpenedManifest extends Opened {
  manifest: Manifest;
  key: Key;
  core: Core;
}

/** The surroundings that keys, nonces, caches and the security directory need. */
export async function openEnvironment(ctx: Context): Promise<Environment> {
  const { localEnvironment } = await import("../src/cache/dirs.ts");
  return localEnvironment(ctx.env, {
    prompter: ctx.prompter,
    log: (level, message) => ctx.log.log(level, message),
  });
}

/** Seconds for the locks; undefined waits for ever. */
export function lockTimeout(ctx: Context): number | undefined {
  return ctx.lockWait < 0 ? undefined : ctx.lockWait;
}

/** Opens the repository of the command's location. The caller closes it. */
export async function openRepository(
  ctx: Context,
  args: Args,
  spec: RepositorySpec = {},
): Promise<Repository> {
  const { location } = args;
  const lock = (spec.lock ?? true) && !ctx.bypassLock;
  const create = spec.create ?? false;
  const exclusive = spec.exclusive ?? false;
  const option = (name: string) => (args.has(name) ? args.value(name) : undefined);
  const appendOnly = args.has("append-only") && args.flag("append-only");
  const makeParentDirs = args.has("make-parent-dirs") && args.flag("make-parent-dirs");
  const storageQuota = option("storage-quota") as number | undefined;
  const lockWait = lockTimeout(ctx);
  if (location.isRemote) {
    const { RemoteRepository } = await import("../src/remote/client.ts");
    return RemoteRepository.open(location, {
      create,
      exclusive,
      lock,
      appendOnly,
      makeParentDirs,
      ...(lockWait === undefined ? { lockWait: -1 } : { lockWait }),
      rsh: args.text("rsh"),
      remotePath: args.text("remote-path"),
      uploadRatelimit: args.number("upload-ratelimit") ?? 0,
      uploadBuffer: args.number("upload-buffer") ?? 0,
      logLevel: serverLogLevel(ctx),
      debugTopics: args.list("debug-topic"),
      ...(storageQuota === undefined ? {} : { storageQuota: String(storageQuota) }),
      env: ctx.env,
      onRecord: (record) => showRemote(ctx, record),
    });
  }
  const { LocalRepository } = await import("../src/repository/local.ts");
  const repository = await LocalRepository.open(location.path, {
    create,
    exclusive,
    lock,
    appendOnly,
    makeParentDirs,
    lockWait: lockWait ?? null,
    ...(storageQuota === undefined ? {} : { storageQuota }),
    displayPath: location.withoutArchive().processed,
    ...(spec.early ? { early: spec.early } : {}),
    progress: ctx.progressSink({ "repository.replay_segments": "Replaying segments" }),
    log: (level, message) => ctx.log.log(level, message, { name: "borg.repository" }),
  });
  ctx.onAbruptExit(() => repository.closeSync());
  return repository;
}

/** The same, for commands that work on a repository's files themselves. @throws CommandError for a remote one */
export async function openLocalRepository(
  ctx: Context,
  args: Args,
  spec: RepositorySpec = {},
): Promise<LocalRepository> {
  const repository = await openRepository(ctx, args, spec);
  const { LocalRepository: Local } = await import("../src/repository/local.ts");
  if (repository instanceof Local) return repository;
  await repository.close();
  throw new CommandError(`${args.command.name} works on local repositories only.`);
}

/** What a server has to send: the lowest level that is shown here. */
function serverLogLevel(ctx: Context): LogLevel {
  const levels: LogLevel[] = ["debug", "info", "warning", "error"];
  return levels.find((level) => ctx.log.enabled(level)) ?? "critical";
}

/** Log and progress of a server, shown as our own. */
function showRemote(ctx: Context, record: RemoteRecord): void {
  switch (record.kind) {
    case "log":
      ctx.log.log(record.level, record.message, {
        name: record.name,
        ...(record.msgid ? { msgid: record.msgid } : {}),
      });
      break;
    case "progress":
      ctx.remoteProgress(record.record);
      break;
    case "text":
      ctx.log.raw(record.line);
  }
}

/** Works on an open repository and closes it, whatever happens. */
export async function withRepository<T>(
  ctx: Context,
  args: Args,
  spec: RepositorySpec,
  work: (opened: Opened) => Promise<T>,
): Promise<T> {
  const repository = await openRepository(ctx, args, spec);
  return closing(repository, async () => {
    const environment = await openEnvironment(ctx);
    return work({ repository, environment, location: args.location });
  });
}

/** Works on an open repository, its manifest and key. */
export async function withManifest<T>(
  ctx: Context,
  args: Args,
  spec: ManifestSpec,
  work: (opened: OpenedManifest) => Promise<T>,
): Promise<T> {
  const { anticipateKey } = await import("../src/crypto/keys.ts");
  const early = (config: RepositoryConfig): void => anticipateKey(config.key, ctx.env);
  return withRepository(ctx, args, { early, ...spec }, async (opened) =>
    work(await loadManifest(ctx, args, opened, spec)),
  );
}

/** Manifest and key of an open repository, with the checks of the security directory. */
export async function loadManifest(
  ctx: Context,
  args: Args,
  opened: Opened,
  spec: Pick<ManifestSpec, "operations" | "secure" | "forceTamNotRequired">,
): Promise<OpenedManifest> {
  const [{ openManifest }, { loadCore }, { parseCompression }] = await Promise.all([
    import("../src/archive/session.ts"),
    import("../src/core/index.ts"),
    import("../src/compress/index.ts"),
  ]);
  const { repository, environment } = opened;
  const core = loadCore();
  const manifest = await openManifest(repository, environment, {
    operations: spec.operations,
    compression: parseCompression((args.has("compression") ? args.text("compression") : undefined) ?? "lz4"),
    core,
    forceTamNotRequired: spec.forceTamNotRequired ?? false,
  });
  const { key } = manifest;
  if (spec.secure ?? true) {
    const { SecurityManager } = await import("../src/cache/security.ts");
    const lockWait = lockTimeout(ctx);
    await new SecurityManager(repository, environment).assertSecure(
      { timestamp: manifest.timestamp ?? "" },
      key,
      lockWait === undefined ? {} : { lockWait },
    );
  }
  return { ...opened, manifest, key, core };
}

/** Runs work and closes; a failure of closing does not hide one of the work. */
export async function closing<T>(resource: { close(): Promise<void> }, work: () => Promise<T>): Promise<T> {
  let result: T;
  try {
    result = await work();
  } catch (e) {
    try {
      await resource.close();
    } catch {
      // The first failure says what is wrong; closing fails for the same reason.
    }
    throw e;
  }
  await resource.close();
  return result;
}
