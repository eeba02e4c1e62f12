// What a backup of files is told.
import type { ChunkerParams } from "../chunker/index.ts";
import type { CompressionSpec } from "../compress/index.ts";
import type { AlcoveWarning } from "../errors.ts";
import type { CaptureOptions } from "./metadata-capture.ts";
import type { CreateThreads } from "./pipeline/create-threads.ts";
import type { FilesChanged } from "./pipeline/messages.ts";
import type { ScanAhead } from "./pipeline/scan-ahead.ts";
import type { Statistics } from "./stats.ts";
import type { WalkOptions } from "./walker.ts";

export interface CreateOptions {
  walk: WalkOptions;
  capture: CaptureOptions;
  compression: CompressionSpec;
  chunker: ChunkerParams;
  filesChanged: FilesChanged;
  /** Holes of sparse files are not read (fixed chunker only). */
  sparse?: boolean;
  readSpecial: boolean;
  /** Seconds; 0 for none. */
  checkpointInterval: number;
  workers: number;
  /** Files the cache must know for the walk to get a thread of its own. */
  scanAhead?: number;
  /** The walk of the first paths, if it has begun already; ended with them. */
  begun?: ScanAhead | undefined;
  /** Threads of the workers, if they have been started already; ended with the backup. */
  prepared?: CreateThreads | undefined;
  cwd: string;
  signal?: AbortSignal;
  onStatus?: (status: string, path: string) => void;
  /** Which statuses onStatus wants to be told of; by default all. */
  tells?: (status: string) => boolean;
  onWarning?: (warning: AlcoveWarning) => void;
  /** Called often; throttle in the callee. */
  onProgress?: (stats: Statistics, path: string) => void;
}
