// Where command lines are compared: the same line is run by real borg and by us on equal copies of a repository that
// borg has made, at the same path, so that what they print can be compared as it is. Borg is a server that forks
// (borg-server.py); ours runs in this process, or as the built file where it needs a standard input or output of its own.

import { type ChildProcessWithoutNullStreams, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import {
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { MemoryStream } from "../../../cli/output/stream.ts";
import { runCommandLine } from "../../../cli/run.ts";
import { root } from "../../support/programs.ts";
import { fillRepositories, makeSource } from "./fixture.ts";

export interface Outcome {
  code: number;
  stdout: string;
  stderr: string;
}

export interface RunSpec {
  args: readonly string[];
  env?: Record<string, string | undefined>;
  /** Path of a file that is standard input. */
  stdin?: string;
  /** Working directory; the lab's directory otherwise. */
  cwd?: string;
  /** Ours as a process: its standard input and output are its own. */
  spawn?: boolean;
  /** Borg started anew: it reads some variables when its modules are imported. */
  fresh?: boolean;
}

/** Ours, typing `lines` where a question is asked. */
export type OurSpec = RunSpec & { input?: readonly string[] };

const here = dirname(fileURLToPath(import.meta.url));

export class Lab {
  /** Holds src/ (what is backed up), w/ (the working copy: repositories, BORG_BASE_DIR, out/). */
  readonly dir = realpathSync(mkdtempSync(join(tmpdir(), "alcove-lines-")));
  readonly work = join(this.dir, "w");
  readonly env: Record<string, string> = {
    PATH: process.env["PATH"] ?? "",
    HOME: this.dir,
    LANG: "C.UTF-8",
    TZ: "Europe/Berlin",
    ALCOVE_WORKERS: "0",
    BORG_BASE_DIR: join(this.work, "base"),
    BORG_PASSPHRASE: "secret",
    BORG_SELFTEST: "disabled",
    BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK: "yes",
    BORG_RELOCATED_REPO_ACCESS_IS_OK: "yes",
  };
  private server: ChildProcessWithoutNullStreams | undefined;
  private answers: AsyncIterableIterator<string> | undefined;
  private built: Promise<string> | undefined;
  private pristine = false;
  /** Of each directory of the working copy, as it was copied. */
  private readonly states = new Map<string, string>();
  /** Milliseconds: what is older was made before. */
  started = 0;

  async start(): Promise<void> {
    process.env["TZ"] = this.env["TZ"];
    this.server = spawn("/usr/bin/python3", [join(here, "borg-server.py")], {
      cwd: this.dir,
      env: { ...this.env, PYTHONWARNINGS: "ignore" },
    });
    this.server.stderr.on("data", (d) => process.stderr.write(d));
    this.answers = createInterface({ input: this.server.stdout })[Symbol.asyncIterator]();
    mkdirSync(join(this.work, "out"), { recursive: true });
    makeSource(join(this.dir, "src"));
    await fillRepositories(this);
    spawnSync("cp", ["-a", this.work, join(this.dir, "template")]);
    for (const name of readdirSync(this.work)) this.states.set(name, state(join(this.work, name)));
    this.pristine = true;
    this.started = Date.now();
  }

  async stop(): Promise<void> {
    const { server } = this;
    if (server) {
      server.stdin.end();
      await once(server, "close");
    }
    this.pristine = false;
    this.restore();
    process.chdir("/");
    rmSync(this.dir, { recursive: true, force: true });
  }

  /** The working copy as borg left it: what was changed is copied anew, what was added is removed. */
  restore(): void {
    if (this.pristine) return;
    process.chdir(this.dir);
    // Of the test of --one-file-system.
    if (existsSync(join(this.work, "tree", "mnt"))) spawnSync("umount", [join(this.work, "tree", "mnt")]);
    const template = join(this.dir, "template");
    const places = readdirSync(template);
    for (const name of readdirSync(this.work))
      if (!places.includes(name)) rmSync(join(this.work, name), { recursive: true, force: true });
    for (const name of places) {
      const place = join(this.work, name);
      if (this.states.get(name) === state(place)) continue;
      rmSync(place, { recursive: true, force: true });
      cpSync(join(template, name), place, {
        recursive: true,
        preserveTimestamps: true,
        verbatimSymlinks: true,
      });
      this.states.set(name, state(place));
    }
    this.pristine = true;
  }

  /** To be told before something changes the working copy. */
  touch(): void {
    this.pristine = false;
  }

  path(...parts: string[]): string {
    return join(this.dir, ...parts);
  }

  async borg(spec: RunSpec): Promise<Outcome> {
    const env = defined({ ...this.env, ...spec.env });
    const cwd = spec.cwd ?? this.dir;
    if (spec.fresh) {
      const run = spawnSync("/usr/bin/borg", spec.args, {
        env,
        cwd,
        timeout: 60_000,
        input: spec.stdin ? readFileSync(spec.stdin) : "",
      });
      return { code: run.status ?? -1, stdout: run.stdout.toString(), stderr: run.stderr.toString() };
    }
    this.server!.stdin.write(`${JSON.stringify({ args: spec.args, env, cwd, stdin: spec.stdin })}\n`);
    const { value, done } = await this.answers!.next();
    if (done) throw new Error("borg's server has ended");
    const answer = JSON.parse(value) as Outcome;
    const text = (s: string) => Buffer.from(s, "base64").toString();
    return { code: answer.code, stdout: text(answer.stdout), stderr: text(answer.stderr) };
  }

  async goodBorg(args: readonly string[], more: Omit<RunSpec, "args"> = {}): Promise<string> {
    const r = await this.borg({ args, ...more });
    if (r.code !== 0) throw new Error(`borg ${args.join(" ")}: ${r.code}\n${r.stderr}`);
    return r.stdout;
  }

  async ours(spec: OurSpec): Promise<Outcome> {
    const env = defined({ ...this.env, ...spec.env });
    const cwd = spec.cwd ?? this.dir;
    if (spec.spawn || spec.stdin) {
      const program = await this.program();
      const run = spawnSync(process.execPath, [program, ...spec.args], {
        env,
        cwd,
        timeout: 60_000,
        maxBuffer: 1 << 26,
        input: spec.stdin ? readFileSync(spec.stdin) : "",
      });
      return { code: run.status ?? -1, stdout: run.stdout.toString(), stderr: run.stderr.toString() };
    }
    const [stdout, stderr] = [new MemoryStream(), new MemoryStream()];
    const lines = [...(spec.input ?? [])];
    const [umask, argv] = [process.umask(), process.argv];
    process.argv = [argv[0]!, "borg", ...spec.args]; // archives keep it
    process.chdir(cwd);
    try {
      const code = await runCommandLine(spec.args, {
        program: { name: "borg", version: "0" },
        env,
        stdout,
        stderr,
        signal: new AbortController().signal,
        umask: (mask) => void process.umask(mask),
        readLine: async () => lines.shift(),
      });
      return { code, stdout: stdout.text, stderr: stderr.text };
    } finally {
      process.umask(umask);
      process.argv = argv;
      process.chdir(this.dir);
    }
  }

  /** The program in one file, called borg, made from the sources that are here. */
  program(): Promise<string> {
    this.built ??= (async () => {
      const bin = this.path("bin");
      mkdirSync(bin, { recursive: true });
      if (!existsSync(this.path("node_modules")))
        symlinkSync(join(root, "node_modules"), this.path("node_modules"));
      const outfile = join(bin, "alcove.mjs");
      await build({
        entryPoints: [join(root, "cli/main.ts")],
        outfile,
        bundle: true,
        format: "esm",
        platform: "node",
        external: ["koffi", "bun:ffi", "node:ffi"],
        define: { __ALCOVE_VERSION__: '"0.0.0"' },
        banner: {
          js: 'import { createRequire as __c } from "node:module"; const require = __c(import.meta.url);',
        },
        logLevel: "error",
      });
      // Started by borg's name, so that archives hold the same command line.
      symlinkSync(outfile, join(bin, "borg"));
      return join(bin, "borg");
    })();
    return this.built;
  }
}

/** Names, sizes and times of all files: equal where nothing was written. */
function state(dir: string): string {
  if (!existsSync(dir)) return "";
  const out: string[] = [];
  for (const entry of readdirSync(dir, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    const s = lstatSync(path);
    out.push(`${path} ${s.size} ${s.mtimeMs} ${s.ctimeMs} ${s.ino}`);
  }
  return out.sort().join("\n");
}

function defined(env: Record<string, string | undefined>): Record<string, string> {
  return Object.fromEntries(Object.entries(env).filter((e): e is [string, string] => e[1] !== undefined));
}

/** All of a directory's files as text: path, mode, size or content. */
export function listing(dir: string, at = ""): string[] {
  if (!existsSync(dir)) return [];
  return readdirSync(join(dir, at))
    .sort()
    .flatMap((name) => {
      const path = join(at, name);
      const s = statSync(join(dir, path));
      return s.isDirectory() ? [`${path}/`, ...listing(dir, path)] : [`${path} ${s.size}`];
    });
}

export function write(path: string, text: string | Uint8Array): string {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
  return path;
}
