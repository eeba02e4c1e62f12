// The library: `import { Repository } from "alcove"`. Reads and writes the repositories of Borg 1.x; prints nothing,
// reads no command line, ends no process. Errors are AlcoveError with Borg's `msgid` and exit code and, where it
// helps, a `hint`. In the bundled file this module is also what worker threads load.
import { isMainThread, workerData } from "node:worker_threads";

export { Archive } from "./api/archive.ts";
export { Repository } from "./api/repository.ts";
export type {
  ArchiveInfo,
  ArchiveItem,
  ArchiveStats,
  ArchiveSummary,
  BackupOptions,
  CheckOptions,
  Content,
  CreateOptions,
  DeviceNumbers,
  EncryptionMode,
  Entry,
  ExtractOptions,
  InitOptions,
  ItemsOptions,
  ItemType,
  OpenOptions,
  OperationOptions,
  ProgressEvent,
} from "./api/types.ts";
export { AlcoveError, AlcoveWarning, IntegrityError } from "./errors.ts";

// A program may itself import the library in a worker of its own: only threads that the library started, known by
// their data, take a role.
if (!isMainThread && (workerData as { alcove?: unknown } | null)?.alcove === true) {
  const { workerMain } = await import("./archive/worker.ts");
  await workerMain();
}
