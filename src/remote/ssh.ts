// Starts the server of a remote repository: `ssh [-p PORT] [USER@]HOST borg serve OPTIONS`, with its stdin and stdout
// as the RPC connection. ssh itself may ask on the terminal for passwords and host keys, so it keeps the terminal.
import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { shellWords } from "../crypto/shellwords.ts";
import { CommandError } from "../errors.ts";
import { BORG_VERSION, replacePlaceholders } from "../format/placeholders.ts";
import type { LogLevel } from "../log-level.ts";
import { runtime } from "../runtime/platform.ts";

/** What of a location is needed here; src/format/location.ts has it. */
export interface RemoteLocation {
  readonly user?: string | undefined;
  /** An IPv6 address without brackets. */
  readonly host?: string | undefined;
  readonly port?: number | undefined;
  readonly path: string;
  readonly processed: string;
  canonicalPath(): string;
}

export interface SshOptions {
  /** --rsh, else BORG_RSH, else "ssh". */
  rsh?: string | undefined;
  /** --remote-path, else BORG_REMOTE_PATH, else "borg"; placeholders are replaced. */
  remotePath?: string | undefined;
  /** Log level that the server gets as an option. */
  logLevel?: LogLevel | undefined;
  /** --debug-topic; those about the repository are passed on. */
  debugTopics?: readonly string[] | undefined;
  /** Bytes, as the user wrote it: the quota a repository is created with. */
  storageQuota?: string | undefined;
  env?: Record<string, string | undefined> | undefined;
}

/** The command that ssh runs on the server. As with Borg it is one shell line there, so a remote path may have options. */
export function serveCommand(options: SshOptions): string[] {
  const env = options.env ?? process.env;
  const remotePath = options.remotePath || env["BORG_REMOTE_PATH"] || "borg";
  const command = [replacePlaceholders(remotePath, { env }), "serve"];
  if (options.logLevel && options.logLevel !== "warning") command.push(`--${options.logLevel}`);
  for (const topic of options.debugTopics ?? []) {
    const full = topic.includes(".") ? topic : `borg.debug.${topic}`;
    if (full.includes("repository")) command.push(`--debug-topic=${full}`);
  }
  if (options.storageQuota) command.push(`--storage-quota=${options.storageQuota}`);
  return command;
}

/** ssh and the host, to be put in front of serveCommand(). @throws CommandError if rsh is malformed or the host an option */
export function sshCommand(location: RemoteLocation, options: SshOptions): string[] {
  const env = options.env ?? process.env;
  const rsh = options.rsh || env["BORG_RSH"] || "ssh";
  let command: string[];
  try {
    command = shellWords(rsh);
  } catch (error) {
    throw new CommandError(
      `the remote shell (--rsh, BORG_RSH) cannot be parsed: ${(error as Error).message}`,
    );
  }
  if (command.length === 0) throw new CommandError("the remote shell (--rsh, BORG_RSH) is empty");
  if (location.port) command.push("-p", String(location.port));
  const host = location.host ?? "";
  const target = location.user ? `${location.user}@${host}` : host;
  // ssh would take such a host for an option, and some options run commands.
  if (target.startsWith("-")) throw new CommandError(`not a host: ${target}`);
  command.push(target);
  return command;
}

/**
 * Starts it. Ctrl-C in a terminal goes to the whole process group, but the connection is still needed then, to keep
 * a checkpoint and release the lock. So ssh is started with SIGINT ignored, which survives exec.
 */
export function startServer(
  command: string[],
  env: Record<string, string | undefined> = process.env,
): ChildProcessWithoutNullStreams {
  const childEnv: Record<string, string | undefined> = { ...env, BORG_VERSION };
  delete childEnv["BORG_PASSPHRASE"];
  delete childEnv["BORG_NEW_PASSPHRASE"];
  const windows = runtime.os === "win32";
  const [file, ...args] = windows ? command : ["/bin/sh", "-c", 'trap "" INT; exec "$@"', "sh", ...command];
  return spawn(file!, args, {
    env: childEnv as NodeJS.ProcessEnv,
    stdio: ["pipe", "pipe", "pipe"],
    windowsHide: true,
  });
}
