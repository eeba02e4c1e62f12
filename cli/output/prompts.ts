// Questions to the user: yes or no with Borg's accepted answers, retries, defaults and environment overrides
// (question_… records with --log-json, the answer as a line on stdin), and passphrases without echo. Reading
// is asynchronous and byte by byte: signals are served meanwhile, and what follows the answer on stdin (data
// for `create -`, say) is left where it is.
import { spawnSync } from "node:child_process";
import { closeSync, openSync, read } from "node:fs";
import { isatty } from "node:tty";
import {
  DEFAULTISH,
  FALSISH,
  type Prompter as LibraryPrompter,
  type Question,
  TRUISH,
} from "../../src/crypto/environment.ts";
import { type Json, jsonLine } from "./json.ts";
import type { Logger } from "./log.ts";

/** A question as the library asks it, with what only the command line needs. */
export interface FullQuestion extends Partial<Question> {
  /** Said before answering true or with the default. */
  trueMessage?: string;
  defaultMessage?: string;
  /** Asked again after an invalid answer. */
  retryMessage?: string;
  /** False: only the variable is asked. */
  prompt?: boolean;
}

export interface PromptSources {
  env: Record<string, string | undefined>;
  log: Logger;
  signal?: AbortSignal;
  /** A line of standard input without its end; undefined at its end. */
  readLine?: () => Promise<string | undefined>;
}

export class Prompter implements LibraryPrompter {
  private readonly from: PromptSources;
  constructor(from: PromptSources) {
    this.from = from;
  }

  /** True or false, as Borg's yes(). */
  async yes(question: FullQuestion): Promise<boolean> {
    const { env } = this.from;
    const byDefault = question.default ?? false;
    const msgid = question.msgid ?? question.envOverride;
    const say = (
      message: string | undefined,
      type: string,
      isPrompt = false,
      extra: Record<string, Json> = {},
    ) => {
      if (message === undefined) return;
      if (this.from.log.json) {
        this.from.log.raw(
          `${jsonLine({ ...extra, type: `question_${type}`, msgid: msgid ?? null, message })}\n`,
        );
      } else this.from.log.raw(isPrompt ? message : `${message}\n`);
    };
    say(question.message || undefined, "prompt", true);
    let envVar = question.envOverride;
    const truish = question.truish ?? TRUISH;
    for (;;) {
      let answer = envVar === undefined ? undefined : env[envVar];
      if (answer !== undefined) say(`${answer} (from ${envVar})`, "env_answer", false, { env_var: envVar! });
      else {
        if (question.prompt === false) return byDefault;
        answer = (await this.readLine()) ?? (byDefault ? "yes" : "no");
      }
      if (DEFAULTISH.includes(answer)) {
        say(question.defaultMessage, "accepted_default");
        return byDefault;
      }
      if (truish.includes(answer)) {
        say(question.trueMessage, "accepted_true");
        return true;
      }
      if (FALSISH.includes(answer)) {
        say(question.falseMessage, "accepted_false");
        return false;
      }
      say(question.invalidMessage, "invalid_answer");
      if (question.retry === false) return byDefault;
      say(question.retryMessage, "prompt_retry", true);
      // A variable with an invalid value is not asked again.
      envVar = undefined;
    }
  }

  /** Text on stderr, outside of the log. */
  say(text: string): void {
    this.from.log.raw(`${text}\n`);
  }

  /** A line typed by the user, with echo; undefined at the end of input. */
  async line(prompt: string): Promise<string | undefined> {
    this.from.log.raw(prompt);
    return this.readLine();
  }

  /** A secret typed on the terminal without echo, even if standard input is something else. Where there is no
   *  terminal it is a line of standard input. Undefined at the end of input. */
  async password(prompt: string): Promise<string | undefined> {
    let tty: number | undefined;
    try {
      tty = openSync("/dev/tty", "r+");
    } catch {
      // No controlling terminal: standard input is all there is.
      if (isatty(0)) tty = 0;
    }
    if (tty === undefined) {
      this.from.log.raw(prompt);
      return this.readLine();
    }
    const restore = silence();
    if (!restore) this.say("Warning: the terminal cannot be silenced, what you type will be seen.");
    try {
      this.from.log.raw(prompt);
      return await this.lineFrom(tty);
    } finally {
      restore?.();
      this.from.log.raw("\n");
      if (tty !== 0) closeSync(tty);
    }
  }

  private readLine(): Promise<string | undefined> {
    return this.from.readLine ? this.from.readLine() : this.lineFrom(0);
  }

  private lineFrom(fd: number): Promise<string | undefined> {
    const { signal } = this.from;
    if (signal?.aborted) return Promise.reject(signal.reason);
    const line = readLineFrom(fd);
    if (!signal) return line;
    return new Promise((resolve, reject) => {
      const aborted = () => reject(signal.reason);
      signal.addEventListener("abort", aborted, { once: true });
      line.then(resolve, reject).finally(() => signal.removeEventListener("abort", aborted));
    });
  }
}

/** Turns the terminal's echo off and gives the way back; undefined if that did not work. stty is asked because raw
 *  mode is only to be had for standard input. A shell opens the terminal for it: not every runtime passes file
 *  descriptors on to a child (Deno does not). */
function silence(): (() => void) | undefined {
  const stty = (how: string) =>
    spawnSync("sh", ["-c", `stty ${how} < /dev/tty`], { stdio: ["ignore", "ignore", "ignore"] }).status === 0;
  return stty("-echo") ? () => void stty("echo") : undefined;
}

/** One line from a descriptor, byte by byte, as UTF-8 without its end; undefined at the end of input. */
export async function readLineFrom(fd: number): Promise<string | undefined> {
  const bytes: number[] = [];
  const one = new Uint8Array(1);
  for (;;) {
    const n = await readByte(fd, one);
    if (n === 0) {
      if (bytes.length === 0) return undefined;
      break;
    }
    if (one[0] === 0x0a) break;
    bytes.push(one[0]!);
  }
  if (bytes.at(-1) === 0x0d) bytes.pop();
  return new TextDecoder().decode(new Uint8Array(bytes));
}

function readByte(fd: number, into: Uint8Array): Promise<number> {
  return new Promise((resolve, reject) => {
    read(fd, into, 0, 1, null, (error, n) => {
      if (!error) resolve(n);
      else if (error.code === "EAGAIN") setTimeout(() => readByte(fd, into).then(resolve, reject), 20);
      else if (error.code === "EOF") resolve(0);
      else reject(error);
    });
  });
}
