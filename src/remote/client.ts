// A repository behind Borg's RPC protocol, usually over ssh: the client side of Borg's remote.py, for servers of
// Borg 1.1 to 1.4 and our own. Gets are pipelined within a window of bytes, puts and deletes are not waited for;
// their errors surface at the latest in commit().
import type { ChildProcessWithoutNullStreams } from "node:child_process";
import type { Readable, Writable } from "node:stream";
import { ConnectionClosedWithHint, IntegrityError, ObjectNotFound, RPCServerOutdated } from "../errors.ts";
import { toHex } from "../format/bytes.ts";
import { Float } from "../format/msgpack.ts";
import { ID_SIZE, PUT_HEADER_SIZE } from "../repository/entry.ts";
import type { CheckOptions, CommitOptions, Repository } from "../repository/types.ts";
import { RpcConnection } from "./connection.ts";
import { errorFromFailure } from "./failures.ts";
import { asBytes, asIds, asNumber, LIST_SCAN_LIMIT, MAX_DATA_SIZE, noBytes } from "./framing.ts";
import { GetQueue } from "./getqueue.ts";
import { closedHint } from "./hints.ts";
import { RecordReader, type RemoteRecord } from "./records.ts";
import { type RemoteLocation, type SshOptions, serveCommand, sshCommand, startServer } from "./ssh.ts";
import {
  compareVersions,
  formatVersion,
  parseVersion,
  SPOKEN_VERSION,
  type Version,
  versionFromWire,
} from "./version.ts";

export interface RemoteOptions extends SshOptions {
  create?: boolean;
  exclusive?: boolean;
  /** Seconds to wait for the lock; default 1 as Borg's --lock-wait. */
  lockWait?: number;
  /** False to open without any lock (--bypass-lock). */
  lock?: boolean;
  /** With create: make an append-only repository. */
  appendOnly?: boolean;
  makeParentDirs?: boolean;
  /** KiB per second at most that are sent. */
  uploadRatelimit?: number;
  /** MiB that may wait to be sent before put() waits. */
  uploadBuffer?: number;
  /** Log, progress and text lines of the server. */
  onRecord?: (record: RemoteRecord) => void;
  /** Instead of ssh: a command whose stdin and stdout are the connection. */
  command?: string[];
  /** Instead of a process: streams (tests, other transports). */
  streams?: { input: Readable; output: Writable };
}

/** Bytes of a PUT entry in front of its data: CRC, size, tag and id. */
/** Seconds that a rollback may take when something went wrong, and that a child gets to end. */
const ROLLBACK_TIMEOUT = 30;
const CHILD_EXIT_TIMEOUT = 10;

export class RemoteRepository implements Repository {
  readonly isRemote = true;
  readonly canonicalPath: string;
  readonly displayPath: string;
  readonly appendOnly: boolean;
  /** Known after open(). */
  id: Uint8Array = new Uint8Array(0);
  serverVersion: Version = parseVersion("1.0.8");

  private readonly child: ChildProcessWithoutNullStreams | undefined;
  private readonly childEnd: Promise<void>;
  private readonly connection: RpcConnection;
  private readonly gets: GetQueue;
  private negotiated = false;
  /** The answer to a load_key that was sent along. */
  private keyAhead: Promise<unknown> | undefined;
  private closed = false;

  /** Starts the server, negotiates and opens the repository there. */
  static async open(location: RemoteLocation, options: RemoteOptions = {}): Promise<RemoteRepository> {
    const repository = new RemoteRepository(location, options);
    try {
      await repository.negotiate();
      await repository.openOnServer(location.path, options);
    } catch (error) {
      await repository.close();
      throw error;
    }
    return repository;
  }

  private constructor(location: RemoteLocation, options: RemoteOptions) {
    this.canonicalPath = location.canonicalPath();
    this.displayPath = location.processed;
    this.appendOnly = options.appendOnly ?? false;
    let streams = options.streams;
    if (streams) {
      this.child = undefined;
      const { input } = streams;
      this.childEnd = new Promise((resolve) => input.once("close", () => resolve()));
      input.once("end", () => this.lost(null, null, []));
      input.once("close", () => this.lost(null, null, []));
    } else {
      const command = options.command ?? [...sshCommand(location, options), ...serveCommand(options)];
      const child = startServer(command, options.env ?? process.env);
      this.child = child;
      streams = { input: child.stdout, output: child.stdin };
      this.childEnd = this.watch(child, options.onRecord ?? (() => {}));
    }
    this.connection = new RpcConnection(streams.input, streams.output, {
      rateLimit: (options.uploadRatelimit ?? 0) * 1024,
      uploadBuffer: (options.uploadBuffer ?? 0) * 1024 * 1024,
      toError: (failure) => errorFromFailure(failure, this.displayPath),
    });
    this.gets = new GetQueue((id, done) =>
      this.connection.get(id, {
        resolve: (result) => done(result instanceof Uint8Array ? result : noBytes("get")),
        reject: done,
      }),
    );
  }

  get idHex(): string {
    return toHex(this.id);
  }

  /** Bytes over the connection so far, for the debug log. */
  get traffic(): { sent: number; received: number } {
    return { sent: this.connection.sentBytes, received: this.connection.receivedBytes };
  }

  private watch(
    child: ChildProcessWithoutNullStreams,
    onRecord: (record: RemoteRecord) => void,
  ): Promise<void> {
    // The last lines of plain text are the best explanation there is if the connection breaks.
    const lastWords: string[] = [];
    const reader = new RecordReader((record) => {
      if (record.kind === "text") lastWords.push(record.line.replace(/^Remote: /, "").trim());
      if (lastWords.length > 3) lastWords.shift();
      onRecord(record);
    });
    child.stderr.on("data", (piece: Uint8Array) => reader.feed(piece));
    child.stderr.on("end", () => reader.end());
    return new Promise((resolve) => {
      child.once("error", (error) => {
        this.connection.fail(
          new ConnectionClosedWithHint(`The server could not be started: ${error.message}`),
        );
        resolve();
      });
      child.once("close", (code, signal) => {
        this.lost(code, signal, lastWords);
        resolve();
      });
      // A process that inherited our pipes may outlive ssh, and "close" would wait for it.
      child.once("exit", (code, signal) => {
        setTimeout(() => {
          this.lost(code, signal, lastWords);
          resolve();
        }, 1000).unref();
      });
      // Our side of a broken connection: give the process a moment to say why.
      child.stdout.once("end", () => {
        setTimeout(() => this.lost(null, null, lastWords), 2000).unref();
      });
    });
  }

  private lost(code: number | null, signal: NodeJS.Signals | null, lastWords: string[]): void {
    const hint = closedHint({ started: this.negotiated, code, signal, lastWords });
    this.connection.fail(new ConnectionClosedWithHint(hint));
  }

  private async negotiate(): Promise<void> {
    const answer = await this.connection.call("negotiate", {
      client_data: { client_version: SPOKEN_VERSION },
    });
    const version = answer instanceof Map ? versionFromWire(answer.get("server_version")) : undefined;
    if (!version) throw new RPCServerOutdated("this client", "1.1.0");
    this.serverVersion = version;
    this.connection.named = true;
    this.negotiated = true;
  }

  private async openOnServer(path: string, options: RemoteOptions): Promise<void> {
    if (options.makeParentDirs) this.need("1.1.9", "--make-parent-dirs");
    const id = await this.connection.call("open", {
      path,
      create: options.create ?? false,
      lock_wait: seconds(options.lockWait ?? 1),
      lock: options.lock ?? true,
      exclusive: options.exclusive ?? false,
      append_only: options.appendOnly ?? false,
      make_parent_dirs: options.makeParentDirs ?? false,
    });
    this.id = asBytes(id, "open").slice();
    if (this.id.length !== 32) throw new IntegrityError("The server gave a repository id of a wrong length.");
    if (options.create) return;
    // Nearly every command asks for the key right after the manifest, which tells what kind of key it is: asked now,
    // the answer comes with the manifest's and saves a round trip.
    this.keyAhead = this.connection.call("load_key", {});
    this.keyAhead.catch(() => {});
  }

  /** @throws RPCServerOutdated if the server is older */
  private need(version: string, what: string): void {
    if (compareVersions(this.serverVersion, parseVersion(version)) < 0) {
      throw new RPCServerOutdated(what, formatVersion(parseVersion(version)));
    }
  }

  async loadKey(): Promise<Uint8Array> {
    const ahead = this.keyAhead;
    this.keyAhead = undefined;
    return asBytes(await (ahead ?? this.connection.call("load_key", {})), "load_key");
  }

  async saveKey(blob: Uint8Array): Promise<void> {
    this.keyAhead = undefined;
    await this.connection.call("save_key", { keydata: blob.slice() });
  }

  async count(): Promise<number> {
    return asNumber(await this.connection.call("__len__", {}), "__len__");
  }

  /** Costs a whole get: the protocol has no cheaper question. */
  async has(id: Uint8Array): Promise<boolean> {
    try {
      await this.get(id);
      return true;
    } catch (error) {
      if (error instanceof ObjectNotFound) return false;
      throw error;
    }
  }

  async get(id: Uint8Array): Promise<Uint8Array> {
    for await (const data of this.gets.take([id], (got) => got)) return data;
    throw new IntegrityError("unreachable: a get without an answer");
  }

  getMany(
    ids: Iterable<Uint8Array>,
    options: { preloaded?: boolean; missing?: "throw" | "skip" } = {},
  ): AsyncIterable<Uint8Array | undefined> {
    if (options.missing !== "skip") return this.gets.take<Uint8Array | undefined>(ids, (got) => got);
    return this.gets.take<Uint8Array | undefined>(ids, (got) =>
      got.catch((error) => {
        if (error instanceof ObjectNotFound) return undefined;
        throw error;
      }),
    );
  }

  preload(ids: Uint8Array[]): void {
    this.gets.preload(ids);
  }

  /** Takes an object that was announced with preload() if it is here already; undefined if getMany() has to wait. */
  arrived(id: Uint8Array): Uint8Array | undefined {
    return this.gets.arrived(id);
  }

  /** The data is copied before it waits to be sent, so the caller may reuse its buffer at once. */
  async put(id: Uint8Array, data: Uint8Array): Promise<void> {
    await this.cast(id, data);
  }

  private cast(id: Uint8Array, data: Uint8Array): Promise<void> | undefined {
    if (data.length > MAX_DATA_SIZE) {
      throw new IntegrityError(
        `An object of ${data.length} bytes is larger than the limit of ${MAX_DATA_SIZE}.`,
      );
    }
    return this.connection.cast("put", id, data);
  }

  /**
   * Many puts in one go: PUT entries of a segment (see repository/entry.ts), whose header gives way to the protocol's.
   * The data is copied, as put() does it.
   * @param places offset and length of each entry in the buffer
   */
  async putEntries(buffer: Uint8Array, places: Uint32Array): Promise<void> {
    for (let i = 0; i < places.length; i += 2) {
      const data = places[i]! + PUT_HEADER_SIZE;
      const id = buffer.slice(data - ID_SIZE, data);
      const room = this.cast(id, buffer.subarray(data, places[i]! + places[i + 1]!));
      if (room) await room;
    }
  }

  async delete(id: Uint8Array): Promise<void> {
    await this.connection.cast("delete", id);
  }

  async list(limit: number = LIST_SCAN_LIMIT, marker?: Uint8Array): Promise<Uint8Array[]> {
    return asIds(await this.connection.call("list", { limit, marker: marker ?? null }), "list");
  }

  async scan(
    limit: number = LIST_SCAN_LIMIT,
    marker?: unknown,
  ): Promise<{ ids: Uint8Array[]; marker: unknown }> {
    const ids = asIds(await this.connection.call("scan", { limit, marker: marker ?? null }), "scan");
    return { ids, marker: ids.at(-1) ?? marker };
  }

  async commit(options: CommitOptions = {}): Promise<void> {
    // Nothing may be committed that was not stored: a failed put stays unknown to a server's commit.
    await this.connection.settle();
    await this.connection.call("commit", {
      save_space: options.saveSpace ?? false,
      compact: options.compact ?? false,
      threshold: new Float(options.threshold ?? 0.1),
      cleanup_commits: options.cleanupCommits ?? false,
    });
  }

  /** Bounded in time: a server that does not answer any more rolls back when the connection ends. */
  async rollback(): Promise<void> {
    if (this.closed || this.connection.failed) return;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<"late">((resolve) => {
      timer = setTimeout(() => resolve("late"), ROLLBACK_TIMEOUT * 1000);
    });
    const done = await Promise.race([this.connection.call("rollback", {}), late]);
    clearTimeout(timer);
    this.connection.forgetCasts();
    if (done === "late")
      this.connection.fail(new ConnectionClosedWithHint("The server did not answer a rollback."));
  }

  async check(options: CheckOptions = {}): Promise<boolean> {
    const maxDuration = options.maxDuration ?? 0;
    if (maxDuration) this.need("1.2.0a4", "check --max-duration");
    await this.connection.settle();
    const good = await this.connection.call("check", {
      repair: options.repair ?? false,
      save_space: options.saveSpace ?? false,
      max_duration: seconds(maxDuration),
    });
    return good === true;
  }

  async getFreeNonce(): Promise<number | undefined> {
    const nonce = await this.connection.call("get_free_nonce", {});
    return nonce === null ? undefined : asNumber(nonce, "get_free_nonce");
  }

  async commitNonceReservation(nextUnreserved: number, startNonce: number | undefined): Promise<void> {
    await this.connection.call("commit_nonce_reservation", {
      next_unreserved: nextUnreserved,
      start_nonce: startNonce ?? null,
    });
  }

  transactionId(): number | undefined {
    return undefined;
  }

  async breakLock(): Promise<void> {
    await this.connection.call("break_lock", {});
  }

  async destroy(): Promise<void> {
    await this.connection.settle();
    await this.connection.call("destroy", {});
  }

  /** Ends the connection; the server rolls back what was not committed and releases its lock. */
  async close(): Promise<void> {
    if (this.closed) return;
    this.closed = true;
    this.connection.end();
    const { child } = this;
    if (!child) return;
    for (const signal of ["SIGTERM", "SIGKILL"] as const) {
      if (await within(this.childEnd, CHILD_EXIT_TIMEOUT)) return;
      child.kill(signal);
    }
    await within(this.childEnd, CHILD_EXIT_TIMEOUT);
  }
}

/** Seconds for the wire: an int where it is one; infinite and negative ones mean "without end", which is None there. */
function seconds(value: number): number | Float | null {
  if (!Number.isFinite(value) || value < 0) return null;
  return Number.isInteger(value) ? value : new Float(value);
}

async function within(event: Promise<void>, seconds: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<false>((resolve) => {
    timer = setTimeout(() => resolve(false), seconds * 1000);
  });
  const happened = await Promise.race([event.then(() => true), late]);
  clearTimeout(timer);
  return happened;
}
