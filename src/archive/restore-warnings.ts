// From what a restorer could not set to the warning a user sees. What Borg passes over in silence (an owner that
// only root may give) gives none.
import { type AlcoveWarning, BackupOSError, BackupPermissionError, describeSystemError } from "../errors.ts";
import type { RestoreProblem } from "./metadata-restore.ts";

/** @param item the item's path, if one is being restored */
export function problemWarning(problem: RestoreProblem, item: string): AlcoveWarning | undefined {
  const { what, error, quiet } = problem;
  if (quiet) return undefined;
  const path = item || problem.path;
  const text = `${what}: ${describeSystemError(error)}`;
  const { code } = error as NodeJS.ErrnoException;
  return code === "EPERM" || code === "EACCES"
    ? new BackupPermissionError(path, text)
    : new BackupOSError(path, text);
}
