// The main thread's side of a walk in a thread of its own. The events are those of Walker, in the same order.
import type { WalkOptions } from "../walker.ts";
import {
  ENDED,
  LIST_ALL,
  lookAtUnseen,
  PUBLISHED,
  PULSE,
  RELEASED,
  ScanChannel,
  type ScanSlot,
  STOP,
} from "./scan-channel.ts";
import type { ScanWorkerData } from "./scan-worker.ts";
import { startThread, type Thread } from "./threads.ts";

const BREATHE_MS = 40;

export class ScanAhead {
  readonly #channel = new ScanChannel();
  readonly #thread: Thread;
  #failure: Error | undefined;
  #lastBreath = performance.now();

  /** @param roots normalised paths */
  constructor(options: WalkOptions, roots: readonly string[], xattrs: boolean) {
    const data: ScanWorkerData = {
      memory: this.#channel.memory,
      options: { ...options, matcher: options.matcher.spec() },
      roots,
      xattrs,
    };
    this.#thread = startThread({ role: "scan", data }, (e) => {
      this.#failure ??= e;
    });
  }

  /** Slots with all events: take them before asking for the next. @throws what ended the walk */
  async *slots(): AsyncGenerator<ScanSlot, void> {
    const channel = this.#channel;
    for (;;) {
      const seen = channel.get(PULSE);
      // Asked in this order: the last slot is published before the end is told.
      const ended = channel.get(ENDED) !== 0;
      const n = channel.get(RELEASED);
      if (channel.get(PUBLISHED) > n) {
        const slot = channel.slot(n);
        lookAtUnseen(slot);
        yield slot;
        channel.raise(RELEASED);
      } else if (ended) return;
      else channel.sleep(seen, BREATHE_MS);
      // Signals, timers and the death of the thread are seen in the event loop only.
      const now = performance.now();
      if (now - this.#lastBreath > BREATHE_MS) {
        await new Promise((resolve) => setImmediate(resolve));
        this.#lastBreath = performance.now();
      }
      if (this.#failure) throw this.#failure;
    }
  }

  /** Names of attributes shall be listed of plain files, too. */
  listAll(): void {
    this.#channel.raise(LIST_ALL);
  }

  async close(): Promise<void> {
    this.#channel.raise(STOP);
    await this.#thread.join();
  }
}
