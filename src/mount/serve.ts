// A mount from beginning to end: file system, descriptor, session, and the ways it may end (unmounted by someone,
// or asked to stop by a signal).
import { setTimeout as sleep } from "node:timers/promises";
import { FuseDevice } from "./device.ts";
import { FileSystem, type FileSystemOptions } from "./filesystem.ts";
import { tidySoon } from "./garbage.ts";
import {
  abortConnection,
  connectionNumber,
  detach,
  forceUnmount,
  isRoot,
  mountOn,
  raiseReadAhead,
  unmountIdle,
} from "./mounting.ts";
import type { MountOptions } from "./options.ts";
import { FuseSession } from "./session.ts";
import type { MountSource } from "./source.ts";

/** How long open files may hold a file system that was asked to go, in milliseconds. */
const GRACE = 1000;

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

/** Mounts and serves until the file system is unmounted.
 *  @returns false where a thread is still reading requests, because somebody keeps files open and may not be cut
 *  off: Node then waits for ever in process.exit, so the process has to end itself with SIGKILL.
 *  @throws AlcoveError where it cannot be mounted */
export async function serveMount(source: MountSource, options: ServeOptions): Promise<boolean> {
  const { directory, mount, signal, log } = options;
  const fs = new FileSystem(source, { ...options.fileSystem, reuseMemory: true });
  await fs.start();
  signal.throwIfAborted();
  const fd = await mountOn(directory, mount);
  const session = new FuseSession(new FuseDevice(fd), fs, {
    acl: !mount.ignorePermissions,
    ...(log ? { log } : {}),
  });
  let connection: number | undefined;
  let givenUp: () => void = () => undefined;
  const stuck = new Promise<false>((resolve) => {
    givenUp = () => resolve(false);
  });
  const stop = async (): Promise<void> => {
    if (await unmountIdle(directory)) return;
    // In use. Who has files open gets a moment to read on while nobody new comes in (an ordinary user), or while
    // the file system can still be cut off (root).
    if (!isRoot()) await detach(directory);
    await sleep(GRACE);
    await forceUnmount(directory);
    if (connection !== undefined) abortConnection(connection);
    await sleep(GRACE);
    givenUp();
  };
  const onAbort = (): void => void stop();
  signal.addEventListener("abort", onAbort, { once: true });
  if (signal.aborted) onAbort();
  try {
    const running = session.run().then(() => true);
    await Promise.race([session.ready, running]);
    // Asks the mount itself, so the answer also proves that it answers.
    connection = await connectionNumber(directory).catch(() => undefined);
    if (connection !== undefined) raiseReadAhead(connection);
    if (!signal.aborted) options.onReady(fs);
    tidySoon();
    return await Promise.race([running, stuck]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}
