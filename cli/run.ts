// One command line from its text to its exit code: parse, set up log and context, load the command's code, run it,
// and say what went wrong in one message. Borg's Archiver.run and main(); no stack trace but with --debug.
import { AlcoveError, describeSystemError } from "../src/errors.ts";
import type { Args } from "./args.ts";
import { loaders } from "./commands/index.ts";
import { Context, type Program } from "./context.ts";
import { ignoreDryStats } from "./dry-stats.ts";
import { classify, EXIT_ERROR, ExitStatus } from "./exit.ts";
import { Logger } from "./output/log.ts";
import type { LoggingConfiguration } from "./output/logging-conf.ts";
import { ProgressLine } from "./output/progress.ts";
import { Prompter } from "./output/prompts.ts";
import { forTerminal, MemoryStream, type OutStream } from "./output/stream.ts";
import { type Parsed, parse } from "./parse.ts";
import { SignalAbort } from "./signals.ts";
import { UsageError } from "./usage.ts";
import { resolve } from "./values.ts";
import { versionText } from "./version.ts";

export interface Surroundings {
  program: Program;
  env: Record<string, string | undefined>;
  stdout: OutStream;
  stderr: OutStream;
  signal: AbortSignal;
  /** Sets the umask of the process. */
  umask?: (mask: number) => void;
  readLine?: () => Promise<string | undefined>;
  /** Told of the context as soon as there is one. */
  onContext?: (ctx: Context) => void;
}

/** Runs a command line (without the program's name). @returns the exit code */
export async function runCommandLine(argv: readonly string[], world: Surroundings): Promise<number> {
  const words = world.program.name === "borgfs" ? ["mount", ...argv] : argv;
  let parsed: Parsed;
  let args: Args;
  const say = (line: string) => world.stderr.write(`${world.stderr.isTTY ? forTerminal(line) : line}\n`);
  const exit = new ExitStatus(world.env);
  try {
    parsed = parse(words);
    if (parsed.kind === "version") {
      world.stdout.write(`${versionText(world.program)}\n`);
      return 0;
    }
    if (parsed.kind === "help") {
      const { printHelp } = await import("./help.ts");
      printHelp(parsed, world.program, world.stdout, world.env);
      return 0;
    }
    args = await resolve(parsed, world.env);
    if (parsed.command!.name === "serve") await takeClientOptions(parsed, args, world.env);
  } catch (e) {
    if (e instanceof UsageError) {
      const { usageLine } = await import("./help.ts");
      const name = [world.program.name, e.command?.name].filter((n) => n).join(" ");
      say(
        `usage: ${e.command ? usageLine(e.command, world.program.name) : `${world.program.name} [common options] <command> …`}`,
      );
      say(`${name}: error: ${e.message}`);
      say(`See: ${name} --help`);
      return EXIT_ERROR;
    }
    if (e instanceof AlcoveError) {
      say(withHint(e));
      return exit.ofError(e);
    }
    throw e;
  }
  for (const line of parsed.deprecations) say(line);
  return execute(parsed, args, exit, world);
}

async function execute(parsed: Parsed, args: Args, exit: ExitStatus, world: Surroundings): Promise<number> {
  const command = parsed.command!;
  const isServe = command.name === "serve";
  world.umask?.(args.number("umask")!);
  const progressLine = new ProgressLine(world.stderr);
  const configured = world.env["BORG_LOGGING_CONF"]
    ? await loggingConfiguration(world.env["BORG_LOGGING_CONF"], world, () => progressLine.wipe())
    : undefined;
  const log = new Logger(world.stderr, {
    configuration: configured?.loaded,
    level: parsed.logLevel,
    json: args.flag("log-json"),
    serve: isServe && !args.flag("log-json"),
    levels: impliedLevels(args, isServe),
    beforeLine: () => progressLine.wipe(),
  });
  const ctx = new Context({
    program: world.program,
    env: world.env,
    stdout: world.stdout,
    stderr: world.stderr,
    log,
    prompter: new Prompter({
      env: world.env,
      log,
      signal: world.signal,
      ...(world.readLine ? { readLine: world.readLine } : {}),
    }),
    signal: world.signal,
    exit,
    args,
    run: (argv) => {
      const { onContext: _, ...rest } = world;
      return runCommandLine(argv, { ...rest, stdout: new MemoryStream() });
    },
    progress: {
      log,
      line: progressLine,
      enabled: args.flag("progress") || isServe,
      isTTY: world.stderr.isTTY,
      now: () => performance.now(),
    },
  });
  world.onContext?.(ctx);
  if (configured?.problem) log.warning(configured.problem);
  log.output("show-version", `borgbackup version ${versionText(world.program).replace(/^borg /, "")}`);
  ignoreDryStats(args, ctx);
  const monitor = args.text("ping");
  if (monitor !== undefined) await (await import("./ping.ts")).ping(monitor, "start", log);
  let code: number;
  try {
    const load = loaders[command.name];
    if (!load) throw new AlcoveError(`The command ${command.name} is not part of this build.`);
    const wanted = await profiled(args.text("debug-profile"), log, async () => (await load()).run(args, ctx));
    if (typeof wanted === "number") exit.set(wanted);
    code = exit.final();
  } catch (e) {
    progressLine.wipe();
    code = report(e, log, exit);
  }
  progressLine.wipe();
  if (args.flag("show-rc")) {
    const kind = classify(code);
    const level = kind === "success" ? "info" : kind === "warning" ? "warning" : "error";
    log.output("show-rc", `terminating with ${kind} status, rc ${code}`, level);
  }
  if (monitor !== undefined) await (await import("./ping.ts")).ping(monitor, code, log);
  return code;
}

/** The log as BORG_LOGGING_CONF wants it; if that cannot be had, it goes to stderr as ever, and says so first. */
async function loggingConfiguration(
  file: string,
  world: Surroundings,
  wipe: () => void,
): Promise<{ loaded?: LoggingConfiguration; problem?: string }> {
  const [{ readFileSync }, { LoggingConfiguration }] = await Promise.all([
    import("node:fs"),
    import("./output/logging-conf.ts"),
  ]);
  const lines = (stream: OutStream) => (line: string) => {
    wipe();
    stream.write(`${stream.isTTY ? forTerminal(line) : line}\n`);
  };
  try {
    const streams = { stderr: lines(world.stderr), stdout: lines(world.stdout) };
    return { loaded: new LoggingConfiguration(readFileSync(file, "utf8"), streams) };
  } catch (e) {
    const why = e instanceof AlcoveError ? e.message : describeSystemError(e as NodeJS.ErrnoException);
    return { problem: `BORG_LOGGING_CONF: the logging configuration "${file}" cannot be used: ${why}` };
  }
}

/** One message for an error that ended the command, and its exit code. */
function report(e: unknown, log: Logger, exit: ExitStatus): number {
  if (e instanceof SignalAbort) {
    log.error(e.message, e.msgid ? { msgid: e.msgid } : {});
    return e.exitCode;
  }
  const stack = e instanceof Error ? e.stack : undefined;
  if (e instanceof AlcoveError) {
    log.error(log.json ? e.message : withHint(e), { msgid: e.msgid });
    if (stack) log.debug(stack);
    return exit.ofError(e);
  }
  if (e instanceof UsageError) {
    log.error(e.message);
    return EXIT_ERROR;
  }
  const error = e as NodeJS.ErrnoException;
  if (typeof error?.code === "string" && error.syscall !== undefined) {
    log.error(`${describeSystemError(error)}${error.path ? `: ${error.path}` : ""}`, { msgid: "Exception" });
  } else {
    const what = e instanceof Error ? `${e.name}: ${e.message}` : String(e);
    log.error(`Internal error: ${what} (--debug shows where)`, { msgid: "Exception" });
  }
  if (stack) log.debug(stack);
  return EXIT_ERROR;
}

function withHint(e: AlcoveError): string {
  return e.hint ? `${e.message}\n${e.hint}` : e.message;
}

/** Loggers of output that an option asks for, closed without it; and those of --debug-topic. */
function* impliedLevels(args: Args, isServe: boolean): Generator<[string, "info" | "warning" | "debug"]> {
  const on = (option: string) => args.has(option) && args.flag(option);
  const wanted: Record<string, boolean> = {
    list: on("list"),
    "show-version": on("show-version"),
    "show-rc": on("show-rc"),
    stats: on("stats") || on("quick-stats"),
    progress: on("progress") || isServe,
  };
  for (const [name, open] of Object.entries(wanted)) yield [`borg.output.${name}`, open ? "info" : "warning"];
  for (const topic of args.list("debug-topic")) {
    yield [topic.includes(".") ? topic : `borg.debug.${topic}`, "debug"];
  }
}

/** Runs with a CPU profile written to a file, where the runtime has an inspector. */
async function profiled<T>(file: string | undefined, log: Logger, work: () => Promise<T>): Promise<T> {
  if (file === undefined) return work();
  const { closeSync, openSync, writeSync } = await import("node:fs");
  const fd = openSync(file, "w");
  try {
    const { Session } = await import("node:inspector/promises");
    const session = new Session();
    session.connect();
    await session.post("Profiler.enable");
    await session.post("Profiler.start");
    try {
      return await work();
    } finally {
      const { profile } = await session.post("Profiler.stop");
      writeSync(fd, JSON.stringify(profile));
      session.disconnect();
      log.debug(`Wrote a CPU profile to ${file}`);
    }
  } finally {
    closeSync(fd);
  }
}

/** A forced command (authorized_keys) decides what serve may do; of the command line that the client asked for
 *  only the log level, debug topics and --lock-wait are taken, as Borg's get_args does. */
async function takeClientOptions(
  parsed: Parsed,
  args: Args,
  env: Record<string, string | undefined>,
): Promise<void> {
  const original = env["SSH_ORIGINAL_COMMAND"];
  if (original === undefined) return;
  const { shellWords } = await import("../src/crypto/shellwords.ts");
  const words = shellWords(original);
  while (words[0]?.includes("=")) words.shift();
  const client = parse(words.slice(1));
  if (client.command?.name !== "serve" || client.kind !== "command") return;
  parsed.logLevel = client.logLevel;
  const clientArgs = await resolve(client, env);
  for (const name of ["lock-wait", "debug-topic"]) args.override(name, clientArgs.value(name));
}
