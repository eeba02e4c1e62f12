// The walking thread: runs the walk and fills the ring with what it finds, until the end or a stop.
import { type MatcherSpec, PatternMatcher } from "../../select/index.ts";
import { Walker, type WalkOptions } from "../walker.ts";
import { ENDED, LIST_ALL, PUBLISHED, PULSE, RELEASED, ScanChannel, SLOTS, STOP } from "./scan-channel.ts";
import { SlotSink } from "./scan-events.ts";

/** Slots that the main thread may have before it: so that it need not wait, and is not far behind at the end. */
const LEAD = 3;

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
  // While the main thread has nothing to do, looking at files and for attributes is left to it: so both end at the same time.
  const sink = new SlotSink(channel.slot(0), false, false);
  const options = { ...data.options, matcher: PatternMatcher.fromSpec(data.options.matcher) };
  const walker = new Walker(options, sink);

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
    const leads = published - channel.get(RELEASED) > LEAD;
    sink.leavesFiles = !leads;
    sink.looks = data.xattrs && leads;
    sink.looksAtFiles = channel.get(LIST_ALL) !== 0;
    sink.begin(channel.slot(published));
    return true;
  };
  for (const [root, path] of data.roots.entries()) {
    sink.root = root;
    for (const event of walker.walkInto(path)) {
      if (sink.event(event)) continue;
      if (!publish()) return;
      sink.again(event);
    }
  }
  if (!sink.isEmpty) channel.raise(PUBLISHED);
  channel.raise(ENDED);
}
