// What keys, nonces and the security directory need from their surroundings, given in by whoever opens a
// repository: environment variables, directories, the files in them, and a person to ask. Nothing below the
// command line reads process.env or a terminal by itself.

import type { LogLevel } from "../log-level.ts";
import type { Storage } from "../storage/types.ts";

/** A question with a yes or no answer. The variable envOverride answers it without asking, and is its msgid. */
export interface Question {
  msgid: string;
  message: string;
  /** Environment variable whose content is the answer. */
  envOverride?: string;
  /** Shown when the answer is no, or is none. */
  falseMessage?: string;
  invalidMessage?: string;
  /** Ask again after an answer that is neither yes nor no; otherwise that is the default. */
  retry?: boolean;
  /** Answers that mean yes; Borg's usual ones where absent. */
  truish?: readonly string[];
  /** False where absent. */
  default?: boolean;
}

/** A person, or what stands for one. */
export interface Prompter {
  /** A secret, typed without echo; undefined where nobody can be asked. */
  password(prompt: string): Promise<string | undefined>;
  /** One line; undefined at the end of the input. */
  line(prompt: string): Promise<string | undefined>;
  yes(question: Question): Promise<boolean>;
  /** Text for the person, on the side channel (stderr). */
  say(text: string): void;
}

export interface Environment {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly prompter: Prompter;
  /** Absolute paths; the directory is made if it is not there. */
  keysDir(): string;
  securityDir(repositoryIdHex: string): string;
  cacheDir(): string;
  /** The files of a directory; every durable write goes through it. */
  storage(root: string): Storage;
  log(level: LogLevel, message: string): void;
}

export const TRUISH: readonly string[] = ["Yes", "YES", "yes", "Y", "y", "1"];
export const FALSISH: readonly string[] = ["No", "NO", "no", "N", "n", "0"];
export const DEFAULTISH: readonly string[] = ["Default", "DEFAULT", "default", "D", "d", ""];

/** Nobody to ask: questions are answered by their environment variable or by their default, secrets not at all. */
export function silentPrompter(env: Environment["env"]): Prompter {
  return {
    password: async () => undefined,
    line: async () => undefined,
    say: () => {},
    yes: async (q) => {
      const answer = q.envOverride === undefined ? undefined : env[q.envOverride];
      if (answer === undefined) return q.default ?? false;
      if ((q.truish ?? TRUISH).includes(answer)) return true;
      return FALSISH.includes(answer) ? false : (q.default ?? false);
    },
  };
}

/** Whether BORG_WORKAROUNDS, a comma-separated list, names this one. */
export function hasWorkaround(env: Environment["env"], name: string): boolean {
  return (env["BORG_WORKAROUNDS"] ?? "").split(",").includes(name);
}
