// From a walk's events to the bytes of a slot, and a walk in this very thread, told in slots like one in another.
import { type WalkEvent, Walker, type WalkOptions } from "../walker.ts";
import { newSlot, type ScanSlot, ScanWriter, XATTRS_NONE, XATTRS_UNKNOWN } from "./scan-channel.ts";

/** Small enough that workers soon have something to do. */
const HERE_BYTES = 64 * 1024;

/** Writes an event. @param looks whether names of attributes are listed here @returns false if there is no room */
export function writeEvent(writer: ScanWriter, root: number, event: WalkEvent, looks: boolean): boolean {
  if (event.type === "entry")
    return writer.entry(root, event.path, event.stat, looks ? attributes(event) : XATTRS_UNKNOWN);
  if (event.type === "status") return writer.status(root, event.path, event.status);
  return writer.problem(root, event.path, event.problem);
}

// A path's names of attributes; most have none, which is all that has to be known here.
function attributes(event: WalkEvent & { type: "entry" }): number {
  const names = event.directory?.xattrNames(event.name === "" ? "." : event.name);
  return names?.length === 0 ? XATTRS_NONE : XATTRS_UNKNOWN;
}

export function tooLong(event: WalkEvent): Error {
  return new Error(`walk: an event larger than a slot (${event.path.length} characters)`);
}

/** Walks the roots, normalised paths. Take the events of a slot before asking for the next one: it is used again. */
export function* walkHere(
  options: WalkOptions,
  roots: readonly string[],
  xattrs: boolean,
): Generator<ScanSlot, void> {
  const walker = new Walker(options);
  const slot = newSlot(new ArrayBuffer(HERE_BYTES), 0, HERE_BYTES);
  let writer = new ScanWriter(slot);
  for (const [root, path] of roots.entries()) {
    for (const event of walker.walk(path)) {
      if (writeEvent(writer, root, event, xattrs)) continue;
      yield slot;
      writer = new ScanWriter(slot);
      if (!writeEvent(writer, root, event, xattrs)) throw tooLong(event);
    }
  }
  if (!writer.isEmpty) yield slot;
}
