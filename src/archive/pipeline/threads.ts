// Starts worker threads from the one file the program consists of: on Node they get the parts of it that threads need; on
// Deno and Bun each loads the same file again and sees from its arguments that it is a worker. From unbundled sources
// (tests) a small entry is used.
import { MessageChannel, type MessagePort, Worker } from "node:worker_threads";
import { compileLess, shareBuiltins } from "../../runtime/heap.ts";
import { runtime, threadsTakeText } from "../../runtime/platform.ts";

/** Last word of a worker's argv. No word of a command line can hold a zero byte, and to look at argv takes no time,
 *  where node:worker_threads takes 2 to 3 ms of every start. */
const WORKER_MARK = "\0worker";

/** What the one file knows of itself (scripts/one-file.mjs): a program that runs parts, and those that threads need. */
declare const __ALCOVE_THREADS__: { code: string; address: string; texts(): Record<number, string> };

interface Entry {
  file: URL | string;
  options: { eval?: boolean };
  /** Goes to the thread as part of its data. */
  program?: { address: string; texts: Record<number, string> };
}

function entry(): Entry {
  if (import.meta.url.endsWith(".ts"))
    return { file: new URL("../worker-entry.ts", import.meta.url), options: {} };
  if (!threadsTakeText || typeof __ALCOVE_THREADS__ === "undefined")
    return { file: new URL(import.meta.url), options: {} };
  const { code, address, texts } = __ALCOVE_THREADS__;
  return { file: code, options: { eval: true }, program: { address, texts: texts() } };
}

/** What a thread is started with; the roles and their data are in worker.ts. */
export interface WorkerStart {
  role: "create" | "extract" | "check" | "scan" | "sync";
  data: object;
}

/** A started thread; `failure` is set once it has died of an error. */
export interface Thread {
  failure: Error | undefined;
  /** @param transfer buffers that are handed over instead of copied */
  post(message: unknown, transfer?: ArrayBuffer[]): void;
  /** Waits for the thread to end by itself, then makes sure. */
  join(): Promise<void>;
}

/** Two ends of a way for messages of its own: one to keep, one to hand to a thread. A thread that never comes back to its
 *  event loop can look for messages here; on Deno it cannot where those of post() arrive. */
export function messagePorts(): { here: MessagePort; there: MessagePort } {
  const { port1, port2 } = new MessageChannel();
  return { here: port1, there: port2 };
}

/** A thread that waits for its role. */
let spare: Worker | undefined;

/** Starts a thread before it is known what for: the next one that startThread() is asked for is ready by then. It does not
 *  keep the program running. */
export function startSpare(): void {
  if (spare || runtime.cores < 2 || entry().program === undefined) return;
  compileLess();
  const worker = newWorker({}, []);
  worker.unref();
  // One that dies is none; who has it by then hears of it, too.
  worker.on("error", () => {
    if (spare === worker) spare = undefined;
  });
  spare = worker;
}

function takeSpare(start: WorkerStart, transfer: readonly MessagePort[]): Worker | undefined {
  const worker = spare;
  spare = undefined;
  worker?.ref();
  worker?.postMessage(start, transfer);
  return worker;
}

/** @param start empty for one that is told later */
function newWorker(start: WorkerStart | Record<string, never>, transfer: readonly MessagePort[]): Worker {
  const { file, options, program } = entry();
  shareBuiltins();
  return new Worker(file, {
    ...options,
    argv: [WORKER_MARK],
    workerData: { ...start, alcove: true, program },
    transferList: [...transfer],
    trackUnmanagedFds: false,
    // Nearly everything a worker allocates dies at once: a small young generation costs no time and saves 50 MB.
    resourceLimits: { maxYoungGenerationSizeMb: 4 },
  });
}

/**
 * @param onFailure called (from the event loop) when the thread reports or dies of an error
 * @param onMessage gets every other message
 * @param transfer ports within the data
 */
export function startThread(
  start: WorkerStart,
  onFailure: (e: Error) => void,
  onMessage?: (message: unknown) => void,
  transfer: readonly MessagePort[] = [],
): Thread {
  // Checks and cache syncs are loops of our own, which gain by the better code.
  const compilesLess = start.role !== "check" && start.role !== "sync";
  if (compilesLess) compileLess();
  const worker = (compilesLess && takeSpare(start, transfer)) || newWorker(start, transfer);
  let ended: () => void = () => {};
  const exit = new Promise<void>((resolve) => {
    ended = resolve;
  });
  const thread: Thread = {
    failure: undefined,
    post: (message, transfer) => worker.postMessage(message, transfer),
    async join() {
      const timer = setTimeout(() => void worker.terminate(), 2000);
      await exit;
      clearTimeout(timer);
    },
  };
  const fail = (e: Error): void => {
    if (thread.failure) return;
    thread.failure = e;
    onFailure(e);
  };
  worker.on("message", (m: { failed?: string }) => {
    if (m.failed) fail(new Error(m.failed));
    else onMessage?.(m);
  });
  worker.on("error", fail);
  worker.on("exit", () => ended());
  return thread;
}
