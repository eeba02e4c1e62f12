// Real borg many times for the price of one: its modules are imported once, and each command runs in a fork of that
// process, through borg's own main(). 15 ms a command instead of 600.
import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import type { Result } from "../support/programs.ts";

const SERVER = `
import os, sys, json, selectors
import borg.archiver
from borg.archiver import main
sys.stdout.write("ready\\n"); sys.stdout.flush()
for line in sys.stdin:
    job = json.loads(line)
    out_r, out_w = os.pipe()
    err_r, err_w = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(out_r); os.close(err_r)
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0); os.dup2(out_w, 1); os.dup2(err_w, 2)
        code = 70
        try:
            os.chdir(job["cwd"])
            os.environ.clear(); os.environ.update(job["env"])
            sys.argv = ["borg"] + job["args"]
            main()
        except SystemExit as e:
            code = e.code if isinstance(e.code, int) else 1
        finally:
            sys.stdout.flush(); sys.stderr.flush()
            os._exit(code)
    os.close(out_w); os.close(err_w)

    data = {out_r: b"", err_r: b""}
    with selectors.DefaultSelector() as s:
        for fd in data: s.register(fd, selectors.EVENT_READ)
        while s.get_map():
            for key, _ in s.select():
                piece = os.read(key.fd, 65536)
                data[key.fd] += piece
                if not piece: s.unregister(key.fd)
    os.close(out_r); os.close(err_r)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    answer = dict(code=status, stdout=data[out_r].decode("utf8", "replace"), stderr=data[err_r].decode("utf8", "replace"))
    sys.stdout.write(json.dumps(answer) + "\\n"); sys.stdout.flush()
`;

export class BorgServer {
  private readonly child: ChildProcessWithoutNullStreams;
  private readonly env: Record<string, string>;
  private buffered = "";
  private stderr = "";
  private waiting: { resolve: (line: string) => void; reject: (e: Error) => void }[] = [];
  private readonly ready: Promise<string>;
  /** Commands run. */
  runs = 0;

  constructor(env: Record<string, string>) {
    this.env = { PATH: process.env["PATH"] ?? "", LANG: "C.UTF-8", TZ: "UTC", ...env };
    this.child = spawn("/usr/bin/python3", ["-u", "-c", SERVER], { env: this.env });
    this.child.stderr.on("data", (d) => {
      this.stderr += d;
    });
    this.child.stdout.on("data", (d) => {
      this.buffered += d;
      for (let end = this.buffered.indexOf("\n"); end >= 0; end = this.buffered.indexOf("\n")) {
        this.waiting.shift()?.resolve(this.buffered.slice(0, end));
        this.buffered = this.buffered.slice(end + 1);
      }
    });
    this.child.on("close", (code) => {
      for (const { reject } of this.waiting.splice(0))
        reject(new Error(`borg ended: ${code}\n${this.stderr}`));
    });
    this.ready = this.line();
  }

  private line(): Promise<string> {
    return new Promise((resolve, reject) => this.waiting.push({ resolve, reject }));
  }

  async run(args: readonly string[], options: { cwd: string; env: Record<string, string> }): Promise<Result> {
    await this.ready;
    this.runs++;
    const answer = this.line();
    const env = { ...this.env, ...options.env };
    this.child.stdin.write(`${JSON.stringify({ args, cwd: options.cwd, env })}\n`);
    return JSON.parse(await answer) as Result;
  }

  /** As run, with exit code 0 required. */
  async ok(args: readonly string[], options: { cwd: string; env: Record<string, string> }): Promise<Result> {
    const result = await this.run(args, options);
    if (result.code !== 0) throw new Error(`borg ${args.join(" ")}: ${result.code}\n${result.stderr}`);
    return result;
  }

  close(): void {
    this.child.stdin.end();
  }
}
