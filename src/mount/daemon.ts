// Going into the background. No runtime can fork, so this program is started a second time with the same words,
// does everything (prompts, locks, mounting), and says on its standard output when the mount answers; until then
// the first process passes on what it prints, and afterwards ends with success. As in Borg's daemonizing().
import { spawn } from "node:child_process";
import process from "node:process";
import { becomeDaemon } from "./fusermount-ffi.ts";

/** Set in the process that is to stay. */
export const DAEMON_VARIABLE = "ALCOVE_MOUNT_DAEMON";
const READY = "\0mounted\n";

export function isDaemon(): boolean {
  return process.env[DAEMON_VARIABLE] !== undefined;
}

export interface DaemonOptions {
  /** The command that becomes the daemon. */
  command: readonly string[];
  env: Record<string, string | undefined>;
  /** Descriptors that the environment names (BORG_PASSPHRASE_FD); they keep their numbers. */
  inherit?: readonly number[];
  /** Whether questions may have to be asked at the terminal. */
  interactive: boolean;
  signal: AbortSignal;
  onStdout: (bytes: Uint8Array) => void;
  onStderr: (bytes: Uint8Array) => void;
}

// For glibc's malloc, read when a process starts: buffers of chunks are given back to the system as soon as they
// are free, instead of being kept for the next. Measured on Node 24 after reading 120 MB: 133 MB resident for 146.
// The third is the same for Bun's: 84 to 95 MB at most while 60,000 files are read, for 101 to 113.
// Without the last of JavaScriptCore's compilers, whose work each collection throws away, it is 10 MB less in the same
// CPU time; without the one before it the first listing takes twice as long.
const thrifty = {
  MALLOC_ARENA_MAX: "2",
  MALLOC_MMAP_THRESHOLD_: "131072",
  MIMALLOC_PURGE_DELAY: "0",
  BUN_JSC_useFTLJIT: "0",
};

/** Starts the daemon. @returns 0 when its mount answers, else the code it has ended with. */
export function startDaemon(options: DaemonOptions): Promise<number> {
  const [program, ...args] = options.command;
  const stdio: ("inherit" | "pipe" | "ignore" | number)[] = ["inherit", "pipe", "pipe"];
  for (const fd of options.inherit ?? []) {
    while (stdio.length <= fd) stdio.push("ignore");
    stdio[fd] = fd;
  }
  return new Promise((resolve, reject) => {
    const child = spawn(program as string, args, {
      stdio,
      // Who may have to ask at the terminal leaves its session when everything is ready, through FFI.
      detached: !options.interactive,
      env: { ...thrifty, ...options.env, [DAEMON_VARIABLE]: "1" } as NodeJS.ProcessEnv,
    });
    let held = "";
    const done = (code: number): void => {
      options.signal.removeEventListener("abort", stop);
      child.stdout?.destroy();
      child.stderr?.destroy();
      child.unref();
      resolve(code);
    };
    const stop = (): void => {
      child.kill("SIGTERM");
    };
    options.signal.addEventListener("abort", stop, { once: true });
    child.stdout?.on("data", (bytes: Buffer) => {
      const text = held + bytes.toString("latin1");
      const at = text.indexOf(READY);
      if (at >= 0) {
        if (at > 0) options.onStdout(Buffer.from(text.slice(0, at), "latin1"));
        done(0);
        return;
      }
      // What may be the beginning of the word is held back.
      const nul = text.lastIndexOf("\0");
      const safe = nul < 0 || text.length - nul >= READY.length ? text.length : nul;
      held = text.slice(safe);
      if (safe > 0) options.onStdout(Buffer.from(text.slice(0, safe), "latin1"));
    });
    child.stderr?.on("data", (bytes: Buffer) => options.onStderr(bytes));
    child.on("error", reject);
    child.on("close", (code, signal) => done(code ?? (signal ? 128 : 2)));
  });
}

/** In the daemon: tells the process that waits, and lets go of its terminal and of its pipes. */
export function announceReady(write: (text: string) => void): void {
  write(READY);
  becomeDaemon();
  // What came before the session was left may still be delivered.
  process.on("SIGHUP", () => undefined);
}
