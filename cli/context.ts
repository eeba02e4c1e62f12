// What a command works with: streams, log, prompts, progress, cancellation, and the options every command has.
// Commands write and ask through it and never touch process, console or environment themselves.
import type { AlcoveWarning } from "../src/errors.ts";
import { jsonIndent } from "../src/format/json.ts";
import { formatFileSize } from "../src/format/sizes.ts";
import type { ProgressSink } from "../src/repository/types.ts";
import type { Args } from "./args.ts";
import type { ExitStatus } from "./exit.ts";
import { type Json, jsonDocument, jsonLine } from "./output/json.ts";
import type { Logger } from "./output/log.ts";
import {
  type ArchiveEstimate,
  ArchiveProgress,
  MessageProgress,
  PercentProgress,
  type ProgressContext,
  percentSink,
} from "./output/progress.ts";
import type { Prompter } from "./output/prompts.ts";
import { forTerminal, type OutStream, replaceSurrogates } from "./output/stream.ts";

export interface Program {
  /** "alcove", or "borg" where it was started by that name. */
  name: string;
  /** Our own version. */
  version: string;
}

export interface ContextInit {
  program: Program;
  env: Record<string, string | undefined>;
  stdout: OutStream;
  stderr: OutStream;
  log: Logger;
  prompter: Prompter;
  signal: AbortSignal;
  exit: ExitStatus;
  args: Args;
  progress: ProgressContext;
  /** Runs another command line in these surroundings; see Context.run. */
  run: (argv: readonly string[]) => Promise<number>;
}

export class Context {
  readonly program: Program;
  /** Name of the command that runs. */
  readonly command: string;
  readonly env: Record<string, string | undefined>;
  readonly stdout: OutStream;
  readonly stderr: OutStream;
  readonly log: Logger;
  readonly prompter: Prompter;
  /** Aborted by SIGINT, SIGTERM and SIGHUP; its reason is a SignalAbort. */
  readonly signal: AbortSignal;
  readonly exit: ExitStatus;
  readonly iec: boolean;
  readonly json: boolean;
  /** Seconds; negative waits for ever. */
  readonly lockWait: number;
  readonly bypassLock: boolean;
  /** As --workers or ALCOVE_WORKERS say; undefined: choose. */
  readonly workers: number | undefined;
  readonly showProgress: boolean;
  /** Runs another command line, its standard output dropped. @returns its exit code */
  readonly run: (argv: readonly string[]) => Promise<number>;
  private readonly progressContext: ProgressContext;
  private readonly listFilter: string | undefined;
  private readonly listing: boolean;
  private infoHandler: (() => string | undefined) | undefined;
  private readonly abruptHandlers = new Set<() => void>();

  constructor(init: ContextInit) {
    this.program = init.program;
    this.env = init.env;
    this.stdout = init.stdout;
    this.stderr = init.stderr;
    this.log = init.log;
    this.prompter = init.prompter;
    this.signal = init.signal;
    this.exit = init.exit;
    this.progressContext = init.progress;
    this.run = init.run;
    this.showProgress = init.progress.enabled;
    const { args } = init;
    this.command = args.command.name;
    this.iec = args.flag("iec");
    this.json = args.flag("log-json");
    this.lockWait = args.number("lock-wait")!;
    this.bypassLock = args.flag("bypass-lock");
    const fromEnv = Number.parseInt(init.env["ALCOVE_WORKERS"] ?? "", 10);
    this.workers = args.number("workers") ?? (fromEnv >= 0 ? fromEnv : undefined);
    this.listing = args.has("list") && args.flag("list");
    this.listFilter = args.has("filter") ? args.text("filter") : undefined;
  }

  /** A size for people, with --iec as asked. */
  size(bytes: number | bigint): string {
    return formatFileSize(bytes, { iec: this.iec });
  }

  /** A warning that has its own id and exit code. */
  warn(warning: AlcoveWarning): void {
    this.exit.warning(warning);
    this.log.warning(warning.message, { msgid: warning.msgid });
  }

  /** A warning that counts for the exit code but has no id of its own. */
  warning(message: string): void {
    this.exit.genericWarning();
    this.log.warning(message);
  }

  /** Whether an item with this status is to be listed (--list, --filter); spares the caller preparing the path. */
  listsStatus(status: string): boolean {
    return this.listing && (this.listFilter === undefined || this.listFilter.includes(status));
  }

  /** One item's status: "A path" on borg.output.list, a file_status record with --log-json. */
  fileStatus(status: string, path: string): void {
    if (!this.listsStatus(status)) return;
    const shown = replaceSurrogates(path);
    if (this.json) this.log.record({ type: "file_status", status, path: shown });
    else this.log.output("list", `${status} ${shown}`);
  }

  /** A JSON document on stdout, as Borg's json_print; BORG_JSON_INDENT is its indentation. */
  printJson(data: Json): void {
    this.stdout.write(`${jsonDocument(data, { indent: jsonIndent(this.env) })}\n`);
  }

  /** One line of JSON on stdout. */
  printJsonLine(data: Json): void {
    this.stdout.write(`${jsonLine(data, { sortKeys: true })}\n`);
  }

  /** A line, or several, on stdout. Names in it cannot steer a terminal; piped, it is what Borg prints. */
  print(text: string): void {
    this.stdout.write(`${this.stdout.isTTY ? forTerminal(text) : text}\n`);
  }

  /** progress_percent of one operation. */
  percent(msgid: string, label: string, step?: number): PercentProgress {
    return new PercentProgress(this.progressContext, msgid, label, step);
  }

  /** progress_message of one operation. */
  message(msgid: string): MessageProgress {
    return new MessageProgress(this.progressContext, msgid);
  }

  /** A progress record that a server has sent, shown as if it were ours. */
  remoteProgress(record: Readonly<Record<string, unknown>>): void {
    if (!this.showProgress) return;
    if (this.json) this.log.record(record as Record<string, Json>);
    else this.progressContext.line.show(typeof record["message"] === "string" ? record["message"] : "");
  }

  /** For the library's progress reports; `labels` gives the text for each msgid. */
  progressSink(labels: Record<string, string>): ProgressSink {
    return percentSink(this.progressContext, labels);
  }

  /** archive_progress, with what is expected in all where that is known. */
  archiveProgress(estimate?: ArchiveEstimate): ArchiveProgress {
    return new ArchiveProgress(this.progressContext, (n) => this.size(n), estimate);
  }

  /** What SIGUSR1 and SIGINFO log: what is being worked on. */
  onInfo(handler: () => string | undefined): void {
    this.infoHandler = handler;
  }

  info(): string | undefined {
    return this.infoHandler?.();
  }

  /** Something synchronous to be done if a second SIGINT ends the program at once, such as removing a lock.
   *  @returns what withdraws it */
  onAbruptExit(handler: () => void): () => void {
    this.abruptHandlers.add(handler);
    return () => this.abruptHandlers.delete(handler);
  }

  runAbruptHandlers(): void {
    for (const handler of this.abruptHandlers) handler();
  }

  /** @throws SignalAbort after SIGINT, SIGTERM or SIGHUP */
  checkSignal(): void {
    this.signal.throwIfAborted();
  }
}
