// The program's entry, and that of its workers: in the one file that is shipped both are this module, so what a
// worker thread has to do is decided here, before anything of the command line is loaded.
import { isMainThread } from "node:worker_threads";

if (isMainThread) {
  const { main } = await import("./process.ts");
  await main();
} else {
  const { workerMain } = await import("../src/archive/worker.ts");
  await workerMain();
}
