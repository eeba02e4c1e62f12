// Exit codes as Borg 1.4 decides them (helpers/__init__.py: classify_ec, get_ec): 0 success, 1 and 100–127
// warnings, 2 and 3–99 errors, from 128 signals. In legacy mode, the default, every error is 2 and every warning
// 1; BORG_EXIT_CODES=modern gives each its own.
import type { AlcoveError, AlcoveWarning } from "../src/errors.ts";

export const EXIT_SUCCESS = 0;
export const EXIT_WARNING = 1;
export const EXIT_ERROR = 2;
export const EXIT_SIGNAL_BASE = 128;

export type ExitClass = "success" | "warning" | "error" | "signal";

export function classify(code: number): ExitClass {
  if (code >= EXIT_SIGNAL_BASE) return "signal";
  if (code === EXIT_ERROR || (code >= 3 && code < 100)) return "error";
  if (code === EXIT_WARNING || code >= 100) return "warning";
  return "success";
}

const severity: Record<ExitClass, number> = { success: 0, warning: 1, error: 2, signal: 3 };

/** Collects what happened during a command and decides on the code at its end. */
export class ExitStatus {
  readonly modern: boolean;
  private code = EXIT_SUCCESS;
  private readonly warnings = new Set<number>();

  constructor(env: Record<string, string | undefined>) {
    this.modern = env["BORG_EXIT_CODES"] === "modern";
  }

  /** A code the command wants; the more severe one wins, the first among equals. */
  set(code: number): void {
    if (severity[classify(code)] > severity[classify(this.code)]) this.code = code;
  }

  warning(warning: AlcoveWarning): void {
    this.warnings.add(this.modern ? warning.exitCode : EXIT_WARNING);
  }

  /** A warning that has no class of its own. */
  genericWarning(): void {
    this.warnings.add(EXIT_WARNING);
  }

  ofError(error: AlcoveError): number {
    return this.modern ? error.exitCode : EXIT_ERROR;
  }

  /** Several kinds of warnings give the general code 1. */
  final(): number {
    if (this.code !== EXIT_SUCCESS || this.warnings.size === 0) return this.code;
    return this.warnings.size === 1 ? [...this.warnings][0]! : EXIT_WARNING;
  }
}
