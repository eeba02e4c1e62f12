// Pieces of segments are checked by worker threads, and their results come back in the order of the pieces, so that what
// is made of them is the same whoever was faster. A bounded number of pieces is under way; nothing but places, headers
// and verdicts travels between threads. Without workers the same work is done here.
import type { MessagePort } from "node:worker_threads";
import { prepareCodecs } from "../compress/index.ts";
import { type Core, coreModule, loadCore } from "../core/index.ts";
import type { KeyMaterial } from "../crypto/material.ts";
import { type Piece, type PieceResult, PieceVerifier } from "./check-piece.ts";
import { startThread, type Thread } from "./pipeline/threads.ts";

/** Pieces are cut so that none is longer, or has more objects. */
export const PIECE_BYTES = 16 << 20;
export const PIECE_OBJECTS = 4096;
const PIECES_PER_WORKER = 3;
/** Below this many pieces the start of threads costs more than they save: a thread takes 0.1 s of CPU time, in which
 *  30 MB are verified, or 300 MB of CRCs. */
const FEWEST_VERIFIED = 4;
const FEWEST_READ = 64;

export interface LaneOptions {
  core: Core;
  /** What MAC and id take; absent: only CRCs are verified. */
  material?: KeyMaterial | undefined;
  workers: number;
  signal?: AbortSignal | undefined;
}

export interface Checked {
  piece: Piece;
  result: PieceResult;
}

/** Results in the order of the pieces. To be closed. */
export interface Lanes {
  /** Undefined behind the last one. @throws the signal's reason, errors of the system, and of dead threads */
  next(): Promise<Checked | undefined>;
  close(): Promise<void>;
}

export async function checkPieces(pieces: Iterator<Piece>, options: LaneOptions): Promise<Lanes> {
  const fewest = options.material ? FEWEST_VERIFIED : FEWEST_READ;
  const first: Piece[] = [];
  while (options.workers > 0 && first.length < fewest) {
    const next = pieces.next();
    if (next.done) break;
    first.push(next.value);
  }
  const all = chain(first, pieces);
  if (options.workers > 0 && first.length === fewest) return new ThreadLanes(all, options);
  if (options.material) await prepareCodecs("all");
  return new OwnLane(all, options);
}

function* chain<T>(first: Iterable<T>, rest: Iterator<T>): Generator<T> {
  yield* first;
  for (let next = rest.next(); !next.done; next = rest.next()) yield next.value;
}

class OwnLane implements Lanes {
  readonly #pieces: Iterator<Piece>;
  readonly #verifier: PieceVerifier;
  readonly #signal: AbortSignal | undefined;

  constructor(pieces: Iterator<Piece>, { core, material, signal }: LaneOptions) {
    this.#pieces = pieces;
    this.#verifier = new PieceVerifier(core, material);
    this.#signal = signal;
  }

  async next(): Promise<Checked | undefined> {
    // Signals are delivered between pieces.
    await new Promise((resolve) => setImmediate(resolve));
    this.#signal?.throwIfAborted();
    const { value: piece, done } = this.#pieces.next();
    return done ? undefined : { piece, result: this.#verifier.run(piece) };
  }

  async close(): Promise<void> {
    this.#verifier.close();
  }
}

class ThreadLanes implements Lanes {
  readonly #pieces: Iterator<Piece>;
  readonly #threads: { thread: Thread; busy: number }[] = [];
  readonly #limit: number;
  /** Pieces that were given out and are not taken yet, with their results as these arrive. */
  readonly #open = new Map<number, { piece: Piece; result?: PieceResult }>();
  #given = 0;
  #taken = 0;
  #failure: Error | undefined;
  #wake: () => void = () => {};

  constructor(pieces: Iterator<Piece>, { material, workers, signal }: LaneOptions) {
    this.#pieces = pieces;
    this.#limit = PIECES_PER_WORKER * workers;
    const data: CheckWorkerData = { material, module: coreModule() };
    const fail = (e: Error): void => {
      this.#failure ??= e;
      this.#wake();
    };
    if (signal?.aborted) fail(signal.reason as Error);
    signal?.addEventListener("abort", () => fail(signal.reason as Error), { once: true });
    for (let i = 0; i < workers; i++) {
      const lane = {
        busy: 0,
        thread: startThread({ role: "check", data }, fail, (message) => {
          const { number, result } = message as WorkerAnswer;
          lane.busy--;
          this.#open.get(number)!.result = result;
          this.#wake();
        }),
      };
      this.#threads.push(lane);
    }
    this.#give();
  }

  #give(): void {
    while (this.#given - this.#taken < this.#limit) {
      const next = this.#pieces.next();
      if (next.done) return;
      const lane = this.#threads.reduce((a, b) => (b.busy < a.busy ? b : a));
      lane.busy++;
      this.#open.set(this.#given, { piece: next.value });
      lane.thread.post({ number: this.#given++, piece: next.value } satisfies WorkerTask);
    }
  }

  async next(): Promise<Checked | undefined> {
    for (;;) {
      if (this.#failure) throw this.#failure;
      const first = this.#open.get(this.#taken);
      if (!first) return undefined;
      const { piece, result } = first;
      if (result) {
        this.#open.delete(this.#taken++);
        this.#give();
        return { piece, result };
      }
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  async close(): Promise<void> {
    const threads = this.#threads.splice(0);
    for (const { thread } of threads) thread.post({ stop: true });
    await Promise.all(threads.map(({ thread }) => thread.join()));
  }
}

export interface CheckWorkerData {
  material: KeyMaterial | undefined;
  module: WebAssembly.Module;
}
interface WorkerTask {
  number: number;
  piece: Piece;
}
interface WorkerAnswer {
  number: number;
  result: PieceResult;
}

/** The worker's side: serves pieces until told to stop. */
export async function runCheckWorker(data: CheckWorkerData, port: MessagePort): Promise<void> {
  if (data.material) await prepareCodecs("all");
  const verifier = new PieceVerifier(loadCore(data.module), data.material);
  await new Promise<void>((resolve, reject) => {
    port.on("message", (message: WorkerTask | { stop: true }) => {
      if ("stop" in message) {
        verifier.close();
        // Deno's parentPort has no close; its worker scope has.
        if (typeof port.close === "function") port.close();
        else (globalThis as { close?: () => void }).close?.();
        resolve();
        return;
      }
      try {
        const result = verifier.run(message.piece);
        const given = result.entries
          ? [result.entries.numbers.buffer as ArrayBuffer, result.entries.headers.buffer as ArrayBuffer]
          : [];
        port.postMessage({ number: message.number, result } satisfies WorkerAnswer, given);
      } catch (e) {
        reject(e);
      }
    });
  });
}
