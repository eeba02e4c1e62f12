// The shared memory between the main thread and one worker of the create pipeline. Jobs (which files to read)
// go one way, finished repository objects and records about them the other way; nothing is copied through
// messages. Both directions are rings whose positions only their writer advances:
//   main:   writes a job slot, raises JOBS_POSTED; releases an output slot by raising OUT_RELEASED
//   worker: raises JOBS_DONE, fills an output slot, raises OUT_PUBLISHED
// An output slot has two parts: complete PUT entries one after the other, so that a slot without duplicates is
// one write to the segment, and the records that say which entry belongs to which file.

export const JOB_SLOTS = 3;
export const JOB_BYTES = 128 * 1024;
/** With two, workers waited a sixth of their time for the main thread, which shares the cores with them. */
export const OUT_SLOTS = 4;
export const RECORD_BYTES = 256 * 1024;

// Words of the control block.
export const POKE = 0;
export const STOP = 1;
export const JOBS_POSTED = 2;
export const JOBS_DONE = 3;
export const OUT_PUBLISHED = 4;
export const OUT_RELEASED = 5;
export const GRANTS_GIVEN = 6;
export const GRANTS_TAKEN = 7;
/** Counts new index tables; each comes as a message on a port of its own. */
export const INDEX_GENERATION = 8;
const OUT_LENGTHS = 16; // two words a slot: bytes of entries, bytes of records
const CONTROL_BYTES = 256;
const GRANT_OFFSET = 192; // two float64: first block, end block

/** Serialisable description of a channel; what a worker gets. */
export interface ChannelShare {
  memory: SharedArrayBuffer;
  wake: SharedArrayBuffer;
  entryBytes: number;
}

/** One end of a channel. Both ends make their own views over the same memory. */
export class Channel {
  readonly share: ChannelShare;
  readonly control: Int32Array<SharedArrayBuffer>;
  readonly wake: Int32Array<SharedArrayBuffer>;
  readonly jobs: Uint8Array[] = [];
  readonly entries: Uint8Array[] = [];
  readonly records: Uint8Array[] = [];
  readonly recordViews: DataView[] = [];
  readonly #grant: Float64Array;

  constructor(share: ChannelShare) {
    this.share = share;
    const { memory, entryBytes } = share;
    this.control = new Int32Array(memory, 0, CONTROL_BYTES / 4);
    this.wake = new Int32Array(share.wake);
    this.#grant = new Float64Array(memory, GRANT_OFFSET, 2);
    let offset = CONTROL_BYTES;
    for (let i = 0; i < JOB_SLOTS; i++, offset += JOB_BYTES) {
      this.jobs.push(new Uint8Array(memory, offset, JOB_BYTES));
    }
    for (let i = 0; i < OUT_SLOTS; i++) {
      this.entries.push(new Uint8Array(memory, offset, entryBytes));
      offset += entryBytes;
      this.records.push(new Uint8Array(memory, offset, RECORD_BYTES));
      this.recordViews.push(new DataView(memory, offset, RECORD_BYTES));
      offset += RECORD_BYTES;
    }
  }

  /** @param entryBytes room for PUT entries in an output slot; at least one chunk of the largest size */
  static create(entryBytes: number, wake: SharedArrayBuffer): Channel {
    const total = CONTROL_BYTES + JOB_SLOTS * JOB_BYTES + OUT_SLOTS * (entryBytes + RECORD_BYTES);
    return new Channel({ memory: new SharedArrayBuffer(total), wake, entryBytes });
  }

  get(word: number): number {
    return Atomics.load(this.control, word);
  }

  raise(word: number): void {
    Atomics.add(this.control, word, 1);
  }

  /** Main to worker: something changed, look again. */
  poke(): void {
    Atomics.add(this.control, POKE, 1);
    Atomics.notify(this.control, POKE);
  }

  /** Worker to main. */
  wakeMain(): void {
    Atomics.add(this.wake, 0, 1);
    Atomics.notify(this.wake, 0);
  }

  setOutLengths(slot: number, entryBytes: number, recordBytes: number): void {
    Atomics.store(this.control, OUT_LENGTHS + slot * 2, entryBytes);
    Atomics.store(this.control, OUT_LENGTHS + slot * 2 + 1, recordBytes);
  }

  outLengths(slot: number): { entryBytes: number; recordBytes: number } {
    return {
      entryBytes: this.get(OUT_LENGTHS + slot * 2),
      recordBytes: this.get(OUT_LENGTHS + slot * 2 + 1),
    };
  }

  /** Main: gives the worker counter blocks [first, end) once it has taken the previous grant. */
  grant(first: number, end: number): void {
    this.#grant[0] = first;
    this.#grant[1] = end;
    this.raise(GRANTS_GIVEN);
  }

  /** Worker: takes the waiting grant. */
  takeGrant(): { first: number; end: number } {
    const range = { first: this.#grant[0]!, end: this.#grant[1]! };
    this.raise(GRANTS_TAKEN);
    return range;
  }
}
