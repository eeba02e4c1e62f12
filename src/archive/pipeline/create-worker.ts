// The worker's side of the create pipeline: takes jobs from its channel, runs the engine, publishes output
// slots. It never touches the event loop while there is work; it sleeps on its poke word.
import { type MessagePort, receiveMessageOnPort } from "node:worker_threads";
import { prepareCodecs } from "../../compress/index.ts";
import { leaveSharedTable } from "../../core/hashindex.ts";
import { loadCore } from "../../core/index.ts";
import {
  Channel,
  type ChannelShare,
  GRANTS_GIVEN,
  GRANTS_TAKEN,
  INDEX_GENERATION,
  JOB_SLOTS,
  JOBS_DONE,
  JOBS_POSTED,
  OUT_PUBLISHED,
  OUT_RELEASED,
  OUT_SLOTS,
  POKE,
  STOP,
} from "./channel.ts";
import type { ToWorker } from "./create-threads.ts";
import { Engine } from "./engine.ts";
import type { EngineSetup, OutputSlot } from "./engine-setup.ts";
import { fileSource } from "./files.ts";
import { readJob } from "./messages.ts";

/** Serialisable start data of a create worker. */
export interface CreateWorkerData {
  channel: ChannelShare;
  module: WebAssembly.Module;
  /** Here comes the setup, and after it new tables of the chunk index. */
  port: MessagePort;
}

class Stopped extends Error {}

/** Runs until the channel says stop. */
export async function runCreateWorker(data: CreateWorkerData): Promise<void> {
  const channel = new Channel(data.channel);
  const core = loadCore(data.module);
  const files = fileSource(core);
  let generation = 0;

  const waitUntil = (ready: () => boolean): void => {
    for (;;) {
      const seen = channel.get(POKE);
      if (channel.get(STOP) !== 0) throw new Stopped();
      if (ready()) return;
      Atomics.wait(channel.control, POKE, seen);
    }
  };
  const slot = (n: number): OutputSlot => ({
    entries: channel.entries[n]!,
    view: channel.recordViews[n]!,
    entryPos: 0,
    recordPos: 0,
  });
  const publish = (): void => {
    const n = channel.get(OUT_PUBLISHED) % OUT_SLOTS;
    channel.setOutLengths(n, engine.batch.slot.entryPos, engine.batch.slot.recordPos);
    channel.raise(OUT_PUBLISHED);
    channel.wakeMain();
    waitUntil(() => channel.get(OUT_PUBLISHED) - channel.get(OUT_RELEASED) < OUT_SLOTS);
    engine.batch.slot = slot(channel.get(OUT_PUBLISHED) % OUT_SLOTS);
  };
  const received = (): ToWorker | undefined => {
    if (channel.get(INDEX_GENERATION) === generation) return undefined;
    const got = receiveMessageOnPort(data.port) as { message: ToWorker } | undefined;
    if (got) generation++;
    return got?.message;
  };
  const setUp = (): EngineSetup => {
    for (;;) {
      waitUntil(() => channel.get(INDEX_GENERATION) > 0);
      const message = received();
      if (message && "setup" in message) return message.setup;
    }
  };
  const refreshIndex = (): void => {
    for (let message = received(); message; message = received())
      if ("index" in message) {
        engine.batch.useIndex(message.index);
        leaveSharedTable(message.index);
      }
  };

  let engine: Engine;
  try {
    const setup = setUp();
    await prepareCodecs(setup.compression);
    engine = new Engine(core, files, setup);
    engine.batch.slot = slot(0);
    for (;;) {
      waitUntil(() => channel.get(JOBS_POSTED) > channel.get(JOBS_DONE));
      refreshIndex();
      const job = channel.jobs[channel.get(JOBS_DONE) % JOB_SLOTS]!;
      for (const need of engine.run(readJob(job))) {
        if (need === "slot") publish();
        else {
          channel.wakeMain();
          waitUntil(() => channel.get(GRANTS_GIVEN) > channel.get(GRANTS_TAKEN));
          const { first, end } = channel.takeGrant();
          engine.batch.grantNonces(first, end);
          channel.wakeMain();
        }
      }
      channel.raise(JOBS_DONE);
      publish();
    }
  } catch (e) {
    if (e instanceof Stopped) return;
    throw e;
  } finally {
    data.port.close();
  }
}
