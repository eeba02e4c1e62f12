// A repository in memory, and a pair of in-process pipes, for tests of the protocol alone.
import { type Duplex, PassThrough } from "node:stream";
import { AlcoveError, ObjectNotFound, RepositoryDoesNotExist } from "../../../src/errors.ts";
import { toHex } from "../../../src/format/bytes.ts";
import { type RemoteOptions, RemoteRepository } from "../../../src/remote/client.ts";
import { RecordReader, RecordWriter, type RemoteRecord } from "../../../src/remote/records.ts";
import { type OpenOptions, RepositoryServer, type ServeOptions } from "../../../src/remote/server.ts";
import type { CheckOptions, Repository } from "../../../src/repository/types.ts";

export class MemoryRepository implements Repository {
  readonly id = new Uint8Array(32).fill(7);
  readonly idHex = toHex(this.id);
  readonly canonicalPath: string;
  readonly displayPath: string;
  readonly appendOnly: boolean;
  readonly isRemote = false;
  readonly objects = new Map<string, Uint8Array>();
  readonly calls: string[] = [];
  key: Uint8Array = new Uint8Array(0);
  nonce: number | undefined;
  closed = 0;
  failPuts: Error | undefined;

  constructor(path = "/memory", appendOnly = false) {
    this.canonicalPath = path;
    this.displayPath = path;
    this.appendOnly = appendOnly;
  }
  async loadKey() {
    return this.key;
  }
  async saveKey(blob: Uint8Array) {
    this.key = blob.slice();
  }
  async count() {
    return this.objects.size;
  }
  async has(id: Uint8Array) {
    return this.objects.has(toHex(id));
  }
  async get(id: Uint8Array) {
    const data = this.objects.get(toHex(id));
    if (!data) throw new ObjectNotFound(toHex(id), this.canonicalPath);
    return data;
  }
  async *getMany(ids: Iterable<Uint8Array>) {
    for (const id of ids) yield await this.get(id);
  }
  preload() {}
  async put(id: Uint8Array, data: Uint8Array) {
    if (this.failPuts) throw this.failPuts;
    this.objects.set(toHex(id), data.slice());
  }
  async delete(id: Uint8Array) {
    if (!this.objects.delete(toHex(id))) throw new ObjectNotFound(toHex(id), this.canonicalPath);
  }
  async list(limit = 1e6, marker?: Uint8Array) {
    const keys = [...this.objects.keys()];
    const from = marker ? keys.indexOf(toHex(marker)) + 1 : 0;
    return keys.slice(from, from + limit).map((key) => new Uint8Array(Buffer.from(key, "hex")));
  }
  async scan(limit?: number, marker?: unknown) {
    const ids = await this.list(limit, marker as Uint8Array | undefined);
    return { ids, marker: ids.at(-1) };
  }
  async commit(options: object = {}) {
    const { progress: _, ...rest } = options as { progress?: unknown };
    this.calls.push(`commit ${JSON.stringify(rest)}`);
  }
  async rollback() {
    this.calls.push("rollback");
  }
  async check(options: CheckOptions = {}) {
    this.calls.push(`check ${options.repair}`);
    options.log?.("info", "finished segment check");
    options.progress?.({ msgid: "repository.check", current: 1, total: 4 });
    options.progress?.({ msgid: "repository.check", current: 4, total: 4, finished: true });
    return !options.repair;
  }
  async getFreeNonce() {
    return this.nonce;
  }
  async commitNonceReservation(next: number, start: number | undefined) {
    if (start !== this.nonce) throw new AlcoveError("nonce space reservation with mismatched previous state");
    this.nonce = next;
  }
  transactionId() {
    return undefined;
  }
  async breakLock() {
    this.calls.push("break_lock");
  }
  async destroy() {
    this.calls.push("destroy");
  }
  async close() {
    this.closed++;
  }
}

/** Opens /memory only, and remembers how. */
export function memoryOpener() {
  const opened: { path: string; options: OpenOptions; repository: MemoryRepository }[] = [];
  const objects = new MemoryRepository();
  const open = async (path: string, options: OpenOptions) => {
    if (path !== "/memory") throw new RepositoryDoesNotExist(path);
    opened.push({ path, options, repository: objects });
    return objects;
  };
  return { opened, open, repository: objects };
}

export interface Wired {
  toServer: Duplex;
  toClient: Duplex;
  records: RemoteRecord[];
  stderr: string[];
  server: RepositoryServer;
  /** Settles when the server ended. */
  served: Promise<void>;
}

/** A server at one end of two pipes. */
export function wire(
  options: Omit<ServeOptions, "records"> & { logLevel?: "debug" | "info" | "warning" },
): Wired {
  const toServer = new PassThrough();
  const toClient = new PassThrough();
  const records: RemoteRecord[] = [];
  const stderr: string[] = [];
  const reader = new RecordReader((record) => records.push(record));
  const writer = new RecordWriter((text) => {
    stderr.push(text);
    reader.feed(Buffer.from(text));
  }, options.logLevel ?? "warning");
  const server = new RepositoryServer(
    {
      input: toServer,
      write(pieces) {
        return new Promise((resolve, reject) => {
          toClient.write(Buffer.concat(pieces), (error) => (error ? reject(error) : resolve()));
        });
      },
      abort() {
        toServer.destroy();
        toClient.destroy();
      },
    },
    { ...options, records: writer },
  );
  const served = server.serve().finally(() => toClient.end());
  served.catch(() => {});
  return { toServer, toClient, records, stderr, server, served };
}

export function locationOf(path: string) {
  return {
    host: "test",
    path,
    processed: `ssh://test${path}`,
    canonicalPath: () => `ssh://test${path}`,
  };
}

export function connect(
  wired: Wired,
  path = "/memory",
  options: RemoteOptions = {},
): Promise<RemoteRepository> {
  return RemoteRepository.open(locationOf(path), {
    ...options,
    streams: { input: wired.toClient, output: wired.toServer },
  });
}
