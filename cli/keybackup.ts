// Copies of a key outside of its repository: the text of a key file, the lines of a paper key with their check
// digits (Borg's "BORG PAPER KEY v1", crypto/keymanager.py), and both ways of getting a key blob in and out.
import { createHash } from "node:crypto";
import { decodeBlob, encodeBlob, KEY_FILE_ID, keyFileText } from "../src/crypto/blob.ts";
import type { Environment } from "../src/crypto/environment.ts";
import { existingOrNewKeyFile, findKeyFile, readKeyFile, writeKeyFile } from "../src/crypto/keyfiles.ts";
import { type KeyModeInfo, keyMode, keyModeOfType, TYPE_PASSPHRASE } from "../src/crypto/modes.ts";
import {
  KeyfileInvalid,
  NoManifestError,
  NotABorgKeyFile,
  ObjectNotFound,
  RepoIdMismatch,
  RepoKeyNotFound,
  UnencryptedRepo,
  UnsupportedPayloadError,
} from "../src/errors.ts";
import { toHex } from "../src/format/bytes.ts";
import type { Location } from "../src/format/location.ts";
import type { Repository } from "../src/repository/types.ts";

const MANIFEST = new Uint8Array(32);

/** Which kind of key a repository has. @throws NoManifestError, UnencryptedRepo, UnsupportedPayloadError */
export async function storedKeyMode(repository: Repository): Promise<KeyModeInfo> {
  let type: number | undefined;
  try {
    type = (await repository.get(MANIFEST))[0];
  } catch (e) {
    if (e instanceof ObjectNotFound) throw new NoManifestError();
    throw e;
  }
  const mode = type === TYPE_PASSPHRASE ? keyMode("repokey") : keyModeOfType(type ?? -1);
  if (!mode) throw new UnsupportedPayloadError(type ?? "none");
  if (mode.storage === "none") throw new UnencryptedRepo();
  return mode;
}

/** The key blob (base64 text) of a repository, wherever it is stored. */
export async function loadKeyBlob(repository: Repository, environment: Environment): Promise<string> {
  const mode = await storedKeyMode(repository);
  if (mode.storage === "keyfile")
    return readKeyFile(environment, findKeyFile(environment, repository), repository);
  const text = Buffer.from(await repository.loadKey()).toString("latin1");
  if (!text) throw new RepoKeyNotFound(repository.canonicalPath);
  return text;
}

export async function storeKeyBlob(
  repository: Repository,
  environment: Environment,
  location: Location,
  blob: string,
): Promise<void> {
  const mode = await storedKeyMode(repository);
  if (mode.storage === "keyfile") {
    const target = existingOrNewKeyFile(environment, repository, location);
    writeKeyFile(environment, target, repository.id, blob, false);
  } else await repository.saveKey(Buffer.from(blob, "latin1"));
}

export { keyFileText };

/** The blob in the text of an exported key. @throws NotABorgKeyFile, RepoIdMismatch, KeyfileInvalid */
export function blobFromExport(text: string, repositoryId: Uint8Array, source: string): string {
  if (!text.startsWith(KEY_FILE_ID)) throw new NotABorgKeyFile();
  const first = `${KEY_FILE_ID} ${toHex(repositoryId)}\n`;
  if (!text.startsWith(first)) throw new RepoIdMismatch();
  const blob = text.slice(first.length);
  if (!decodeBlob(blob)) throw new KeyfileInvalid(toHex(repositoryId), source);
  return blob;
}

const digest = (data: Uint8Array | string, digits: number) =>
  createHash("sha256").update(data).digest("hex").slice(0, digits);

/** In groups of six. */
const grouped = (text: string) => (text.match(/.{1,6}/g) ?? []).join(" ");

const BYTES_PER_LINE = 18;

function lineDigest(index: number, bytes: Uint8Array): string {
  return digest(Buffer.concat([Buffer.from([index >> 8, index & 255]), bytes]), 2);
}

/** The paper form of a key blob. */
export function paperKey(repositoryId: Uint8Array, blob: string): string {
  const binary = decodeBlob(blob) ?? new Uint8Array(0);
  const lines = Math.ceil(binary.length / BYTES_PER_LINE);
  const id = toHex(repositoryId).slice(0, 18);
  const sum = digest(binary, 12);
  let out = "To restore key use borg key import --paper /path/to/repo\n\nBORG PAPER KEY v1\n";
  out += `id: ${lines} / ${grouped(id)} / ${grouped(sum)} - ${digest(`${lines}/${id}/${sum}`, 2)}\n`;
  for (let i = 0; i < lines; i++) {
    const part = binary.subarray(i * BYTES_PER_LINE, (i + 1) * BYTES_PER_LINE);
    out += `${String(i + 1).padStart(2)}: ${grouped(toHex(part))} - ${lineDigest(i + 1, part)}\n`;
  }
  return out;
}

/** What typing in a paper key needs of its surroundings. */
export interface PaperDialog {
  /** A line for the prompt; undefined at the end of input. */
  line(prompt: string): Promise<string | undefined>;
  say(text: string): void;
  abort(): Promise<boolean>;
}

/** Reads a paper key line by line, each checked as it is typed. @returns the blob; undefined if it was given up
 *  @throws RepoIdMismatch */
export async function typeInPaperKey(
  repositoryId: Uint8Array,
  dialog: PaperDialog,
): Promise<string | undefined> {
  for (;;) {
    const head = await enter(dialog, "id: ", (text) => {
      const [data, check, ...more] = text.split("-");
      if (check === undefined || more.length) return "Each line must contain exactly one '-': again, please.";
      const parts = data!.split("/");
      if (parts.length !== 3) return "The id line must contain exactly two '/': again, please.";
      if (digest(data!.toLowerCase(), 2) !== check)
        return "The line's check digits do not match: the same line again, please.";
      if (!/^\d+$/.test(parts[0]!)) return "The number of lines is no number: again, please.";
      return { value: { lines: Number(parts[0]), id: parts[1]!, sum: parts[2]! } };
    });
    if (!head) return undefined;
    if (head.id !== toHex(repositoryId).slice(0, 18)) throw new RepoIdMismatch();
    const pieces: Uint8Array[] = [];
    for (let i = 1; i <= head.lines; i++) {
      const piece = await enter(dialog, `${String(i).padStart(2)}: `, (text) => {
        const [data, check, ...more] = text.split("-");
        if (check === undefined || more.length)
          return "Each line must contain exactly one '-': again, please.";
        if (!/^([0-9a-fA-F]{2})*$/.test(data!))
          return "Only the digits 0-9 and a-f and '-' may occur: again, please.";
        const bytes = Buffer.from(data!, "hex");
        if (lineDigest(i, bytes) !== check)
          return `The line's check digits do not match: line ${i} again, please.`;
        return { value: bytes };
      });
      if (!piece) return undefined;
      pieces.push(piece);
    }
    const binary = Buffer.concat(pieces);
    if (digest(binary, 12) === head.sum) return `${encodeBlob(binary)}\n`;
    dialog.say(
      "The check digits of the whole do not match: from the beginning, please, or an empty line to give up.",
    );
  }
}

async function enter<T>(
  dialog: PaperDialog,
  prompt: string,
  take: (text: string) => string | { value: T },
): Promise<T | undefined> {
  for (;;) {
    const text = await dialog.line(prompt);
    if (text === undefined) return undefined;
    const compact = text.replaceAll(" ", "");
    if (compact === "" && (await dialog.abort())) return undefined;
    const result = take(compact);
    if (typeof result === "object") return result.value;
    dialog.say(result);
  }
}
