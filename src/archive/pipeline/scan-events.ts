// From a walk's events to the bytes of a slot, and a walk in this very thread, told in slots like one in another.
import { type Directory, isRegular, type NameList, type RawStat } from "../../runtime/index.ts";
import { type NameSink, NO_ROOM, type WalkEvent, Walker, type WalkOptions } from "../walker.ts";
import { newSlot, type ScanSlot, ScanWriter, XATTRS_NONE, XATTRS_UNKNOWN } from "./scan-channel.ts";

/** Small enough that workers soon have something to do. */
const HERE_BYTES = 64 * 1024;

/** Where a walk's findings go: the slot at hand. */
export class SlotSink implements NameSink {
  /** Whether names of attributes are listed here, and of regular files as well. */
  looks: boolean;
  looksAtFiles: boolean;
  leavesFiles = false;
  /** Number of the root that is walked. */
  root = 0;
  #writer: ScanWriter;

  constructor(slot: ScanSlot, looks: boolean, looksAtFiles: boolean) {
    this.#writer = new ScanWriter(slot);
    this.looks = looks;
    this.looksAtFiles = looksAtFiles;
  }

  /** Goes on with an empty slot. */
  begin(slot: ScanSlot): void {
    this.#writer = new ScanWriter(slot);
  }

  get isEmpty(): boolean {
    return this.#writer.isEmpty;
  }

  take(
    directory: Directory,
    prefix: Uint8Array,
    names: NameList,
    i: number,
    stat: RawStat | undefined,
  ): boolean {
    if (!this.#writer.hasRoomFor(prefix)) return false;
    const looks = stat && this.looks && (this.looksAtFiles || !isRegular(stat.mode));
    const none = looks && stat.hasNoXattrs(directory, prefix, names, i);
    this.#writer.named(this.root, prefix, names, i, stat, none ? XATTRS_NONE : XATTRS_UNKNOWN);
    return true;
  }

  /** False if there is no room. */
  event(event: WalkEvent | typeof NO_ROOM): boolean {
    if (event === NO_ROOM) return false;
    const writer = this.#writer;
    if (event.type === "entry")
      return writer.entry(this.root, event.path, event.stat, this.looks ? attributes(event) : XATTRS_UNKNOWN);
    if (event.type === "status") return writer.status(this.root, event.path, event.status);
    return writer.problem(this.root, event.path, event.problem);
  }

  /** What there was no room for, in an empty slot; nothing where the sink is asked for it again. */
  again(event: WalkEvent | typeof NO_ROOM): void {
    if (event !== NO_ROOM && !this.event(event))
      throw new Error(`walk: an event larger than a slot (${event.path.length} characters)`);
  }
}

// A path's names of attributes; most have none, which is all that has to be known here.
function attributes(event: WalkEvent & { type: "entry" }): number {
  const names = event.directory?.xattrNames(event.name === "" ? "." : event.name);
  return names?.length === 0 ? XATTRS_NONE : XATTRS_UNKNOWN;
}

/** Walks the roots, normalised paths. Take the events of a slot before asking for the next one: it is used again.
 *  @param xattrs names of attributes are listed @param ofFiles of regular files, too */
export function* walkHere(
  options: WalkOptions,
  roots: readonly string[],
  xattrs: boolean,
  ofFiles: boolean,
): Generator<ScanSlot, void> {
  const slot = newSlot(new ArrayBuffer(HERE_BYTES), 0, HERE_BYTES);
  const sink = new SlotSink(slot, xattrs, ofFiles);
  const walker = new Walker(options, sink);
  for (const [root, path] of roots.entries()) {
    sink.root = root;
    for (const event of walker.walkInto(path)) {
      if (sink.event(event)) continue;
      yield slot;
      sink.begin(slot);
      sink.again(event);
    }
  }
  if (!sink.isEmpty) yield slot;
}
