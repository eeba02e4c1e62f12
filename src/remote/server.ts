// The server's end of Borg's RPC protocol (`serve`): answers one client over a pair of byte streams, for one
// repository that has to be among the allowed ones. Append-only and quota are the server's, whatever the client says.
import { AlcoveError, InvalidRPCMethod, UnexpectedRPCDataFormatFromClient } from "../errors.ts";
import { Unpacker } from "../format/msgpack.ts";
import { BORG_VERSION } from "../format/placeholders.ts";
import type { Repository } from "../repository/types.ts";
import { failureFromError } from "./failures.ts";
import {
  encodeAnswer,
  encodeFailure,
  MAX_DATA_SIZE,
  messageReader,
  parseRequest,
  type Request,
} from "./framing.ts";
import { CallArgs, METHODS } from "./methods.ts";
import { ObjectMessages } from "./object-requests.ts";
import { PieceBatch } from "./outbox.ts";
import { checkAllowed, type Restrictions, resolveClientPath } from "./paths.ts";
import type { RecordWriter } from "./records.ts";
import { parseVersion, SPOKEN_VERSION, type Version, versionFromWire } from "./version.ts";

/** How a repository is opened: LocalRepository.open has this shape. */
export interface OpenOptions {
  create: boolean;
  exclusive: boolean;
  /** Seconds; undefined waits for ever. */
  lockWait: number | undefined;
  lock: boolean;
  appendOnly: boolean;
  storageQuota: number | undefined;
  makeParentDirs: boolean;
}
export type OpenRepository = (path: string, options: OpenOptions) => Promise<Repository>;

export interface ServeOptions extends Restrictions {
  openRepository: OpenRepository;
  /** Enforced on every repository but a new one, whose own flag the client chooses (as Borg has it). */
  appendOnly?: boolean;
  /** Bytes. */
  storageQuota?: number | undefined;
  /** Log and progress for the client. */
  records: RecordWriter;
  /** What is told about this system with every failure, for bug reports. */
  sysinfo?: string;
  env?: Record<string, string | undefined>;
  /** Stops serving: what is not committed is rolled back. */
  signal?: AbortSignal;
}

/** The streams of one client. */
export interface ServeStreams {
  input: AsyncIterable<Uint8Array>;
  /** Resolves when the pieces are on their way. Rejects when the client is gone. */
  write(pieces: Uint8Array[]): Promise<void>;
  /** Ends the input and whatever write is under way, at once. */
  abort(): void;
}

/** The only answer that the protocol of Borg 0.29 to 1.0 has for a negotiation. */
const OLD_PROTOCOL = 2;
/** Bytes of answers that are collected before they are written, while more requests are waiting. */
const ANSWER_BATCH = 512 * 1024;
/** Milliseconds that answers to puts and deletes may wait for company: clients do not wait for them one by one. */
const LAZY_ANSWERS = 5;

/** A repository in this process, whose single objects need no promise each. */
interface DirectRepository extends Repository {
  beginTransaction(): Promise<void>;
  putSync(id: Uint8Array, data: Uint8Array): void;
}

export class RepositoryServer {
  clientVersion: Version = parseVersion("1.0.8");
  private repository: Repository | undefined;
  private readonly options: ServeOptions;
  private readonly streams: ServeStreams;
  private readonly answers = new PieceBatch();
  private readonly messages = new ObjectMessages();
  /** Set while there are only answers that may wait. */
  private lazily: NodeJS.Timeout | undefined;
  private urgent = false;
  /** The write that is under way: reading from disk goes on meanwhile. */
  private writing: Promise<void> = Promise.resolve();

  constructor(streams: ServeStreams, options: ServeOptions) {
    this.streams = streams;
    this.options = options;
  }

  /**
   * Answers until the client closes the connection, and closes the repository.
   * @throws UnexpectedRPCDataFormatFromClient for anything that is no request
   */
  async serve(): Promise<void> {
    const { signal } = this.options;
    const reader = messageReader();
    const abort = () => this.streams.abort();
    signal?.addEventListener("abort", abort);
    try {
      for await (const piece of this.streams.input) {
        reader.feed(piece);
        for (let value = reader.next(); value !== Unpacker.INCOMPLETE; value = reader.next()) {
          const request = parseRequest(value);
          if (!request) throw new UnexpectedRPCDataFormatFromClient(BORG_VERSION);
          await this.handle(request, value instanceof Map);
          if (signal?.aborted) return;
        }
        if (this.urgent) {
          await this.flush();
          await this.writing;
        } else if (this.answers.bytes > 0 && !this.lazily) {
          this.lazily = setTimeout(async () => {
            // A broken pipe shows up with the next write or read.
            await this.flush().catch(() => {});
            this.lazily = undefined;
          }, LAZY_ANSWERS);
        }
      }
      await this.flush();
      await this.writing;
    } catch (error) {
      // A client that went away is no error of ours; the repository is closed, that is all.
      if (signal?.aborted || isGone(error)) return;
      // Whoever sends nonsense still gets what was asked before it.
      await this.flush()
        .then(() => this.writing)
        .catch(() => {});
      if (error instanceof AlcoveError && error.msgid === "IntegrityError") {
        throw new UnexpectedRPCDataFormatFromClient(BORG_VERSION);
      }
      throw error;
    } finally {
      signal?.removeEventListener("abort", abort);
      clearTimeout(this.lazily);
      this.writing.catch(() => {});
      await this.repository?.close();
      this.repository = undefined;
    }
  }

  /** Whether anybody ever asked for anything: of interest to whoever started a server by mistake. */
  asked = false;

  private async handle(request: Request, named: boolean): Promise<void> {
    this.asked = true;
    try {
      const result = await this.call(request);
      if (named && result === null) this.answers.add(this.messages.none(request.id));
      else for (const piece of encodeAnswer(request.id, result, named)) this.answers.add(piece);
      if (request.method !== "put" && request.method !== "delete") this.urgent = true;
    } catch (error) {
      const failure = failureFromError(error, this.options.sysinfo ?? "");
      this.options.records.log("debug", `${request.method}: ${failure.short?.[0] ?? ""}`, "borg.remote");
      // The old form carries no more than the class, so the text has to travel as a log record.
      if (!named)
        this.options.records.log("error", failure.short?.[0] ?? failure.exceptionClass, "borg.remote");
      for (const piece of encodeFailure(request.id, failure, named)) this.answers.add(piece);
      this.urgent = true;
    }
    if (this.answers.bytes >= ANSWER_BATCH) await this.flush();
  }

  private async flush(): Promise<void> {
    if (this.answers.bytes === 0) return;
    await this.writing;
    // Another flush may have waited for the same.
    if (this.answers.bytes === 0) return;
    this.writing = this.streams.write(this.answers.take());
    this.urgent = false;
    // Awaited with the next batch; until then a broken pipe must not count as unhandled.
    this.writing.catch(() => {});
  }

  private async call(request: Request): Promise<unknown> {
    const args = new CallArgs(request.method, request.args);
    if (request.method === "negotiate") return this.negotiate(args);
    if (request.method === "open") return this.open(args);
    const method = METHODS.get(request.method);
    if (!method) throw new InvalidRPCMethod(request.method);
    if (!this.repository) throw new AlcoveError(`${request.method}: no repository is open`, "AttributeError");
    if (request.method === "put" && "putSync" in this.repository) {
      const repository = this.repository as DirectRepository;
      await repository.beginTransaction();
      repository.putSync(args.id("id"), args.bytes("data", MAX_DATA_SIZE));
      return null;
    }
    const { records } = this.options;
    return method(this.repository, args, {
      progress: (p) => records.progress(p),
      log: (level, message) => records.log(level, message),
    });
  }

  private negotiate(args: CallArgs): unknown {
    const data = args.raw("client_data");
    if (data === OLD_PROTOCOL) return OLD_PROTOCOL;
    if (data instanceof Map) {
      this.clientVersion = versionFromWire(data.get("client_version")) ?? this.clientVersion;
      this.options.records.json = true;
    } else this.clientVersion = SPOKEN_VERSION; // something newer than anything known
    return { server_version: SPOKEN_VERSION };
  }

  private async open(args: CallArgs): Promise<Uint8Array> {
    const { options } = this;
    const asked = args.text("path");
    options.records.log("debug", `Resolving repository path ${JSON.stringify(asked)}`, "root");
    const path = resolveClientPath(asked, options.env);
    options.records.log("debug", `Resolved repository path to ${JSON.stringify(path)}`, "root");
    checkAllowed(path, options);
    const create = args.flag("create", false);
    await this.repository?.close();
    this.repository = undefined;
    this.repository = await options.openRepository(path, {
      create,
      exclusive: args.flag("exclusive", false),
      lockWait: args.number("lock_wait"),
      lock: args.flag("lock", true),
      appendOnly: (!create && (options.appendOnly ?? false)) || args.flag("append_only", false),
      storageQuota: options.storageQuota,
      makeParentDirs: args.flag("make_parent_dirs", false),
    });
    return this.repository.id;
  }
}

function isGone(error: unknown): boolean {
  const code = (error as NodeJS.ErrnoException | undefined)?.code;
  return (
    code === "EPIPE" ||
    code === "ECONNRESET" ||
    code === "ERR_STREAM_DESTROYED" ||
    code === "ERR_STREAM_PREMATURE_CLOSE"
  );
}
