// Real borg's own repository code, driven by a list of steps: the peer of the repository interop tests.
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** ["put", n, size], ["del", n], ["commit"], ["compact", threshold], ["manifest", text], ["rollback"]. */
export type Step = [string, ...(number | string)[]];

const DRIVER = `
import sys, json, hashlib, logging
from borg.logger import setup_logging
setup_logging(level='info')
logging.getLogger().handlers[0].setFormatter(logging.Formatter('%(levelname)s %(message)s'))
from borg.repository import Repository
from borg.hashindex import NSIndex
from borg.helpers import msgpack
path, steps = sys.argv[1], json.loads(sys.stdin.read())
def key(n): return bytes(32) if n == -1 else hashlib.sha256(b'id%d' % n).digest()
def value(n, size): return (hashlib.sha256(b'data%d-%d' % (n, size)).digest() * (size // 32 + 1))[:size]
out = None
with Repository(path, exclusive=True, create=bool(steps and steps[0] == ['create'])) as r:
    for step in steps:
        op, args = step[0], step[1:]
        if op in ('commit', 'compact') and not r._active_txn: r.prepare_txn(r.get_transaction_id())
        if op == 'put': r.put(key(args[0]), value(args[0], args[1]))
        elif op == 'del': r.delete(key(args[0]))
        elif op == 'commit': r.commit(compact=False)
        elif op == 'compact': r.commit(compact=True, threshold=args[0])
        elif op == 'rollback': r.rollback()
        elif op == 'limit':
            r.config.set('repository', 'max_segment_size', str(args[0]))
            r.save_config(path, r.config)
        elif op == 'check': out = r.check(repair=False)
        elif op == 'repair': out = r.check(repair=True)
        elif op == 'dump':
            out = {i.hex(): hashlib.sha256(r.get(i)).hexdigest() for i in r.list()}
        elif op == 'scan': out = [i.hex() for i in r.scan()]
        elif op == 'state':
            t = r.get_transaction_id()
            if t is None: out = None; continue
            index = NSIndex.read('%s/index.%d' % (path, t))
            hints = msgpack.unpackb(open('%s/hints.%d' % (path, t), 'rb').read())
            out = dict(transaction=t, index=sorted((k.hex(), v[0], v[1]) for k, v in index.iteritems()),
                segments=sorted(hints[b'segments'].items()), compact=sorted(hints[b'compact'].items()),
                quota=hints[b'storage_quota_use'], shadow=sorted((k.hex(), v) for k, v in hints[b'shadow_index'].items()))
print(json.dumps(out))
`;

/** Runs steps by borg; gives what the last asking step answered, and what borg logged. */
export function borg(path: string, steps: (Step | [string])[]): { out: unknown; log: string } {
  const run = spawnSync("/usr/bin/python3", ["-c", DRIVER, path], {
    input: JSON.stringify(steps),
    encoding: "utf8",
    timeout: 120_000,
    maxBuffer: 1 << 28,
    env: { ...process.env, BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK: "yes" },
  });
  if (run.status !== 0) throw new Error(`borg failed: ${run.stderr}`);
  return { out: JSON.parse(run.stdout.trim().split("\n").at(-1)!), log: run.stderr };
}

/** `borg check --repository-only`: exit code and output. */
export function borgCheck(path: string, ...options: string[]): { status: number; output: string } {
  const run = spawnSync("/usr/bin/borg", ["check", "--repository-only", "-v", ...options, path], {
    encoding: "utf8",
    timeout: 120_000,
    env: { ...process.env, BORG_CHECK_I_KNOW_WHAT_I_AM_DOING: "YES", BORG_BASE_DIR: path + ".base" },
  });
  rmSync(`${path}.base`, { recursive: true, force: true });
  return { status: run.status ?? -1, output: run.stdout + run.stderr };
}

export function borgVersion(): string {
  return execFileSync("/usr/bin/borg", ["--version"], { encoding: "utf8" }).trim();
}

/** A scratch directory that removes itself: `using dir = scratch()`. */
export function scratch(): { path: string; at: (name: string) => string; remove: () => void } {
  const path = mkdtempSync(join(tmpdir(), "repository-"));
  return {
    path,
    at: (name) => join(path, name),
    remove: () => rmSync(path, { recursive: true, force: true }),
  };
}
