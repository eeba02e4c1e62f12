// Rows of what a writer of Borg's format must never get wrong that no other test is about: feature flags of newer programs,
// authentication before decryption and in constant time, secrets in nobody's output, locks of reused process ids.
import { spawn, spawnSync } from "node:child_process";
import type * as nodeCrypto from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, it, vi } from "vitest";
import { MANIFEST_ID, Manifest } from "../../src/archive/manifest.ts";
import { openManifest } from "../../src/archive/session.ts";
import type { KeyMode } from "../../src/crypto/modes.ts";
import { IntegrityError, LockTimeout } from "../../src/errors.ts";
import { hostId } from "../../src/runtime/hostid.ts";
import { Lock } from "../../src/storage/lock.ts";
import { Sandbox } from "../support/programs.ts";
import { BASE, emptyDisk, worldOn } from "./life.ts";
import { MemoryStorage } from "./memory-storage.ts";
import { World } from "./world.ts";

const calls: string[] = [];
vi.mock("node:crypto", async (original) => {
  const crypto = await original<typeof nodeCrypto>();
  const watched = <F extends (...args: never[]) => unknown>(name: string, f: F): F =>
    ((...args: never[]) => {
      calls.push(name);
      return f(...args);
    }) as F;
  return {
    ...crypto,
    timingSafeEqual: watched("timingSafeEqual", crypto.timingSafeEqual),
    createCipheriv: watched("cipher", crypto.createCipheriv as never),
    createDecipheriv: watched("cipher", crypto.createDecipheriv as never),
  };
});

const box = new Sandbox();
afterAll(() => box.remove());

describe("feature flags", () => {
  /** A repository whose manifest demands a feature of the future for an operation. */
  async function demanding(name: string, operation: string): Promise<Record<string, string>> {
    const base = box.path(name);
    mkdirSync(base);
    const world = new World(base, "secret");
    await world.open(async () => {}, true);
    await world.init("repokey");
    mkdirSync(join(base, "src"));
    await world.create("old", [join(base, "src")]);
    await world.open(async ({ repository, environment }) => {
      const manifest = await openManifest(repository, environment, { operations: ["write"] });
      const flags = new Map([[operation, new Map([["mandatory", ["time-travel"]]])]]);
      manifest.config.set("feature_flags", flags);
      await manifest.write();
      await repository.commit({});
    });
    return world.env;
  }

  it.each([
    ["read", ["list", "info"], "check"],
    ["write", ["create"], "list"],
    ["delete", ["delete"], "create"],
    ["check", ["check"], "create"],
  ])("of the future, mandatory for %s", async (operation, refused, allowed) => {
    const env = await demanding(`feature-${operation}`, operation);
    const repo = box.path(`feature-${operation}`, "repo");
    const all: Record<string, string[]> = {
      list: ["list", `${repo}::old`],
      info: ["info", `${repo}::old`],
      create: ["create", `${repo}::{now}-{pid}`, join(repo, "README")],
      check: ["check", repo],
      delete: ["delete", "--dry-run", `${repo}::old`],
    };
    // Those that are refused, and one that is not.
    const commands = Object.fromEntries(
      Object.entries(all).filter(([name]) => refused.includes(name) || name === allowed),
    );
    for (const [command, args] of Object.entries(commands)) {
      const ours = box.alcove(["--log-json", ...args], { env });
      const borg = box.borg(["--log-json", ...args], { env });
      const told = (output: string) => output.includes("time-travel") || output.includes("MandatoryFeature");
      expect(ours.code === 0, `${command}: ${ours.stderr}; borg ${borg.code}`).toBe(borg.code === 0);
      if (!refused.includes(command)) continue;
      expect(ours.code, `${command}: ${ours.stderr}`).toBe(2);
      expect(told(ours.stderr), ours.stderr).toBe(true);
      expect(told(borg.stderr), borg.stderr).toBe(true);
    }
  });
});

it.each<KeyMode>(["repokey", "keyfile-blake2"])(
  "%s: the MAC comes before the decryption, the id after it, both in constant time",
  async (mode) => {
    const world = worldOn(emptyDisk());
    await world.make(1_000_000, 100);
    await world.init(mode);
    await world.open(async ({ repository, environment }) => {
      const { objects } = await openManifest(repository, environment, { operations: ["read"] });
      const plain = new Uint8Array(100).fill(7);
      const id = objects.id(plain);
      const sealed = (await objects.pack(plain)).slice();
      calls.length = 0;
      expect(objects.unpack(id, sealed)).toEqual(plain);
      expect(calls).toEqual(["timingSafeEqual", "cipher", "timingSafeEqual"]);
      for (let at = 1; at < sealed.length; at++) {
        const bad = sealed.slice();
        bad[at]! ^= 1;
        calls.length = 0;
        expect(() => objects.unpack(id, bad)).toThrow(IntegrityError);
        // Nothing that is not authentic goes through the cipher.
        expect(calls, `byte ${at}`).toEqual(["timingSafeEqual"]);
      }
      // Authentic, but another object: its id tells.
      calls.length = 0;
      expect(() => objects.unpack(objects.id(new Uint8Array(3)), sealed)).toThrow(IntegrityError);
      expect(calls).toEqual(["timingSafeEqual", "cipher", "timingSafeEqual"]);
    });
  },
);

it("secrets are in no output, no file that all may read, and no process's arguments", () => {
  const passphrase = "CANARY-in-the-mine-4711";
  const env = { BORG_PASSPHRASE: passphrase, BORG_DISPLAY_PASSPHRASE: "no" };
  mkdirSync(box.path("canary"));
  writeFileSync(box.path("canary", "file"), "x");
  let output = "";
  const run = (...args: string[]) => {
    const r = box.alcove(args, { env });
    output += r.stdout + r.stderr;
    return r;
  };
  for (const [mode, repo] of [
    ["keyfile", "secrets-k"],
    ["repokey-blake2", "secrets-r"],
  ] as const) {
    box.ok(run("--debug", "init", "-e", mode, repo));
    box.ok(run("--debug", "--log-json", "--show-rc", "create", "--json", `${repo}::a`, "canary"));
    box.ok(run("--debug", "list", "--json", repo));
    box.ok(run("--debug", "info", "--json", `${repo}::a`));
    box.ok(run("--debug", "check", "--verify-data", repo));
    box.ok(run("--debug", "config", "--list", repo));
    // Errors as well: a wrong passphrase's, and those of a damaged key.
    output += box.alcove(["--debug", "list", repo], {
      env: { BORG_PASSPHRASE: `${passphrase}-wrong` },
    }).stderr;
    expect(run("--debug", "list", `${repo}::none`).code).toBe(2);
  }
  // --debug shows what the environment is; not this part of it.
  expect(output).not.toContain("CANARY");
  // The id key and others, by borg's own reading of the key file.
  const script = `
import sys
from borg.logger import setup_logging
setup_logging()
from borg.repository import Repository
from borg.crypto.key import key_factory, identify_key
from borg.helpers import Manifest
for path in sys.argv[1:]:
    with Repository(path, exclusive=False) as r:
        m, key = Manifest.load(r, Manifest.NO_OPERATION_CHECK)
        for name in ('enc_key', 'enc_hmac_key', 'id_key'):
            print(getattr(key, name).hex())
`;
  const found = box.run(["/usr/bin/python3", "-c", script, box.path("secrets-k"), box.path("secrets-r")], {
    env,
  });
  const keys = box.ok(found).stdout.trim().split("\n");
  expect(keys.length).toBe(6);
  for (const hex of keys) {
    expect(hex.length).toBeGreaterThanOrEqual(64);
    for (const text of [hex, Buffer.from(hex, "hex").toString("base64").slice(0, 40)])
      expect(output).not.toContain(text);
  }
  const dirs = [join(".config", "borg", "keys"), join(".config", "borg", "security")].map((d) =>
    box.path("base", d),
  );
  for (const dir of dirs) {
    expect(statSync(dir).mode & 0o077, dir).toBe(0);
    for (const name of readdirSync(dir)) expect(statSync(join(dir, name)).mode & 0o077, name).toBe(0);
  }
  expect(statSync(box.path("secrets-r", "config")).mode & 0o077).toBe(0);
});

it("a process's arguments never show the passphrase", async () => {
  // While it runs: what `ps` shows of it and of the command it gets the passphrase from.
  writeFileSync(box.path("secret-file"), "CANARY-4712\n");
  const repo = "passcommand";
  const env = {
    BORG_PASSPHRASE: undefined,
    BORG_PASSCOMMAND: `sh -c "sleep 0.3; cat ${box.path("secret-file")}"`,
  };
  const child = spawn(
    "node",
    [join(import.meta.dirname, "../../dist/alcove.mjs"), "init", "-e", "repokey", repo],
    {
      cwd: box.dir,
      env: { ...box.env, ...env } as NodeJS.ProcessEnv,
      stdio: "ignore",
    },
  );
  const seen: string[] = [];
  const ended = new Promise<number | null>((resolve) => child.on("exit", resolve));
  let running = true;
  void ended.then(() => {
    running = false;
  });
  while (running) {
    for (const pid of readdirSync("/proc").filter((n) => /^\d+$/.test(n))) {
      try {
        seen.push(readFileSync(`/proc/${pid}/cmdline`, "latin1"));
      } catch {
        // It has ended meanwhile.
      }
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  expect(await ended).toBe(0);
  expect(seen.some((line) => line.includes("init"))).toBe(true);
  expect(seen.filter((line) => line.includes("CANARY-4712"))).toEqual([]);
});

describe("process ids", () => {
  it("a lock is not taken over because its process id is in use again", async () => {
    // Another program has the number now; whether it is the lock's owner nobody can know.
    const other = spawn("sleep", ["60"]);
    try {
      const disk = emptyDisk();
      const storage = new MemoryStorage(disk, BASE);
      const holder = new Lock(storage, "lock", { exclusive: true, id: [hostId(), other.pid!, 0] });
      await holder.acquire();
      const ours = new Lock(storage, "lock", { exclusive: true, timeout: 0 });
      await expect(ours.acquire()).rejects.toBeInstanceOf(LockTimeout);
      await expect(ours.acquire()).rejects.toThrow(new RegExp(`process ${other.pid}.*since \\d{4}-`, "s"));
      other.kill("SIGKILL");
      await new Promise((resolve) => other.on("exit", resolve));
      await ours.acquire();
      ours.release();
    } finally {
      other.kill("SIGKILL");
    }
  });

  it("the same number on another host is somebody else", async () => {
    const storage = new MemoryStorage(emptyDisk(), BASE);
    const gone = spawnSync("true").pid;
    const elsewhere = new Lock(storage, "lock", { exclusive: true, id: [`${hostId()}x`, gone, 0] });
    await elsewhere.acquire();
    const ours = new Lock(storage, "lock", { exclusive: true, timeout: 0 });
    await expect(ours.acquire()).rejects.toBeInstanceOf(LockTimeout);
    ours.break();
    await ours.acquire();
    ours.release();
  });
});

it("a manifest without its authentication is refused, and an older one is a replay", async () => {
  const disk = emptyDisk();
  const world = worldOn(disk);
  await world.make(1_000_000, 100);
  await world.init("repokey");
  const early = disk.clone();
  mkdirSync(box.path("replayed"));
  await world.create("later", [box.path("replayed")]);
  // The repository of before, the client of now.
  for (const path of [...disk.entries.keys()])
    if (path.startsWith(`${BASE}/repo/`)) disk.entries.delete(path);
  for (const [path, entry] of early.entries)
    if (path.startsWith(`${BASE}/repo/`)) disk.entries.set(path, entry === "dir" ? entry : { ...entry });
  await expect(worldOn(disk).archives()).rejects.toThrow(/attack/i);
  await world.open(async ({ repository, environment }) => {
    const manifest = await openManifest(repository, environment, { operations: ["read"] });
    const { objects } = manifest;
    const plain = objects.unpackUnidentified(await repository.get(MANIFEST_ID));
    const at = Buffer.from(plain).indexOf("hmac");
    const forged = Uint8Array.from(plain);
    forged[at + 8]! ^= 1;
    const sealed = (await objects.pack(forged)).slice();
    expect(() => Manifest.load(objects, sealed, ["read"])).toThrow(/authenti|TAM/i);
  });
});
