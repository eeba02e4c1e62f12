// The command line in this process: no start of a runtime, which is most of what a command on a small repository costs.
import { MemoryStream } from "../../cli/output/stream.ts";
import { runCommandLine } from "../../cli/run.ts";
import type { Result } from "./programs.ts";

export interface InProcessOptions {
  cwd: string;
  env: Record<string, string | undefined>;
  signal?: AbortSignal;
}

/** Without threads, which cannot be started from sources everywhere. */
export async function alcoveInProcess(argv: readonly string[], options: InProcessOptions): Promise<Result> {
  const [stdout, stderr] = [new MemoryStream(), new MemoryStream()];
  const before = process.cwd();
  process.chdir(options.cwd);
  try {
    const code = await runCommandLine(argv, {
      program: { name: "alcove", version: "0" },
      env: { ALCOVE_WORKERS: "0", ...options.env },
      stdout,
      stderr,
      signal: options.signal ?? new AbortController().signal,
    });
    return { code, stdout: stdout.text, stderr: stderr.text };
  } finally {
    process.chdir(before);
  }
}
