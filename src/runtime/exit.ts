// The end of the process.
import process from "node:process";
import { libcAtHand } from "./libc.ts";
import { runtime } from "./platform.ts";

/** Ends the process when everything is done, written and given back. Node's own way joins V8's threads: one that compiles and
 *  has asked the main thread for a garbage collection is never answered any more, and both wait for ever (seen once in some
 *  10,000 backups). So the process ends without, where the C library is at hand: where much was compiled it is. */
export function exitProcess(code: number): never {
  if (runtime.name === "node") libcAtHand()?.find("_exit")?.(code);
  process.exit(code);
}

/** Ends the process after a signal, without waiting for threads: one may wait for a fifo, for ever. Where there is no C library
 *  at hand the signal itself does it, so that whoever looks sees that instead of the exit code, 128 and its number. */
export function exitAfterSignal(signal: number): never {
  const code = 128 + signal;
  if (runtime.name === "node" && !libcAtHand()) {
    for (const name of ["SIGINT", "SIGTERM", "SIGHUP"]) process.removeAllListeners(name);
    process.kill(process.pid, signal);
  }
  return exitProcess(code);
}
