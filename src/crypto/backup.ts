// Copies of a repository's key for safe keeping: as text, as lines to be typed in again (each with a checksum), and as
// a page to print, with a QR code. And back. The key stays encrypted with its passphrase in all of them. Borg's
// crypto/keymanager.py; text and paper form are Borg's, so that either program reads the other's.

import { createHash } from "node:crypto";
import {
  KeyfileInvalid,
  NotABorgKeyFile,
  RepoIdMismatch,
  RepoKeyNotFound,
  UnencryptedRepo,
  UnsupportedPayloadError,
} from "../errors.ts";
import { concatBytes, fromHex, toHex } from "../format/bytes.ts";
import { decodeBlob, encodeBlob, KEY_FILE_ID, keyFileText } from "./blob.ts";
import type { Environment } from "./environment.ts";
import {
  existingOrNewKeyFile,
  findKeyFile,
  type KeyLocation,
  readKeyFile,
  writeKeyFile,
} from "./keyfiles.ts";
import { keyPage } from "./keypage.ts";
import type { KeyRepository } from "./keys.ts";
import { type KeyModeInfo, keyMode, keyModeOfType, TYPE_PASSPHRASE } from "./modes.ts";

/** Bytes a line of a paper key holds. */
const PAPER_LINE = 18;

type BackupRepository = Pick<KeyRepository, "id" | "idHex" | "canonicalPath" | "loadKey" | "saveKey">;

export class KeyBackup {
  readonly #repository: BackupRepository;
  readonly #environment: Environment;
  readonly #info: KeyModeInfo;

  /** manifest: the manifest object as stored; no key is needed. @throws UnencryptedRepo, UnsupportedPayloadError */
  constructor(repository: BackupRepository, manifest: Uint8Array, environment: Environment) {
    const type = manifest[0] === TYPE_PASSPHRASE ? keyMode("repokey").type : manifest[0]!;
    const info = keyModeOfType(type);
    if (info === undefined) throw new UnsupportedPayloadError(type);
    if (info.storage === "none") throw new UnencryptedRepo();
    this.#repository = repository;
    this.#environment = environment;
    this.#info = info;
  }

  /** `key export`. @throws RepoKeyNotFound, KeyfileNotFound */
  async text(): Promise<string> {
    return keyFileText(this.#repository.id, await this.#blob());
  }

  /** `key export --paper`. */
  async paper(): Promise<string> {
    const { canonicalPath, idHex } = this.#repository;
    const bytes = decodeBlob(await this.#blob());
    if (bytes === undefined) throw new KeyfileInvalid(canonicalPath, "the stored key");
    const count = Math.ceil(bytes.length / PAPER_LINE);
    const id = idHex.slice(0, 18);
    const whole = checksum(bytes, 12);
    const line = checksum(Buffer.from(`${count}/${id}/${whole}`, "latin1"), 2);
    let text = "To restore this key: borg key import --paper /path/to/repository\n\nBORG PAPER KEY v1\n";
    text += `id: ${count} / ${grouped(id)} / ${grouped(whole)} - ${line}\n`;
    for (let i = 1; i <= count; i++) {
      const part = bytes.subarray((i - 1) * PAPER_LINE, i * PAPER_LINE);
      text += `${String(i).padStart(2)}: ${grouped(toHex(part))} - ${lineChecksum(i, part)}\n`;
    }
    return text;
  }

  /** `key export --qr-html`: a page that needs nothing from elsewhere. */
  async html(): Promise<string> {
    return keyPage(await this.text(), await this.paper());
  }

  /** `key import`: text is a file's content, name only names it in errors.
   *  @throws NotABorgKeyFile, RepoIdMismatch, KeyfileInvalid; then nothing has changed */
  async importText(text: string, name: string, location: KeyLocation): Promise<void> {
    const first = `${KEY_FILE_ID} ${this.#repository.idHex}\n`;
    if (!text.startsWith(first))
      throw text.startsWith(KEY_FILE_ID) ? new RepoIdMismatch() : new NotABorgKeyFile();
    const blob = text.slice(first.length);
    if (decodeBlob(blob) === undefined) throw new KeyfileInvalid(this.#repository.canonicalPath, name);
    await this.#store(blob, location);
  }

  /** `key import --paper`: a person types the lines. False if they gave up. @throws RepoIdMismatch */
  async importPaper(location: KeyLocation): Promise<boolean> {
    for (;;) {
      const head = await this.#paperHead();
      if (head === undefined) return false;
      const bytes = await this.#paperLines(head.count);
      if (bytes === undefined) return false;
      if (checksum(bytes, 12) === head.whole) {
        await this.#store(`${encodeBlob(bytes)}\n`, location);
        return true;
      }
      this.#environment.prompter.say(
        "The overall checksum does not match: type it again, or an empty line to give up.",
      );
    }
  }

  async #paperHead(): Promise<{ count: number; whole: string } | undefined> {
    const { prompter } = this.#environment;
    for (;;) {
      const line = await this.#typed("id: ");
      if (line === undefined) return undefined;
      const [data, check, ...more] = line.split("-");
      const parts = data!.split("/");
      if (check === undefined || more.length > 0)
        prompter.say("There must be exactly one '-' in the line, please again.");
      else if (parts.length !== 3)
        prompter.say("There must be exactly two '/' in the id line, please again.");
      else if (checksum(Buffer.from(data!.toLowerCase(), "utf8"), 2) !== check.toLowerCase()) {
        prompter.say("The line's checksum does not match, please again.");
      } else if (!/^\d{1,4}$/.test(parts[0]!) || Number(parts[0]) === 0) {
        prompter.say("The line does not begin with the number of lines, please again.");
      } else {
        if (parts[1]!.toLowerCase() !== this.#repository.idHex.slice(0, 18)) throw new RepoIdMismatch();
        return { count: Number(parts[0]), whole: parts[2]!.toLowerCase() };
      }
    }
  }

  async #paperLines(count: number): Promise<Uint8Array | undefined> {
    const { prompter } = this.#environment;
    const parts: Uint8Array[] = [];
    while (parts.length < count) {
      const number = parts.length + 1;
      const line = await this.#typed(`${String(number).padStart(2)}: `);
      if (line === undefined) return undefined;
      const [data, check, ...more] = line.split("-");
      if (check === undefined || more.length > 0) {
        prompter.say("There must be exactly one '-' in the line, please again.");
        continue;
      }
      if (!/^([0-9a-fA-F]{2})*$/.test(data!)) {
        prompter.say("Only the characters 0-9, a-f and '-' are valid, please again.");
        continue;
      }
      const part = fromHex(data!);
      if (lineChecksum(number, part) === check.toLowerCase()) parts.push(part);
      else prompter.say(`The checksum of line ${number} does not match, please again.`);
    }
    return concatBytes(...parts);
  }

  /** A line without its spaces; undefined if the person gives up. */
  async #typed(prompt: string): Promise<string | undefined> {
    const { prompter } = this.#environment;
    for (;;) {
      const line = (await prompter.line(prompt))?.replaceAll(/\s/g, "");
      if (line !== "") return line;
      if (await prompter.yes({ msgid: "key.import.abort", message: "Abort import? [yN]:" })) return undefined;
    }
  }

  async #blob(): Promise<string> {
    const { canonicalPath } = this.#repository;
    if (this.#info.storage === "keyfile") {
      return readKeyFile(
        this.#environment,
        findKeyFile(this.#environment, this.#repository),
        this.#repository,
      );
    }
    const text = Buffer.from(await this.#repository.loadKey()).toString("latin1");
    if (text === "") throw new RepoKeyNotFound(canonicalPath);
    return text;
  }

  async #store(blob: string, location: KeyLocation): Promise<void> {
    if (this.#info.storage === "keyfile") {
      const path = existingOrNewKeyFile(this.#environment, this.#repository, location);
      writeKeyFile(this.#environment, path, this.#repository.id, blob, false);
    } else await this.#repository.saveKey(Buffer.from(blob, "latin1"));
  }
}

function checksum(data: Uint8Array, digits: number): string {
  return createHash("sha256").update(data).digest("hex").slice(0, digits);
}

function lineChecksum(number: number, data: Uint8Array): string {
  return checksum(Buffer.concat([Buffer.from([number >> 8, number & 0xff]), data]), 2);
}

/** Groups of six characters. */
function grouped(text: string): string {
  return (text.match(/.{1,6}/g) ?? []).join(" ");
}
