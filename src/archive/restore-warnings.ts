// From what a restorer could not set to the warning a user sees. What Borg passes over in silence (an owner that
// only root may give) gives none.
import { type AlcoveWarning, BackupOSError, BackupPermissionError, describeSystemError } from "../errors.ts";
import type { RestoreProblem } from "./metadata-restore.ts";

export function problemWarning({ path, what, error, quiet }: RestoreProblem): AlcoveWarning | undefined {
  if (quiet) return undefined;
  const text = `${what}: ${describeSystemError(error)}`;
  const { code } = error as NodeJS.ErrnoException;
  return code === "EPERM" || code === "EACCES"
    ? new BackupPermissionError(path, text)
    : new BackupOSError(path, text);
}
