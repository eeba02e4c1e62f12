// serve: answers one client on stdin and stdout, usually started by sshd as the command of a key in authorized_keys.
// stderr carries log and progress records for the client, so nothing else may be written there once it negotiated.
import { AlcoveError } from "../../src/errors.ts";
import type { LogLevel } from "../../src/log-level.ts";
import { RecordWriter } from "../../src/remote/records.ts";
import { RepositoryServer } from "../../src/remote/server.ts";
import { standardStreams } from "../../src/remote/stdio.ts";
import { LocalRepository } from "../../src/repository/local.ts";
import { runtime } from "../../src/runtime/platform.ts";
import type { Args } from "../args.ts";
import type { Context } from "../context.ts";

const LEVELS: readonly LogLevel[] = ["debug", "info", "warning", "error", "critical"];

export async function run(args: Args, ctx: Context): Promise<number | undefined> {
  const level = LEVELS.find((l) => ctx.log.enabled(l)) ?? "critical";
  const records = new RecordWriter((text) => ctx.stderr.write(text), level);
  const quota = args.value("storage-quota") as number | bigint | undefined;
  const server = new RepositoryServer(standardStreams(), {
    openRepository: (path, { storageQuota, ...options }) =>
      LocalRepository.open(path, {
        ...options,
        ...(storageQuota === undefined ? {} : { storageQuota }),
        lockWait: options.lockWait ?? null,
        log: (l, message) => records.log(l, message),
        progress: (p) => records.progress(p),
      }),
    restrictToPaths: args.list("restrict-to-path"),
    restrictToRepositories: args.list("restrict-to-repository"),
    appendOnly: args.flag("append-only"),
    storageQuota: quota === undefined ? undefined : Number(quota),
    records,
    sysinfo: `${ctx.program.name} ${ctx.program.version} on ${runtime.name} ${runtime.version}, ${runtime.os} ${runtime.arch}`,
    env: ctx.env,
    signal: ctx.signal,
  });
  try {
    await server.serve();
  } catch (error) {
    if (!(error instanceof AlcoveError)) throw error;
    // The client shows our log records; a second report by the caller would only say the same in another form.
    records.log("error", error.message, "borg.archiver", error.msgid);
    return ctx.exit.ofError(error);
  }
  ctx.checkSignal();
  // Not where a repository could not be opened: borg 1.4's client shows all that comes after the answer as well.
  if (!server.asked) {
    ctx.stderr.write(
      `${ctx.program.name} ${ctx.program.version}: the connection was closed before anything was asked.\n`,
    );
  }
  return undefined;
}
