// For the tests of check: repositories to damage, our check in this process, and real borg's commands, many of them in
// one python process, because borg takes half a second to start.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { lstatSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type ArchiveCheckOptions, checkArchives } from "../../src/archive/check.ts";
import { JointCheck } from "../../src/archive/check-joint.ts";
import { localEnvironment } from "../../src/cache/dirs.ts";
import { loadCore } from "../../src/core/index.ts";
import { AlcoveError } from "../../src/errors.ts";
import { LocalRepository } from "../../src/repository/local.ts";
import type { Sandbox } from "../support/programs.ts";

const DRIVER = `
import sys, os, json, contextlib, io, logging
from borg import helpers
from borg.archiver import Archiver
os.environ['BORG_CHECK_I_KNOW_WHAT_I_AM_DOING'] = 'YES'
results = []
devnull = open(os.devnull, 'w')
for cwd, argv in json.loads(sys.stdin.read()):
    os.makedirs(cwd, exist_ok=True)
    os.chdir(cwd)
    archiver = Archiver()
    archiver.prerun_checks = lambda *args: None
    helpers.exit_code = 0
    try:
        import borg.helpers.errors as e
        e.exit_code = 0
    except ImportError:
        pass
    out = io.StringIO()
    with contextlib.redirect_stderr(devnull), contextlib.redirect_stdout(out):
        try:
            rc = archiver.run(archiver.parse_args(argv))
        except SystemExit as error:
            rc = error.code
        except BaseException as error:
            rc = 2
    results.append([int(rc or 0), out.getvalue()])
sys.__stdout__.write(json.dumps(results))
`;

export interface BorgJob {
  cwd: string;
  argv: string[];
}

/** Runs borg's commands one after the other. @returns exit code and output of each */
export function borgJobs(
  box: Sandbox,
  jobs: readonly BorgJob[],
  env: Record<string, string> = {},
): { code: number; stdout: string }[] {
  const run = spawnSync("/usr/bin/python3", ["-c", DRIVER], {
    input: JSON.stringify(jobs.map(({ cwd, argv }) => [cwd, argv])),
    encoding: "utf8",
    env: { ...box.env, ...env } as NodeJS.ProcessEnv,
    timeout: process.env["ALCOVE_EXHAUSTIVE"] ? 1_800_000 : 300_000,
    maxBuffer: 1 << 28,
  });
  if (run.status !== 0) throw new Error(`borg failed: ${run.stderr}`);
  return (JSON.parse(run.stdout) as [number, string][]).map(([code, stdout]) => ({ code, stdout }));
}

export interface Checked {
  /** As the command's exit code: 0, 1 (problems found), 2 (an error). */
  code: number;
  log: string[];
}

/** What `check` does, in this process. */
export async function check(
  box: Sandbox,
  path: string,
  options: Partial<ArchiveCheckOptions> & {
    archivesOnly?: boolean;
    /** One read for both parts, in pieces of so many bytes. */
    joint?: number;
  } = {},
): Promise<Checked> {
  const log: string[] = [];
  const say = (level: string, message: string) => void log.push(`${level}: ${message}`);
  const { repair = false, archivesOnly = false } = options;
  try {
    const repository = await LocalRepository.open(path, { exclusive: true, log: say });
    try {
      const environment = localEnvironment(box.env, { log: say });
      const core = loadCore();
      const { joint: pieceBytes, verifyData = false, workers = 0 } = options;
      const joint =
        pieceBytes === undefined
          ? undefined
          : JointCheck.of(repository, { core, environment, verifyData, workers, pieceBytes });
      const reader = joint ? { reader: joint } : {};
      if (!archivesOnly && !(await repository.check({ repair, log: say, ...reader })))
        return { code: 1, log };
      if (joint && verifyData && !joint.findings.verified)
        throw new Error("a check without a fault has verified nothing");
      const findings = joint?.findings;
      const good = await checkArchives(repository, { core, environment, log: say, findings, ...options });
      return { code: good ? 0 : 1, log };
    } finally {
      await repository.close();
    }
  } catch (e) {
    if (!(e instanceof AlcoveError)) throw e;
    log.push(`fatal: ${e.message}`);
    return { code: 2, log };
  }
}

/** Works on an open repository; what was changed is committed. */
export async function edit<T>(path: string, work: (repository: LocalRepository) => Promise<T>): Promise<T> {
  const repository = await LocalRepository.open(path, { exclusive: true });
  try {
    const result = await work(repository);
    await repository.commit({ compact: false });
    return result;
  } finally {
    await repository.close();
  }
}

/** Paths and hashes of all files below a directory. */
export function contents(dir: string, prefix = ""): Record<string, string> {
  const out: Record<string, string> = {};
  for (const name of readdirSync(dir).sort()) {
    const path = join(dir, name);
    const stat = lstatSync(path);
    if (stat.isDirectory()) Object.assign(out, contents(path, `${prefix}${name}/`));
    else if (stat.isFile())
      out[prefix + name] = createHash("sha256").update(readFileSync(path)).digest("hex").slice(0, 16);
  }
  return out;
}
