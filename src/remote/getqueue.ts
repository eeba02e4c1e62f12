// Objects that were asked for, in order: as many requests are under way as fill the link, and what has arrived but
// was not taken yet is bounded in bytes. Announced ids (preload) are requested when there is room; what somebody
// waits for goes first.

/** Bytes that may be under way or waiting to be taken. 100 Mbit/s with 50 ms of delay hold 0.6 MB. */
const WINDOW_BYTES = 32 * 1024 * 1024;
/** Requests under way at most: small objects would else queue up without end at the server. */
const WINDOW_REQUESTS = 1000;

interface Entry {
  key: string;
  id: Uint8Array;
  state: "queued" | "sent" | "arrived";
  promise: Promise<Uint8Array> | undefined;
  size: number;
  /** Nobody will take it. */
  abandoned: boolean;
}

export class GetQueue {
  private readonly request: (id: Uint8Array) => Promise<Uint8Array>;
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

  constructor(request: (id: Uint8Array) => Promise<Uint8Array>) {
    this.request = request;
  }

  preload(ids: Iterable<Uint8Array>): void {
    for (const id of ids) {
      const entry = this.entry(id);
      this.announced.push(entry);
      const same = this.byId.get(entry.key);
      if (same) same.push(entry);
      else this.byId.set(entry.key, [entry]);
    }
    this.fill();
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
          yield await convert(entry.promise!);
        } finally {
          this.taken(entry);
        }
        this.fill();
      }
    } finally {
      for (const entry of ahead) this.abandon(entry);
    }
  }

  private entry(id: Uint8Array): Entry {
    const key = Buffer.from(id.buffer, id.byteOffset, id.byteLength).toString("latin1");
    return { key, id, state: "queued", promise: undefined, size: 0, abandoned: false };
  }

  /** The announced entry of an id, or a new one; either way it is sent now. */
  private claim(id: Uint8Array): Entry {
    let entry = this.entry(id);
    const same = this.byId.get(entry.key);
    if (same) {
      entry = same.shift()!;
      if (same.length === 0) this.byId.delete(entry.key);
    }
    if (entry.state === "queued") this.send(entry);
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
    entry.promise = this.request(entry.id).then(
      (data) => {
        this.underWay--;
        this.typical += (data.length - this.typical) / 16;
        entry.state = "arrived";
        if (!entry.abandoned) {
          entry.size = data.length;
          this.arrivedBytes += data.length;
        }
        return data;
      },
      (error) => {
        this.underWay--;
        entry.state = "arrived";
        throw error;
      },
    );
    // Whoever takes the entry sees the error; until then it must not count as unhandled.
    entry.promise.catch(() => {});
  }

  private taken(entry: Entry): void {
    this.arrivedBytes -= entry.size;
    entry.size = 0;
    entry.promise = undefined;
  }

  private abandon(entry: Entry): void {
    entry.abandoned = true;
    this.taken(entry);
  }
}
