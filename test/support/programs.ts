// Runs the programs under test: real borg, and the built file on any of the runtimes.
import { type SpawnSyncReturns, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, realpathSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

export const root = join(dirname(fileURLToPath(import.meta.url)), "..", "..");
export const alcoveFile = join(root, "dist", "alcove.mjs");
const modules = join(root, "test", "runtimes", "node_modules");

export type RuntimeLabel = "node" | "node20" | "node22" | "node24" | "node26" | "deno" | "bun";

/** Command that starts the built file; "node" is the Node that runs the tests. */
export function alcoveCommand(label: RuntimeLabel = "node"): string[] {
  switch (label) {
    case "node":
      return [process.execPath, alcoveFile];
    case "deno":
      return [join(modules, ".bin", "deno"), "run", "-A", alcoveFile];
    case "bun":
      return [join(modules, ".bin", "bun"), alcoveFile];
    default:
      return [join(modules, label, "bin", "node"), alcoveFile];
  }
}

export interface Result {
  code: number;
  stdout: string;
  stderr: string;
}

export interface RunOptions {
  cwd?: string;
  env?: Record<string, string | undefined>;
  input?: string | Uint8Array;
  timeout?: number;
}

/** A directory of its own with an environment in which nothing of the machine's user is touched. */
export class Sandbox {
  readonly dir: string;
  readonly env: Record<string, string | undefined>;

  constructor() {
    this.dir = realpathSync(mkdtempSync(join(tmpdir(), "alcove-test-")));
    this.env = {
      PATH: process.env["PATH"],
      HOME: this.dir,
      LANG: "C.UTF-8",
      TZ: "UTC",
      BORG_BASE_DIR: join(this.dir, "base"),
      BORG_PASSPHRASE: "correct horse",
      BORG_RELOCATED_REPO_ACCESS_IS_OK: "yes",
      BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK: "yes",
    };
  }

  path(...parts: string[]): string {
    return join(this.dir, ...parts);
  }

  run(command: readonly string[], options: RunOptions = {}): Result {
    const r: SpawnSyncReturns<Buffer> = spawnSync(command[0]!, command.slice(1), {
      cwd: options.cwd ?? this.dir,
      env: { ...this.env, ...options.env } as NodeJS.ProcessEnv,
      timeout: options.timeout ?? 120_000,
      maxBuffer: 1 << 28,
      ...(options.input === undefined ? {} : { input: options.input }),
    });
    if (r.error) throw r.error;
    return {
      code: r.status ?? 128,
      stdout: r.stdout.toString("utf8"),
      stderr: r.stderr.toString("utf8"),
    };
  }

  borg(args: readonly string[], options: RunOptions = {}): Result {
    return this.run(["borg", ...args], options);
  }

  alcove(args: readonly string[], options: RunOptions & { on?: RuntimeLabel } = {}): Result {
    if (!existsSync(alcoveFile)) throw new Error("dist/alcove.mjs is missing: npm run build");
    return this.run([...alcoveCommand(options.on), ...args], options);
  }

  /** Runs and requires exit code 0 (or one of `codes`), with the output in the failure's message. */
  ok(result: Result, codes: readonly number[] = [0]): Result {
    if (!codes.includes(result.code)) {
      throw new Error(`exit code ${result.code}\n--- stdout\n${result.stdout}\n--- stderr\n${result.stderr}`);
    }
    return result;
  }

  remove(): void {
    rmSync(this.dir, { recursive: true, force: true });
  }
}
