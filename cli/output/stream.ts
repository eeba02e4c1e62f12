// Standard output and error as synchronous text streams. Writing through the file descriptor keeps the order of
// what both carry, needs no event loop (a worker pool may be busy), and waits where a pipe is full. Text is
// UTF-8; lone surrogates (bytes of names that are no UTF-8) become "?", as Borg prints them. A reader that has
// gone away (EPIPE) is no error: what follows is dropped, and `closed` tells long listings to stop.
import { fstatSync, statSync, writeSync } from "node:fs";
import { isatty } from "node:tty";

export interface OutStream {
  readonly isTTY: boolean;
  /** True once the reader has gone away. */
  readonly closed: boolean;
  /** Width in columns; undefined where nobody looks. */
  columns(): number | undefined;
  write(text: string): void;
  writeBytes(bytes: Uint8Array): void;
}

export class FdStream implements OutStream {
  readonly isTTY: boolean;
  closed = false;
  private readonly fd: number;
  constructor(fd: number) {
    this.fd = fd;
    this.isTTY = isTerminal(fd);
  }

  columns(): number | undefined {
    const fromEnv = Number.parseInt(process.env["COLUMNS"] ?? "", 10);
    if (fromEnv > 0) return fromEnv;
    if (!this.isTTY) return undefined;
    return (this.fd === 2 ? process.stderr : process.stdout).columns;
  }

  write(text: string): void {
    this.writeBytes(encode(text));
  }

  writeBytes(bytes: Uint8Array): void {
    let at = 0;
    while (at < bytes.length && !this.closed) {
      try {
        at += writeSync(this.fd, bytes, at, bytes.length - at);
      } catch (e) {
        const code = (e as NodeJS.ErrnoException).code;
        if (code === "EAGAIN" || code === "EWOULDBLOCK") pause(2);
        else if (code === "EPIPE") this.closed = true;
        else if (code !== "EINTR") throw e;
      }
    }
  }
}

// node:tty brings the network stack with it (3 ms of start-up on Node, 5 on Bun). Pipes and files are no terminals anyway, and
// cron's /dev/null is none either.
function isTerminal(fd: number): boolean {
  try {
    const stat = fstatSync(fd);
    if (!stat.isCharacterDevice() || stat.rdev === statSync("/dev/null").rdev) return false;
  } catch {
    return false; // closed
  }
  return isatty(fd);
}

/** Collects what is written, for tests and for commands that run other commands. */
export class MemoryStream implements OutStream {
  readonly isTTY: boolean;
  readonly closed = false;
  private readonly width: number | undefined;
  text = "";
  constructor(isTTY = false, width?: number) {
    this.isTTY = isTTY;
    this.width = width;
  }
  columns(): number | undefined {
    return this.width;
  }
  write(text: string): void {
    this.text += text;
  }
  writeBytes(bytes: Uint8Array): void {
    this.text += new TextDecoder().decode(bytes);
  }
}

const encoder = new TextEncoder();

/** UTF-8 with "?" for each lone surrogate. */
export function encode(text: string): Uint8Array {
  return encoder.encode(replaceSurrogates(text));
}

/** Names for people: each undecodable byte, a lone surrogate in our strings, is shown as "?". */
export function replaceSurrogates(text: string): string {
  // The u flag makes only lone surrogates match.
  return /[\uD800-\uDFFF]/u.test(text) ? text.replace(/[\uD800-\uDFFF]/gu, "?") : text;
}

/** For a terminal: control characters, which a name may hold to steer it, as escapes. Lines and tabs stay. */
export function forTerminal(text: string): string {
  return replaceSurrogates(text).replace(/[\x00-\x08\x0b-\x1f\x7f-\x9f]/g, (c) => {
    return `\\x${c.charCodeAt(0).toString(16).padStart(2, "0")}`;
  });
}

/** The same for what must stay on one line: line ends and tabs are shown as escapes too. */
export function forTerminalLine(text: string): string {
  return forTerminal(text).replaceAll("\n", "\\n").replaceAll("\t", "\\t");
}

function pause(milliseconds: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds);
}
