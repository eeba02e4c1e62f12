// A mount from beginning to end: file system, descriptor, session, and the ways it may end (unmounted by someone,
// or asked to stop by a signal).
import { setTimeout as sleep } from "node:timers/promises";
import { FileSystem, type FileSystemOptions } from "./filesystem.ts";
import { abortConnection, connectionNumber, mountOn, raiseReadAhead } from "./mounting.ts";
import type { MountOptions } from "./options.ts";
import { FuseSession } from "./session.ts";
import type { MountSource } from "./source.ts";

/** How long open files may hold a file system that was asked to go, in milliseconds. */
const GRACE = 2000;

export interface ServeOptions {
  directory: string;
  mount: MountOptions;
  fileSystem: FileSystemOptions;
  log?: (level: "debug" | "warning", message: string) => void;
  /** Aborted: unmount and end. */
  signal: AbortSignal;
  /** The mount answers. */
  onReady: (fs: FileSystem) => void;
}

/** Mounts and serves until the file system is unmounted. @throws AlcoveError where it cannot be mounted */
export async function serveMount(source: MountSource, options: ServeOptions): Promise<void> {
  const { directory, mount, signal, log } = options;
  const fs = new FileSystem(source, options.fileSystem);
  await fs.start();
  signal.throwIfAborted();
  const mounted = await mountOn(directory, mount);
  const session = new FuseSession(mounted.fd, fs, { acl: !mount.ignorePermissions, ...(log ? { log } : {}) });
  let connection: number | undefined;
  const stop = async (): Promise<void> => {
    await mounted.unmount();
    await sleep(GRACE, undefined, { ref: false });
    if (connection !== undefined) abortConnection(connection);
  };
  signal.addEventListener("abort", stop, { once: true });
  if (signal.aborted) void stop();
  try {
    const running = session.run();
    await Promise.race([session.ready, running]);
    // Asks the mount itself, so the answer also proves that it answers.
    connection = await connectionNumber(directory).catch(() => undefined);
    if (connection !== undefined) raiseReadAhead(connection);
    if (!signal.aborted) options.onReady(fs);
    await running;
  } finally {
    signal.removeEventListener("abort", stop);
  }
}
