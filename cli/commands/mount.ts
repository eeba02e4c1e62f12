// mount: an archive, or a repository with a directory for each of its archives, as a read-only file system through
// FUSE, or over WebDAV where there is none. It goes into the background unless told otherwise.
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import process from "node:process";
import type { ArchiveInfo, Manifest, SortKey } from "../../src/archive/manifest.ts";
import { ArchiveDoesNotExist, CommandError } from "../../src/errors.ts";
import { announceReady, isDaemon, startDaemon } from "../../src/mount/daemon.ts";
import type { FileSystem, FileSystemOptions } from "../../src/mount/filesystem.ts";
import {
  alreadyMounted,
  checkMountPoint,
  detach,
  needsReceiver,
  receiverCommand,
  usesSshfs,
} from "../../src/mount/mounting.ts";
import { type MountOptions, parseMountOptions } from "../../src/mount/options.ts";
import { serveMount } from "../../src/mount/serve.ts";
import { groupId, groupName, userId, userName } from "../../src/runtime/index.ts";
import { selfCommand } from "../../src/runtime/self.ts";
import type { Selection } from "../../src/select/commands.ts";
import {
  loadExcludeFile,
  loadPatternFile,
  parseExcludePattern,
  parsePatternFileLine,
} from "../../src/select/commands.ts";
import { buildMatcher } from "../../src/select/matcher.ts";
import { archiveGlobToRegex } from "../../src/select/shell.ts";
import type { Args } from "../args.ts";
import type { Context } from "../context.ts";
import { withManifest } from "../repository.ts";
import { mountArchive, repositorySource } from "./mount-source.ts";

const CHUNK_MIB = 8;

export async function run(args: Args, ctx: Context): Promise<number | undefined> {
  const webdav = args.given("webdav");
  const directory = resolve(args.word("mountpoint") ?? "");
  const options = parseMountOptions(args.text("o"));
  if (options.versions && args.location.archive) {
    throw new CommandError("for the versions view give the repository as location, not an archive");
  }
  const mountedBefore = alreadyMounted();
  if (!mountedBefore && !webdav) checkMountPoint(directory);
  const foreground = args.flag("foreground");
  if (!foreground && !isDaemon()) return background(directory, webdav ? undefined : options, ctx);
  if (webdav) {
    await serveHttp(options, args, ctx);
    return undefined;
  }
  if (needsReceiver() && !usesSshfs()) {
    return become(receiverCommand(directory, options, selfCommand(process.argv.slice(2), true)), ctx);
  }
  try {
    await serve(directory, options, args, ctx);
  } catch (e) {
    if (mountedBefore) await detach(directory);
    throw e;
  }
  return undefined;
}

async function serve(directory: string, options: MountOptions, args: Args, ctx: Context): Promise<void> {
  let ended = true;
  await withManifest(ctx, args, { operations: ["read"] }, async ({ manifest }) => {
    const log = (level: "debug" | "warning", message: string): void => ctx.log.log(level, message);
    const chosen = selectArchives(manifest, args);
    const source = await repositorySource(manifest, chosen, (message) => log("warning", `mount: ${message}`));
    ctx.log.info("Mounting filesystem");
    const serving = {
      directory,
      mount: options,
      fileSystem: {
        ...fileSystemOptions(args, ctx, options),
        ...(args.location.archive ? { archive: mountArchive(chosen[0]!) } : {}),
        log,
      },
      log,
      signal: ctx.signal,
      onReady: (fs: FileSystem) => {
        ctx.onInfo(() => fs.report().join("\n"));
        if (isDaemon()) announceReady((text) => ctx.stdout.write(text));
      },
    };
    if (usesSshfs()) await (await import("../../src/mount/sshfs.ts")).serveSshfs(source, serving);
    else ended = await serveMount(source, serving);
  });
  // The repository is closed; what is left is a thread that cannot be woken.
  if (!ended) process.kill(process.pid, "SIGKILL");
}

/** --webdav [ADDR]: no mount point; every further word is a path. Ends with a signal. */
async function serveHttp(options: MountOptions, args: Args, ctx: Context): Promise<void> {
  const { serveWebDav } = await import("../../src/mount/webdav.ts");
  const { FileSystem } = await import("../../src/mount/filesystem.ts");
  await withManifest(ctx, args, { operations: ["read"] }, async ({ manifest }) => {
    const log = (level: "debug" | "warning", message: string): void => ctx.log.log(level, message);
    const chosen = selectArchives(manifest, args);
    const source = await repositorySource(manifest, chosen, (message) => log("warning", `mount: ${message}`));
    const word = args.word("mountpoint");
    const fs = new FileSystem(source, {
      ...fileSystemOptions(args, ctx, options, word === undefined ? [] : [word]),
      ...(args.location.archive ? { archive: mountArchive(chosen[0]!) } : {}),
      log,
    });
    await fs.start();
    const server = await serveWebDav(fs, {
      address: args.text("webdav") || undefined,
      password: ctx.env["ALCOVE_WEBDAV_PASSWORD"],
      log,
    });
    ctx.onInfo(() => fs.report().join("\n"));
    ctx.print(server.url);
    if (isDaemon()) announceReady((text) => ctx.stdout.write(text));
    await new Promise<void>((done) => {
      if (ctx.signal.aborted) done();
      ctx.signal.addEventListener("abort", () => done(), { once: true });
    });
    await server.close();
  });
}

/** @param options undefined where nothing is mounted */
function background(directory: string, options: MountOptions | undefined, ctx: Context): Promise<number> {
  const self = selfCommand(process.argv.slice(2), true);
  const passphraseFd = Number.parseInt(ctx.env["BORG_PASSPHRASE_FD"] ?? "", 10);
  return startDaemon({
    command: options && needsReceiver() && !usesSshfs() ? receiverCommand(directory, options, self) : self,
    env: ctx.env,
    inherit: passphraseFd > 2 ? [passphraseFd] : [],
    interactive: process.stdin.isTTY === true,
    signal: ctx.signal,
    onStdout: (bytes) => ctx.stdout.writeBytes(bytes),
    onStderr: (bytes) => ctx.stderr.writeBytes(bytes),
  });
}

/** In the foreground, through a program that receives the descriptor and then becomes this one. */
async function become(command: readonly string[], ctx: Context): Promise<number> {
  const { spawn } = await import("node:child_process");
  return new Promise((done, fail) => {
    const child = spawn(command[0]!, command.slice(1), {
      stdio: "inherit",
      env: ctx.env as NodeJS.ProcessEnv,
    });
    ctx.signal.addEventListener("abort", () => child.kill("SIGTERM"), { once: true });
    child.on("error", fail);
    child.on("close", (code) => done(code ?? 2));
  });
}

function fileSystemOptions(
  args: Args,
  ctx: Context,
  o: MountOptions,
  morePaths: readonly string[] = [],
): FileSystemOptions {
  const defaultUid = process.getuid?.() ?? 0;
  const defaultGid = process.getgid?.() ?? 0;
  const uid = o.uid ?? defaultUid;
  const gid = o.gid ?? defaultGid;
  if (userName(uid) === null) {
    throw new CommandError(`uid ${uid} has no user name on this system; create the user, or give no -o uid`);
  }
  if (groupName(gid) === null) {
    throw new CommandError(
      `gid ${gid} has no group name on this system; create the group, or give no -o gid`,
    );
  }
  const selection: Selection = { roots: [], patterns: [] };
  for (const { kind, value } of args.patternOps) {
    if (kind === "exclude") selection.patterns.push(parseExcludePattern(value));
    else if (kind === "exclude-from") loadExcludeFile(readFileSync(value, "utf8"), selection);
    else if (kind === "pattern") parsePatternFileLine(value, selection, "sh");
    else loadPatternFile(readFileSync(value, "utf8"), selection);
  }
  const matcher = buildMatcher(selection.patterns, [...selection.roots, ...morePaths, ...args.paths]);
  const stripComponents = args.number("strip-components") ?? 0;
  const entries = Number.parseInt(ctx.env["BORG_MOUNT_DATA_CACHE_ENTRIES"] ?? "", 10);
  return {
    ...(matcher.isEmpty ? {} : { filter: (path: string) => matcher.match(path) === true }),
    stripComponents,
    versions: o.versions,
    numericIds: args.flag("numeric-ids"),
    ...(o.uid === undefined ? {} : { uid: o.uid }),
    ...(o.gid === undefined ? {} : { gid: o.gid }),
    defaultUid,
    defaultGid,
    umask: o.umask,
    allowDamagedFiles: o.allowDamagedFiles,
    resolve: {
      uid: (name) => userId(name) ?? undefined,
      gid: (name) => groupId(name) ?? undefined,
    },
    ...(entries > 0 ? { dataCacheBytes: entries * CHUNK_MIB * 2 ** 20 } : {}),
    now: BigInt(Date.now()) * 1_000_000n,
  };
}

/** The archive named by the location, or those that the filters leave. */
function selectArchives(manifest: Manifest, args: Args): ArchiveInfo[] {
  const name = args.location.archive;
  if (name) {
    const info = manifest.archives.get(name);
    if (!info) throw new ArchiveDoesNotExist(name);
    return [info];
  }
  const prefix = args.text("prefix");
  const glob = args.text("glob-archives");
  const pattern = glob === undefined ? undefined : archiveGlobToRegex(glob);
  const first = args.number("first");
  const last = args.number("last");
  return manifest.archives.select({
    ...(prefix !== undefined ? { matches: (n: string) => n.startsWith(prefix) } : {}),
    ...(pattern ? { matches: (n: string) => pattern.test(n) } : {}),
    sortBy: sortKeys(args),
    considerCheckpoints: args.flag("consider-checkpoints"),
    ...(first ? { first } : {}),
    ...(last ? { last } : {}),
  });
}

function sortKeys(args: Args): SortKey[] {
  const keys = args.value("sort-by");
  return (typeof keys === "string" ? keys.split(",") : (keys ?? ["timestamp"])) as SortKey[];
}
