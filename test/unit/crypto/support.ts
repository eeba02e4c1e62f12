// A repository that has only what keys need, and an environment in a temporary directory.
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll } from "vitest";
import { localEnvironment } from "../../../src/cache/dirs.ts";
import { type Environment, type Prompter, silentPrompter } from "../../../src/crypto/environment.ts";
import type { KeyRepository } from "../../../src/crypto/keys.ts";

const made: string[] = [];
afterAll(() => {
  for (const dir of made) rmSync(dir, { recursive: true, force: true });
});

/** A directory that is removed after the tests of the file. */
export function temporaryDir(): string {
  const dir = mkdtempSync(join(tmpdir(), "alcove-unit-"));
  made.push(dir);
  return dir;
}

export class FakeRepository implements KeyRepository {
  readonly id: Uint8Array = randomBytes(32);
  readonly canonicalPath = "/backup/repo";
  key: Uint8Array = new Uint8Array(0);
  nonce: number | undefined;
  commits: [number, number | undefined][] = [];
  get idHex(): string {
    return Buffer.from(this.id).toString("hex");
  }
  async loadKey(): Promise<Uint8Array> {
    return this.key;
  }
  async saveKey(blob: Uint8Array): Promise<void> {
    this.key = blob;
  }
  async getFreeNonce(): Promise<number | undefined> {
    return this.nonce;
  }
  async commitNonceReservation(next: number, start: number | undefined): Promise<void> {
    if (start !== this.nonce) throw new Error("mismatched reservation");
    this.nonce = next;
    this.commits.push([next, start]);
  }
}

export function temporaryEnvironment(
  env: Record<string, string> = {},
  options: { passwords?: string[]; yes?: boolean; said?: string[] } = {},
): Environment & { dir: string } {
  const dir = temporaryDir();
  const all = { BORG_BASE_DIR: dir, PATH: process.env["PATH"], ...env };
  const prompter: Prompter = {
    ...silentPrompter(all),
    password: async () => options.passwords?.shift(),
    say: (text) => void options.said?.push(text),
    ...(options.yes === undefined ? {} : { yes: async () => options.yes! }),
  };
  return { ...localEnvironment(all, { prompter }), dir };
}
