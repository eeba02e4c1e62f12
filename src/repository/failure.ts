// Errors of the operating system (a full disk, an I/O error) while a repository is read or written, as errors that can be
// shown to people: what was being done, why it failed, and what helps.
import { AlcoveError, describeSystemError } from "../errors.ts";

/** An error of the operating system as one that can be shown; any other as it is. */
export function systemFailure(error: unknown, what: string): unknown {
  const { code } = error as NodeJS.ErrnoException;
  if (error instanceof AlcoveError || code === undefined) return error;
  const shown = new AlcoveError(`${what}: ${describeSystemError(error as NodeJS.ErrnoException)}`);
  if (code === "ENOSPC" || code === "EDQUOT") {
    shown.hint = "Nothing that was committed is lost. Free some space, then delete archives and compact.";
  }
  shown.cause = error;
  return shown;
}
