// Objects that were asked for, in order: as many requests are under way as fill the link, and what has arrived but
// was not taken yet is bounded in bytes. Announced ids (preload) are requested when there is room; what somebody
// waits for goes first.

/** Bytes that may be under way or waiting to be taken. 100 Mbit/s with 50 ms of delay hold 0.6 MB. */
const WINDOW_BYTES = 32 * 1024 * 1024;
/** Requests under way at most: small objects would else queue up without end at the server. */
const WINDOW_REQUESTS = 1000;

/** Asks for an object; `done` is called once, with its bytes or with what went wrong. */
export type RequestObject = (id: Uint8Array, done: (result: Uint8Array | Error) => void) => void;

interface Entry {
  key: string;
  id: Uint8Array;
  state: "queued" | "sent" | "arrived";
  result: Uint8Array | Error | undefined;
  /** Whoever waits for the result. */
  waiting: ((result: Uint8Array | Error) => void) | undefined;
  size: number;
  /** Nobody will take it. */
  abandoned: boolean;
}

export class GetQueue {
  private readonly request: RequestObject;
  /** Announced and not sent. */
  private announced: Entry[] = [];
  /** Entries of `announced` that were dealt with. */
  private head = 0;
  /** Announced and not taken, by id; an id may be announced more than once. */
  private readonly byId = new Map<string, Entry[]>();
  private underWay = 0;
  private arrivedBytes = 0;
  /** Moving average of object sizes. */
  private typical = 64 * 1024;

  constructor(request: RequestObject) {
    this.request = request;
  }

  preload(ids: Iterable<Uint8Array>): void {
    for (const id of ids) {
      const entry = this.entry(id, keyOf(id));
      this.announced.push(entry);
      const same = this.byId.get(entry.key);
      if (same) same.push(entry);
      else this.byId.set(entry.key, [entry]);
    }
    this.fill();
  }

  /**
   * Takes an announced object if it is here already: small ones come by the thousand, and a promise or two for each
   * would cost more than their contents. Undefined where it has to be waited for with take().
   */
  arrived(id: Uint8Array): Uint8Array | undefined {
    const key = keyOf(id);
    const entry = this.byId.get(key)?.[0];
    if (!(entry?.result instanceof Uint8Array)) return undefined;
    const data = entry.result;
    this.withdraw(key);
    this.taken(entry);
    this.fill();
    return data;
  }

  /** One object after the other. Ends early without waiting for what is under way. */
  async *take<T>(
    ids: Iterable<Uint8Array>,
    convert: (got: Promise<Uint8Array>) => Promise<T>,
  ): AsyncGenerator<T> {
    const source = ids[Symbol.iterator]();
    const ahead: Entry[] = [];
    let more = true;
    try {
      for (;;) {
        while (more && (ahead.length === 0 || this.room())) {
          const next = source.next();
          if (next.done) more = false;
          else ahead.push(this.claim(next.value));
        }
        const entry = ahead.shift();
        if (!entry) return;
        try {
          yield await convert(result(entry));
        } finally {
          this.taken(entry);
        }
        this.fill();
      }
    } finally {
      for (const entry of ahead) this.abandon(entry);
    }
  }

  private entry(id: Uint8Array, key: string): Entry {
    return { key, id, state: "queued", result: undefined, waiting: undefined, size: 0, abandoned: false };
  }

  /** The announced entry of an id, or a new one; either way it is sent now. */
  private claim(id: Uint8Array): Entry {
    const key = keyOf(id);
    const entry = this.withdraw(key) ?? this.entry(id, key);
    if (entry.state === "queued") this.send(entry);
    return entry;
  }

  private withdraw(key: string): Entry | undefined {
    const same = this.byId.get(key);
    const entry = same?.shift();
    if (same?.length === 0) this.byId.delete(key);
    return entry;
  }

  private room(): boolean {
    if (this.underWay === 0) return true;
    if (this.underWay >= WINDOW_REQUESTS) return false;
    return this.arrivedBytes + this.underWay * this.typical < WINDOW_BYTES;
  }

  private fill(): void {
    while (this.head < this.announced.length) {
      const entry = this.announced[this.head]!;
      if (entry.state === "queued") {
        if (!this.room()) return;
        this.send(entry);
      }
      this.head++;
    }
    this.announced = [];
    this.head = 0;
  }

  private send(entry: Entry): void {
    entry.state = "sent";
    this.underWay++;
    this.request(entry.id, (result) => {
      this.underWay--;
      entry.state = "arrived";
      if (result instanceof Uint8Array) this.typical += (result.length - this.typical) / 16;
      if (entry.abandoned) return;
      if (result instanceof Uint8Array) {
        entry.size = result.length;
        this.arrivedBytes += result.length;
      }
      entry.result = result;
      entry.waiting?.(result);
    });
  }

  private taken(entry: Entry): void {
    this.arrivedBytes -= entry.size;
    entry.size = 0;
    entry.result = undefined;
  }

  private abandon(entry: Entry): void {
    entry.abandoned = true;
    this.taken(entry);
  }
}

function keyOf(id: Uint8Array): string {
  return Buffer.from(id.buffer, id.byteOffset, id.byteLength).toString("latin1");
}

function result(entry: Entry): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const settle = (got: Uint8Array | Error) => (got instanceof Error ? reject(got) : resolve(got));
    if (entry.result) settle(entry.result);
    else entry.waiting = settle;
  });
}
