// One end of an RPC connection, the client's: numbered calls over a pair of byte streams. Calls may be pipelined;
// answers come back by number. Casts are calls whose answer nobody awaits (puts and deletes): their errors are kept
// until somebody asks. What is sent waits in a queue of bounded size and, if wanted, at a limited rate.
import type { Readable, Writable } from "node:stream";
import { type AlcoveError, UnexpectedRPCDataFormatFromServer } from "../errors.ts";
import { Unpacker } from "../format/msgpack.ts";
import {
  encodePositional,
  encodeRequest,
  messageReader,
  parseAnswer,
  type RemoteFailure,
} from "./framing.ts";
import { ObjectMessages, type ObjectMethod } from "./object-requests.ts";
import { BLOCK_BYTES, Outbox } from "./outbox.ts";
import { printable } from "./records.ts";

export interface ConnectionOptions {
  /** Bytes per second at most that are sent; 0 or absent for no limit. */
  rateLimit?: number;
  /** Bytes that may wait to be sent before a cast has to wait. */
  uploadBuffer?: number;
  /** Turns what a server tells about a failed call into an error. */
  toError: (failure: RemoteFailure) => AlcoveError;
}

export interface Waiter {
  resolve: (result: unknown) => void;
  reject: (error: Error) => void;
}

/** Bytes handed to the operating system at a time: enough to keep a pipe full, little enough to answer quickly. */
const WRITE_AHEAD = 1024 * 1024;
const DEFAULT_UPLOAD_BUFFER = 4 * 1024 * 1024;
/** Periods of the rate limit, as Borg has it: what was not used in one may be used in the next, but no more. */
const RATE_PERIOD = 0.1;

export class RpcConnection {
  /** Whether calls carry named arguments; false until the server has said that it understands them. */
  named = false;
  /** Totals for the debug log. */
  sentBytes = 0;
  receivedBytes = 0;
  private readonly input: Readable;
  private readonly output: Writable;
  private readonly options: ConnectionOptions;
  private readonly reader = messageReader();
  private lastNumber = 0;
  private readonly waiting = new Map<number, Waiter>();
  private readonly casts = new Set<number>();
  private castErrors: Error[] = [];
  private failure: AlcoveError | undefined;
  private readonly messages = new ObjectMessages();
  private readonly outbox = new Outbox();
  private inFlight = 0;
  private pumping = false;
  /** Whether the outbox will be looked at before the event loop goes on. */
  private pumpSoon = false;
  private quota: number;
  private quotaTime = performance.now();
  private timer: NodeJS.Timeout | undefined;
  /** Called once whenever something changed that a blocked cast or a drain may wait for. */
  private watchers: (() => void)[] = [];

  constructor(input: Readable, output: Writable, options: ConnectionOptions) {
    this.input = input;
    this.output = output;
    this.options = options;
    this.quota = (options.rateLimit ?? 0) * RATE_PERIOD;
    input.on("data", (piece: Uint8Array) => this.receive(piece));
    // The pipe's own error says less than the end of the process, which whoever started it reports with fail().
    output.on("error", () => {});
  }

  /** A call whose answer the caller awaits. Positional arguments are used until `named` is set. */
  call(method: string, args: Record<string, unknown>): Promise<unknown> {
    return new Promise((resolve, reject) => {
      if (this.failure) return reject(this.failure);
      const number = ++this.lastNumber;
      this.waiting.set(number, { resolve, reject });
      for (const piece of this.encode(number, method, args)) this.outbox.append(piece);
      this.send();
    });
  }

  /** As call("get"), without a promise. */
  get(id: Uint8Array, done: Waiter): void {
    if (this.failure) {
      done.reject(this.failure);
      return;
    }
    const number = ++this.lastNumber;
    this.waiting.set(number, done);
    this.outbox.append(this.messages.request(number, "get", id));
    this.send();
  }

  /**
   * A put or delete, whose answer nobody awaits. The data is copied. The promise, if there is one, resolves when the
   * upload buffer has room again. Throws errors of earlier casts.
   */
  cast(method: Exclude<ObjectMethod, "get">, id: Uint8Array, data?: Uint8Array): Promise<void> | undefined {
    this.throwCastError();
    if (this.failure) throw this.failure;
    const number = ++this.lastNumber;
    this.casts.add(number);
    this.outbox.append(this.messages.request(number, method, id, data?.length));
    if (data) this.outbox.append(data);
    this.send();
    return this.full() ? this.room() : undefined;
  }

  private full(): boolean {
    return this.outbox.bytes + this.inFlight > (this.options.uploadBuffer || DEFAULT_UPLOAD_BUFFER);
  }

  private async room(): Promise<void> {
    while (this.full() && !this.failure) await this.change();
    this.throwCastError();
  }

  /** Waits until every cast is answered, and throws the first error among the answers. */
  async settle(): Promise<void> {
    while (this.casts.size > 0 && !this.failure) await this.change();
    this.throwCastError();
    if (this.failure) throw this.failure;
  }

  /** Forgets errors of casts: after a rollback they are of no interest. */
  forgetCasts(): void {
    this.castErrors = [];
  }

  /** Ends the connection with an error that every pending and every later call gets. The first one counts. */
  fail(error: AlcoveError): void {
    if (this.failure) return;
    this.failure = error;
    clearTimeout(this.timer);
    this.outbox.clear();
    const waiters = [...this.waiting.values()];
    this.waiting.clear();
    this.casts.clear();
    for (const waiter of waiters) waiter.reject(error);
    this.changed();
  }

  get failed(): AlcoveError | undefined {
    return this.failure;
  }

  /** Drops what was not sent yet and closes the sending side, which makes a server end. */
  end(): void {
    clearTimeout(this.timer);
    this.outbox.clear();
    this.output.end();
  }

  private encode(number: number, method: string, args: Record<string, unknown>): Uint8Array[] {
    return this.named
      ? encodeRequest(number, method, args)
      : encodePositional(number, method, Object.values(args));
  }

  private throwCastError(): void {
    const error = this.castErrors.shift();
    if (error) throw error;
  }

  private change(): Promise<void> {
    return new Promise((resolve) => this.watchers.push(resolve));
  }

  private changed(): void {
    const watchers = this.watchers;
    this.watchers = [];
    for (const watcher of watchers) watcher();
  }

  private receive(piece: Uint8Array): void {
    if (this.failure) return;
    this.receivedBytes += piece.length;
    try {
      this.reader.feed(piece);
      for (let value = this.reader.next(); value !== Unpacker.INCOMPLETE; value = this.reader.next()) {
        const answer = parseAnswer(value);
        if (!answer || !this.deliver(answer.id, answer.result, answer.failure))
          throw new TypeError("no answer");
      }
    } catch {
      this.reject(piece); // not msgpack, beyond the limits, or no answer to anything
    }
  }

  /** False if nobody asked for that number. */
  private deliver(number: number, result: unknown, failure: RemoteFailure | undefined): boolean {
    if (this.casts.delete(number)) {
      if (failure) this.castErrors.push(this.options.toError(failure));
      this.changed();
      return true;
    }
    const waiter = this.waiting.get(number);
    if (!waiter) return false;
    this.waiting.delete(number);
    if (failure) waiter.reject(this.options.toError(failure));
    else waiter.resolve(result);
    return true;
  }

  private reject(piece: Uint8Array): void {
    this.fail(new UnexpectedRPCDataFormatFromServer(printable(piece)));
    this.input.destroy();
    this.output.destroy();
  }

  /** What is sent within one turn of the event loop goes out together, unless there is much of it. */
  private send(): void {
    if (this.outbox.bytes >= BLOCK_BYTES) this.pump();
    else if (!this.pumpSoon) {
      this.pumpSoon = true;
      process.nextTick(() => {
        this.pumpSoon = false;
        this.pump();
      });
    }
  }

  /** Hands the outbox to the operating system, as far as the write-ahead and the rate allow. */
  private pump(): void {
    // Bun calls a write's callback, and with it this, before write() returns.
    if (this.pumping || this.timer || this.failure || this.outbox.bytes === 0) return;
    this.pumping = true;
    this.output.cork();
    while (this.outbox.bytes > 0 && this.inFlight < WRITE_AHEAD) {
      const allowed = this.allowance(Math.min(this.outbox.bytes, BLOCK_BYTES));
      const lent = this.outbox.take(allowed);
      if (!lent) break;
      const size = lent.piece.length;
      // What the rate would have allowed beyond the end of a block may be used next.
      if (this.options.rateLimit) this.quota += allowed - size;
      this.inFlight += size;
      this.sentBytes += size;
      this.output.write(lent.piece, () => {
        lent.giveBack();
        this.written(size);
      });
    }
    this.pumping = false;
    this.output.uncork();
  }

  private written(size: number): void {
    this.inFlight -= size;
    this.pump();
    this.changed();
  }

  /** Bytes that may be sent now; takes them from the quota, and sets a timer when there are none. */
  private allowance(wanted: number): number {
    const rate = this.options.rateLimit ?? 0;
    if (!rate) return wanted;
    const now = performance.now();
    const gained = ((now - this.quotaTime) / 1000) * rate;
    this.quotaTime = now;
    this.quota = Math.min(this.quota + gained, 2 * RATE_PERIOD * rate);
    const allowed = Math.min(Math.floor(this.quota), wanted);
    if (allowed < 1 && wanted > 0) {
      this.timer = setTimeout(() => {
        this.timer = undefined;
        this.pump();
      }, RATE_PERIOD * 1000);
      return 0;
    }
    this.quota -= allowed;
    return allowed;
  }
}
