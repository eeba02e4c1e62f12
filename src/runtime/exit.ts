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
