// The walking thread: runs the walk and fills the ring with what it finds, until the end or a stop.
import { type MatcherSpec, PatternMatcher } from "../../select/index.ts";
import { Walker, type WalkOptions } from "../walker.ts";
import { ENDED, PUBLISHED, PULSE, RELEASED, ScanChannel, ScanWriter, SLOTS, STOP } from "./scan-channel.ts";
import { tooLong, writeEvent } from "./scan-events.ts";

/** Serialisable start data of the walking thread. */
export interface ScanWorkerData {
  memory: SharedArrayBuffer;
  options: Omit<WalkOptions, "matcher"> & { matcher: MatcherSpec };
  /** Normalised paths. */
  roots: readonly string[];
  /** Whether attributes are wanted: their names are listed here too. */
  xattrs: boolean;
}

/** Runs until everything is told, or the channel says stop. */
export function runScanWorker(data: ScanWorkerData): void {
  const channel = new ScanChannel(data.memory);
  const walker = new Walker({ ...data.options, matcher: PatternMatcher.fromSpec(data.options.matcher) });
  let writer = new ScanWriter(channel.slot(0));

  /** Hands the slot over and waits for a free one; false when told to stop. */
  const publish = (): boolean => {
    channel.raise(PUBLISHED);
    for (;;) {
      const seen = channel.get(PULSE);
      if (channel.get(STOP) !== 0) return false;
      if (channel.get(PUBLISHED) - channel.get(RELEASED) < SLOTS) break;
      channel.sleep(seen);
    }
    const published = channel.get(PUBLISHED);
    looks = data.xattrs && published - channel.get(RELEASED) > 1;
    writer = new ScanWriter(channel.slot(published));
    return true;
  };
  // While the main thread has nothing to do, looking for attributes is left to it: so both end at the same time.
  let looks = false;
  for (const [root, path] of data.roots.entries()) {
    for (const event of walker.walk(path)) {
      if (writeEvent(writer, root, event, looks)) continue;
      if (!publish()) return;
      if (!writeEvent(writer, root, event, looks)) throw tooLong(event);
    }
  }
  if (!writer.isEmpty) channel.raise(PUBLISHED);
  channel.raise(ENDED);
}
