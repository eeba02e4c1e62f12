// Where passphrases come from, in Borg's order: BORG_PASSPHRASE, the output of BORG_PASSCOMMAND, what is read from
// BORG_PASSPHRASE_FD, a person. For a new one BORG_NEW_PASSPHRASE comes first. A passphrase never appears in an
// error, nor does what a passcommand printed or was given.

import { spawnSync } from "node:child_process";
import { closeSync, openSync, readSync } from "node:fs";
import { NoPassphraseFailure, PasscommandFailure, PasswordRetriesExceeded } from "../errors.ts";
import type { Environment } from "./environment.ts";
import { shellWords } from "./shellwords.ts";

const NEW_TRIES = 10;
/** A passphrase is a line; a descriptor that gives more is something else. */
const MAX_BYTES = 1 << 20;

const fromFd = new WeakMap<Environment, string>();

/** The passphrase given without a person, undefined if none is. @throws PasscommandFailure */
export function givenPassphrase(e: Environment): string | undefined {
  const direct = e.env["BORG_PASSPHRASE"];
  if (direct !== undefined) return direct;
  const command = e.env["BORG_PASSCOMMAND"];
  if (command !== undefined) return runPasscommand(command, e.env);
  return descriptorPassphrase(e);
}

/** Asks a person. @throws NoPassphraseFailure where nobody answers */
export async function askPassphrase(e: Environment, prompt: string): Promise<string> {
  const answer = await e.prompter.password(prompt);
  if (answer !== undefined) return answer;
  const set = (name: string) => `${name} is ${e.env[name] === undefined ? "not set" : "set"}.`;
  throw new NoPassphraseFailure(
    `${set("BORG_PASSPHRASE")} ${set("BORG_PASSCOMMAND")} There is no terminal to ask for it.`,
  );
}

/** The passphrase for a key that is made or re-encrypted; asked for twice. @throws PasswordRetriesExceeded */
export async function newPassphrase(e: Environment, allowEmpty = true): Promise<string> {
  const given = e.env["BORG_NEW_PASSPHRASE"] ?? givenPassphrase(e);
  if (given !== undefined) return given;
  for (let i = 0; i < NEW_TRIES; i++) {
    const first = await askPassphrase(e, "New passphrase: ");
    if (first === "" && !allowEmpty) {
      e.prompter.say("The passphrase must not be empty.");
      continue;
    }
    if (first === (await askPassphrase(e, "The same again: "))) {
      await offerDisplay(e, first);
      e.log("info", "Remember your passphrase: without it your data is inaccessible.");
      return first;
    }
    e.prompter.say("The two passphrases differ.");
  }
  throw new PasswordRetriesExceeded();
}

async function offerDisplay(e: Environment, passphrase: string): Promise<void> {
  const show = await e.prompter.yes({
    msgid: "BORG_DISPLAY_PASSPHRASE",
    envOverride: "BORG_DISPLAY_PASSPHRASE",
    message: "Show the passphrase, to check it? [yN]: ",
    invalidMessage: "Please answer yes or no.",
    retry: true,
  });
  if (!show) return;
  e.prompter.say(`Your passphrase, between the quotation marks: "${passphrase}"`);
  e.prompter.say("Make sure that it is exactly what you meant.");
  if (/[^\x00-\x7f]/.test(passphrase)) {
    e.prompter.say(`Its UTF-8 bytes in hex: ${Buffer.from(passphrase, "utf8").toString("hex")}`);
    e.prompter.say("It is not plain ASCII: keep the hex form too, another keyboard may type it differently.");
  }
}

function runPasscommand(command: string, env: Environment["env"]): string {
  let words: string[];
  try {
    words = shellWords(command);
  } catch (error) {
    throw new PasscommandFailure((error as Error).message);
  }
  if (words.length === 0) throw new PasscommandFailure("the command is empty");
  const { BORG_PASSPHRASE: _, BORG_NEW_PASSPHRASE: __, ...rest } = env;
  const result = spawnSync(words[0]!, words.slice(1), {
    env: rest as NodeJS.ProcessEnv,
    stdio: ["inherit", "pipe", "inherit"],
    maxBuffer: MAX_BYTES,
  });
  // Only the program's name is told: arguments may hold secrets.
  if (result.error) {
    const { code } = result.error as NodeJS.ErrnoException;
    throw new PasscommandFailure(
      `${words[0]} ${code === "ENOENT" ? "was not found" : `cannot be run (${code})`}`,
    );
  }
  if (result.signal) throw new PasscommandFailure(`${words[0]} was ended by ${result.signal}`);
  if (result.status !== 0)
    throw new PasscommandFailure(`${words[0]} ended with exit status ${result.status}`);
  return withoutNewlines(result.stdout.toString("utf8"));
}

function descriptorPassphrase(e: Environment): string | undefined {
  const text = e.env["BORG_PASSPHRASE_FD"];
  if (text === undefined || !/^\s*\d+\s*$/.test(text)) return undefined;
  // A pipe can be read once, and a new passphrase may ask for it again.
  let passphrase = fromFd.get(e);
  if (passphrase === undefined) {
    passphrase = withoutNewlines(readDescriptor(Number(text)).toString("utf8"));
    fromFd.set(e, passphrase);
  }
  return passphrase;
}

function readDescriptor(fd: number): Buffer {
  // Deno's node:fs does not know inherited descriptors. Through /dev/fd it can open pipes and files, not sockets; a
  // shell inherits the descriptor itself, and the passphrase comes back through its output.
  const ways = [() => drain(fd), () => drain(openSync(`/dev/fd/${fd}`, "r")), () => drainByShell(fd)];
  let code: string | undefined;
  for (const way of ways) {
    try {
      return way();
    } catch (error) {
      if (error instanceof NoPassphraseFailure) throw error;
      code = (error as NodeJS.ErrnoException).code ?? code;
    }
  }
  throw new NoPassphraseFailure(`BORG_PASSPHRASE_FD=${fd} cannot be read (${code}).`);
}

function drainByShell(fd: number): Buffer {
  const result = spawnSync("sh", ["-c", `exec cat <&${fd}`], {
    stdio: ["ignore", "pipe", "ignore"],
    maxBuffer: MAX_BYTES,
  });
  if (result.status === 0) return result.stdout;
  throw Object.assign(new Error("the shell cannot read it"), { code: "EBADF" });
}

function drain(fd: number): Buffer {
  const parts: Buffer[] = [];
  let size = 0;
  for (;;) {
    const piece = Buffer.alloc(4096);
    let n: number;
    try {
      n = readSync(fd, piece, 0, piece.length, null);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === "EOF") break;
      if (code !== "EAGAIN") throw error;
      // A non-blocking descriptor whose other end has not written yet.
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 20);
      continue;
    }
    if (n === 0) break;
    size += n;
    if (size > MAX_BYTES) throw new NoPassphraseFailure("BORG_PASSPHRASE_FD gives more than a passphrase.");
    parts.push(piece.subarray(0, n));
  }
  closeSync(fd);
  return Buffer.concat(parts);
}

function withoutNewlines(text: string): string {
  return text.replace(/\n+$/, "");
}
