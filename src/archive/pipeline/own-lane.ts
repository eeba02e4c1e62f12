// An engine in the main thread, with a slot and a place for its jobs as a worker's channel has them: it is used where there
// are no workers, for streams, and for batches that are done beside workers.
import { Core, coreModule } from "../../core/index.ts";
import { Channel } from "./channel.ts";
import { Engine } from "./engine.ts";
import type { EngineSetup } from "./engine-setup.ts";
import { fileSource } from "./files.ts";
import type { Intake } from "./intake.ts";
import type { PendingFile, RunOfFiles } from "./pending-file.ts";

export class OwnLane {
  readonly engine: Engine;
  /** Who is told of what comes next. */
  readonly queue: (PendingFile | RunOfFiles)[] = [];
  readonly #channel: Channel;

  /** @param entryBytes room for objects in the slot */
  constructor(setup: EngineSetup, entryBytes: number) {
    this.#channel = Channel.create(entryBytes, new SharedArrayBuffer(4));
    // A core of its own, as a worker has: regions are never given back, so what many archives made by one process take
    // must go with their pipelines (in the shared core 240 archives filled the memory, and the kernels never returned).
    const core = new Core(coreModule());
    this.engine = new Engine(core, fileSource(core), setup);
    this.#reset();
  }

  /** Where a job is written before it is run. */
  get job(): Uint8Array {
    return this.#channel.jobs[0]!;
  }

  /** Gives what the engine has made to the intake, and the engine its slot again. */
  async take(intake: Intake): Promise<void> {
    const { entries, view, entryPos, recordPos } = this.engine.batch.slot;
    await intake.take(this.queue, entries.subarray(0, entryPos), view, recordPos);
    this.#reset();
  }

  #reset(): void {
    this.engine.batch.slot = {
      entries: this.#channel.entries[0]!,
      view: this.#channel.recordViews[0]!,
      entryPos: 0,
      recordPos: 0,
    };
  }
}
