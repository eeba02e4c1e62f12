// Entry of every worker thread: the thread was started with { role, … } as its data and runs that role to its
// end. A failure is posted to the main thread, which turns it into an error for the user.
import { isMainThread, type MessagePort, parentPort, workerData } from "node:worker_threads";
import type { CheckWorkerData } from "./check-lanes.ts";
import type { ExtractWorkerData } from "./extract-worker.ts";
import type { CreateWorkerData } from "./pipeline/create-worker.ts";
import type { ScanWorkerData } from "./pipeline/scan-worker.ts";
import type { SyncWorkerData } from "./sync-lanes.ts";

type Start =
  | { role: "create"; data: CreateWorkerData }
  | { role: "extract"; data: ExtractWorkerData }
  | { role: "check"; data: CheckWorkerData }
  | { role: "scan"; data: ScanWorkerData }
  | { role: "sync"; data: SyncWorkerData };

/** Runs the role this thread was started for. Does nothing in the main thread. */
export async function workerMain(): Promise<void> {
  if (isMainThread || !parentPort) return;
  const port = parentPort;
  try {
    const start = "role" in (workerData as object) ? (workerData as Start) : await told(port);
    if (start.role === "create") {
      const { runCreateWorker } = await import("./pipeline/create-worker.ts");
      await runCreateWorker(start.data);
    } else if (start.role === "scan") {
      const { runScanWorker } = await import("./pipeline/scan-worker.ts");
      runScanWorker(start.data);
    } else if (start.role === "sync") {
      const { runSyncWorker } = await import("./sync-lanes.ts");
      await runSyncWorker(start.data, port);
    } else if (start.role === "check") {
      const { runCheckWorker } = await import("./check-lanes.ts");
      await runCheckWorker(start.data, port);
    } else {
      const { runExtractWorker } = await import("./extract-worker.ts");
      await runExtractWorker(start.data, port);
    }
  } catch (e) {
    port.postMessage({ failed: e instanceof Error ? (e.stack ?? e.message) : String(e) });
  }
}

/** What a thread that was started before its role was known is to do. Meanwhile it prepares what every role needs. */
async function told(port: MessagePort): Promise<Start> {
  const message = new Promise<Start>((resolve) => port.once("message", resolve));
  const { libc } = await import("../runtime/index.ts");
  libc();
  return message;
}
