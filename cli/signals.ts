// Signals: the first SIGINT, SIGTERM or SIGHUP asks the command to stop cleanly (ctx.signal); a second SIGINT ends
// the program at once. Exit codes are 128 + the signal's number, as Borg's. SIGUSR1 and SIGINFO ask for a report.

/** Why a command was stopped. */
export class SignalAbort extends Error {
  readonly signalNumber: number;
  readonly msgid: string | undefined;
  constructor(message: string, signalNumber: number, msgid?: string) {
    super(message);
    this.name = "SignalAbort";
    this.signalNumber = signalNumber;
    this.msgid = msgid;
  }
  get exitCode(): number {
    return 128 + this.signalNumber;
  }
  /** An interrupted backup keeps a checkpoint; a terminated one is rolled back. */
  get keepsCheckpoint(): boolean {
    return this.signalNumber === 2;
  }
}

const stopping = {
  SIGINT: () => new SignalAbort("Keyboard interrupt", 2),
  SIGTERM: () => new SignalAbort("Received SIGTERM", 15, "Signal.SIGTERM"),
  SIGHUP: () => new SignalAbort("Received SIGHUP.", 1, "Signal.SIGHUP"),
};

/** One Ctrl-C may arrive twice: from the terminal and forwarded by a parent. Milliseconds. */
const DEBOUNCE = 20;

export interface SignalHooks {
  abort(reason: SignalAbort): void;
  /** The program ends right after it. */
  abrupt(reason: SignalAbort): void;
  info(): void;
}

export function installSignalHandlers(hooks: SignalHooks): void {
  let last = Number.NEGATIVE_INFINITY;
  let interrupted = false;
  for (const name of Object.keys(stopping) as (keyof typeof stopping)[]) {
    process.on(name, () => {
      const reason = stopping[name]();
      const now = performance.now();
      if (interrupted && name === "SIGINT" && now - last >= DEBOUNCE) hooks.abrupt(reason);
      interrupted ||= name === "SIGINT";
      last = now;
      hooks.abort(reason);
    });
  }
  for (const name of ["SIGUSR1", "SIGINFO"] as const) {
    try {
      process.on(name, () => hooks.info());
    } catch {
      // Not every system has SIGINFO, and a runtime's debugger may keep SIGUSR1 for itself.
    }
  }
}
