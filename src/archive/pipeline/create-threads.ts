// The threads of a backup's workers, each with its channel. They may be started before it is known what they need, so that
// they are ready when the repository, its key and the caches are: then they are set up.
import type { HashIndexShare } from "../../core/hashindex.ts";
import { coreModule } from "../../core/index.ts";
import { runtime } from "../../runtime/platform.ts";
import { Channel, INDEX_GENERATION, STOP } from "./channel.ts";
import type { EngineSetup } from "./engine-setup.ts";
import { messagePorts, startThread, type Thread } from "./threads.ts";

/** What comes to a worker through its port: the setup first, then new tables of the chunk index. */
export type ToWorker = { setup: EngineSetup } | { index: HashIndexShare };

export interface CreateThread {
  readonly channel: Channel;
  readonly thread: Thread;
  readonly port: ReturnType<typeof messagePorts>["here"];
}

export class CreateThreads {
  readonly all: CreateThread[] = [];
  /** Raised by workers that have something for the main thread. */
  readonly wake = new Int32Array(new SharedArrayBuffer(4));
  /** What the first thread that died has died of. */
  failure: Error | undefined;
  readonly #entryBytes: number;
  /** Whether the last one was started. */
  isComplete: boolean;

  /** Starts them, but where each core would get one the last: the main thread does its work meanwhile.
   *  @param entryBytes room for objects in an output slot of a channel */
  constructor(count: number, entryBytes: number) {
    this.#entryBytes = entryBytes;
    this.isComplete = count === 1 || count < runtime.cores;
    for (let i = this.isComplete ? 0 : 1; i < count; i++) this.#start();
  }

  /** Starts the last one, and sends it what the others were sent. */
  complete(message: ToWorker): Channel {
    this.isComplete = true;
    const thread = this.#start();
    tell(thread, message);
    return thread.channel;
  }

  #start(): CreateThread {
    const channel = Channel.create(this.#entryBytes, this.wake.buffer);
    const { here, there } = messagePorts();
    const fail = (e: Error): void => {
      this.failure ??= e;
    };
    const data = { channel: channel.share, module: coreModule(), port: there };
    const thread = {
      channel,
      thread: startThread({ role: "create", data }, fail, undefined, [there]),
      port: here,
    };
    this.all.push(thread);
    return thread;
  }

  /** Sends something to every worker, which looks for it before its next job. */
  tell(message: ToWorker): void {
    for (const thread of this.all) tell(thread, message);
  }

  /** Ends the threads. */
  async close(): Promise<void> {
    const threads = this.all.splice(0);
    for (const { channel, port } of threads) {
      channel.raise(STOP);
      channel.poke();
      port.close();
    }
    await Promise.all(threads.map(({ thread }) => thread.join()));
  }
}

function tell({ channel, port }: CreateThread, message: ToWorker): void {
  port.postMessage(message);
  channel.raise(INDEX_GENERATION);
  channel.poke();
}
