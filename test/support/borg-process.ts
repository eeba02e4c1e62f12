// Real borg as one process that runs many command lines: importing borg takes a third of a second, running a command on
// a small repository some 20 ms. The key of a repository made here has few rounds of PBKDF2, for the same reason;
// both programs read the number of rounds from the key.
import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { createInterface, type Interface } from "node:readline";
import type { Result } from "./programs.ts";

const SERVER = `
import sys, os, io, json, time, logging, contextlib
answers = os.fdopen(os.dup(1), 'w', encoding='utf-8')
from borg import helpers
from borg.archiver import Archiver
from borg.crypto import key
key.PBKDF2_ITERATIONS = 100
names = set()
for line in sys.stdin:
    job = json.loads(line)
    for name in names - set(job['env']):
        os.environ.pop(name, None)
    names = set(job['env'])
    os.environ.update(job['env'])
    time.tzset()
    os.chdir(job['cwd'])
    out = io.TextIOWrapper(io.BytesIO(), encoding='utf-8', errors='surrogateescape')
    err = io.StringIO()
    helpers.exit_code = 0
    logging.getLogger('').handlers.clear()
    archiver = Archiver()
    archiver.prerun_checks = lambda *args: None
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = archiver.run(archiver.get_args(['borg'] + job['argv'], None))
        except SystemExit as error:
            code = error.code
        except helpers.Error as error:
            code = error.exit_code
            err.write(error.get_message())
        except BaseException as error:
            code = 2
            err.write(repr(error))
    out.flush()
    text = out.buffer.getvalue().decode('utf-8', 'replace')
    print(json.dumps([int(code or 0), text, err.getvalue()]), file=answers, flush=True)
`;

export class BorgProcess {
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #lines: Interface;
  readonly #waiting: { done: (r: Result) => void; failed: (e: Error) => void }[] = [];
  #stderr = "";

  /** @param env of every command, PATH among it */
  constructor(env: Record<string, string | undefined>) {
    this.#child = spawn("/usr/bin/python3", ["-c", SERVER], { env: env as NodeJS.ProcessEnv });
    this.#child.stderr.on("data", (d) => {
      this.#stderr += d;
    });
    this.#lines = createInterface(this.#child.stdout);
    this.#lines.on("line", (line) => {
      const [code, stdout, stderr] = JSON.parse(line) as [number, string, string];
      this.#waiting.shift()?.done({ code, stdout, stderr });
    });
    this.#child.on("exit", (code) => {
      for (const { failed } of this.#waiting.splice(0))
        failed(new Error(`The borg process ended with ${code}: ${this.#stderr}`));
    });
  }

  /** @param env what differs from the environment of the process, for this command alone */
  run(argv: readonly string[], options: { cwd: string; env?: Record<string, string> }): Promise<Result> {
    const { cwd, env = {} } = options;
    return new Promise((done, failed) => {
      this.#waiting.push({ done, failed });
      this.#child.stdin.write(`${JSON.stringify({ argv, cwd, env })}\n`);
    });
  }

  end(): void {
    this.#lines.close();
    this.#child.kill("SIGKILL");
  }
}
