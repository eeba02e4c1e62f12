// Limits and defaults of a Borg 1.x repository (borg's constants.py): on-disk facts that both programs must agree on.

export const MAX_DATA_SIZE = 20971479;
/** Largest segment entry, header included: 20 MiB. */
export const MAX_OBJECT_SIZE = MAX_DATA_SIZE + 41;
/** max_segment_size must be below this, so that offsets fit into 32 bits. */
export const MAX_SEGMENT_SIZE_LIMIT = 2 ** 32 - MAX_OBJECT_SIZE;
export const DEFAULT_MAX_SEGMENT_SIZE = 500 * 1024 * 1024;
export const DEFAULT_SEGMENTS_PER_DIR = 1000;
export const MAX_SEGMENT = 2 ** 32 - 1;
/** Largest answer of list() and scan() that Borg's client asks for. */
export const LIST_SCAN_LIMIT = 100000;
/** The manifest's id: 32 zero bytes. Its PUT and DELETE begin a new segment. */
export const MANIFEST_ID = new Uint8Array(32);

export type Log = (level: "debug" | "info" | "warning" | "error", message: string) => void;

/** For long work in the main thread: lets timers, signals and other requests have their turn. */
export const breathe = () => new Promise<void>((resolve) => setImmediate(resolve));
