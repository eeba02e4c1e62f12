// A disposable home for real borg and for us, repositories made by borg init, and borg's own modules over python3.
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { localEnvironment } from "../../src/cache/dirs.ts";
import type { KeyRepository } from "../../src/crypto/keys.ts";
import { fromHex } from "../../src/format/bytes.ts";
import { Ini } from "../../src/format/ini.ts";

export const PASSPHRASE = "pässword with spaces";

export class Home {
  readonly dir = mkdtempSync(join(tmpdir(), "alcove-keys-"));
  readonly env: Record<string, string> = {
    PATH: "/usr/local/bin:/usr/bin:/bin",
    LANG: "C.UTF-8",
    HOME: this.dir,
    BORG_BASE_DIR: this.dir,
    BORG_PASSPHRASE: PASSPHRASE,
    BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK: "yes",
  };
  environment(extra: Record<string, string | undefined> = {}) {
    return localEnvironment({ ...this.env, ...extra });
  }
  borg(args: string[], options: { env?: Record<string, string>; input?: string } = {}): string {
    const run = spawnSync("borg", args, {
      env: { ...this.env, ...options.env },
      input: options.input ?? "",
      encoding: "utf8",
      timeout: 60_000,
    });
    if (run.status !== 0) throw new Error(`borg ${args.join(" ")}: ${run.status}\n${run.stderr}`);
    return run.stdout;
  }
  /** What borg says on its side channel. */
  borgErr(args: string[], env: Record<string, string> = {}): string {
    const run = spawnSync("borg", args, { env: { ...this.env, ...env }, encoding: "utf8", timeout: 60_000 });
    if (run.status !== 0) throw new Error(`borg ${args.join(" ")}: ${run.status}\n${run.stderr}`);
    return run.stderr;
  }
  init(mode: string, name = mode): TestRepository {
    const path = join(this.dir, name);
    this.borg(["init", "-e", mode, path]);
    return new TestRepository(this, path);
  }
  /** Runs a python script with borg's modules; `a` holds the arguments; what it puts into `r` comes back. */
  python(script: string, args: Record<string, unknown>): Record<string, string> {
    const prelude = [
      "import sys, json, os, base64",
      "from binascii import hexlify, unhexlify",
      "a = json.load(sys.stdin); r = {}",
      "from borg.logger import setup_logging; setup_logging(level='critical')",
      "from borg.repository import Repository",
      "from borg.crypto.key import *",
      "from borg.helpers import Location, Manifest, msgpack",
      "def x(b): return hexlify(bytes(b)).decode()",
    ];
    const text = `${prelude.join("\n")}\n${script}\nprint(json.dumps(r))`;
    const out = execFileSync("/usr/bin/python3", ["-c", text], {
      env: { ...this.env, BORG_RELOCATED_REPO_ACCESS_IS_OK: "yes" },
      input: JSON.stringify(args),
      maxBuffer: 64 << 20,
      stdio: ["pipe", "pipe", "pipe"],
      encoding: "utf8",
      timeout: 60_000,
    });
    return JSON.parse(out) as Record<string, string>;
  }
  destroy(): void {
    rmSync(this.dir, { recursive: true, force: true });
  }
}

/** Opens the repository and its key in python as `repo`, `mdata` and `key`. */
export const OPEN = `
repo = Repository(a['path'], exclusive=True); repo.__enter__()
import atexit; atexit.register(repo.close)
mdata = repo.get(Manifest.MANIFEST_ID)
key = key_factory(repo, unhexlify(a['manifest']) if 'manifest' in a else mdata)
`;

/** What openKey needs of a repository on disk, without our own repository code. */
export class TestRepository implements KeyRepository {
  readonly home: Home;
  readonly canonicalPath: string;
  constructor(home: Home, path: string) {
    this.home = home;
    this.canonicalPath = path;
  }
  get #config(): Ini {
    return Ini.parse(readFileSync(join(this.canonicalPath, "config"), "utf8"));
  }
  get idHex(): string {
    return this.#config.get("repository", "id")!;
  }
  get id(): Uint8Array {
    return fromHex(this.idHex);
  }
  async loadKey(): Promise<Uint8Array> {
    return Buffer.from(this.#config.get("repository", "key")?.trim() ?? "");
  }
  async saveKey(blob: Uint8Array): Promise<void> {
    const script =
      "repo = Repository(a['path'], exclusive=True)\nwith repo: repo.save_key(a['blob'].encode())";
    this.home.python(script, { path: this.canonicalPath, blob: Buffer.from(blob).toString() });
  }
  async getFreeNonce(): Promise<number | undefined> {
    const { n } = this.home.python(
      "with Repository(a['path'], exclusive=True) as q: r['n'] = q.get_free_nonce()",
      {
        path: this.canonicalPath,
      },
    );
    return n === null ? undefined : Number(n);
  }
  async commitNonceReservation(next: number, start: number | undefined): Promise<void> {
    this.home.python(
      "with Repository(a['path'], exclusive=True) as q: q.commit_nonce_reservation(a['next'], a['start'])",
      {
        path: this.canonicalPath,
        next,
        start: start ?? null,
      },
    );
  }
  manifest(): Uint8Array {
    const { m } = this.home.python(
      "with Repository(a['path'], exclusive=True) as q: r['m'] = x(q.get(Manifest.MANIFEST_ID))",
      {
        path: this.canonicalPath,
      },
    );
    return fromHex(m!);
  }
}
