// check of the archives part, reading only: the manifest and its authentication, every archive's metadata and items,
// that every chunk they need is there, and with verifyData that every object decrypts to what its id says. Borg's
// ArchiveChecker without repair; its messages are kept where programs look for them.
import { HashIndex } from "../core/hashindex.ts";
import type { Core } from "../core/index.ts";
import type { Environment } from "../crypto/environment.ts";
import { type Key, openKey } from "../crypto/keys.ts";
import { AlcoveError, IntegrityError, ObjectNotFound, UnsupportedPayloadError } from "../errors.ts";
import { equalBytes, fsEncode, toHex } from "../format/bytes.ts";
import type { ProgressSink, Repository } from "../repository/types.ts";
import { ITEM_KEYS } from "./constants.ts";
import type { Item } from "./item.ts";
import { ItemDecoder } from "./item-decoder.ts";
import { type ArchiveInfo, type Archives, MANIFEST_ID, Manifest } from "./manifest.ts";
import { decodeArchiveMetadata } from "./metadata.ts";
import type { Objects } from "./objects.ts";
import { makeObjects } from "./session.ts";

export interface ArchiveCheckOptions {
  core: Core;
  environment: Environment;
  verifyData?: boolean;
  /** The archives to check; all of them where absent, and then orphaned objects are looked for too. */
  select?: (archives: Archives) => ArchiveInfo[];
  log: (level: "debug" | "info" | "warning" | "error", message: string) => void;
  progress?: ProgressSink;
  signal?: AbortSignal;
}

const LIST_LIMIT = 100_000;
const SCAN_LIMIT = 100;
/** Objects tried for one that tells the kind of key. */
const KEY_ATTEMPTS = 999;

/** @returns whether everything is in order */
export async function checkArchives(repository: Repository, options: ArchiveCheckOptions): Promise<boolean> {
  const check = new ArchiveCheck(repository, options);
  const good = await check.run();
  if (good) options.log("info", "Archive consistency check complete, no problems found.");
  else options.log("error", "Archive consistency check complete, problems found.");
  return good;
}

class ArchiveCheck {
  readonly #repository: Repository;
  readonly #options: ArchiveCheckOptions;
  /** One word an object: how often it is referenced. */
  readonly #references = HashIndex.create(1);
  #good = true;

  constructor(repository: Repository, options: ArchiveCheckOptions) {
    this.#repository = repository;
    this.#options = options;
  }

  async run(): Promise<boolean> {
    const { log } = this.#options;
    log("info", "Starting archive consistency check...");
    await this.#listObjects();
    if (this.#references.size === 0) {
      this.#problem("Repository contains no apparent data at all, cannot continue check/repair.");
      return false;
    }
    const objects = await this.#objects();
    if (this.#options.verifyData) await this.#verifyData(objects);
    const manifest = await this.#manifest(objects);
    if (!manifest) return false;
    await this.#archives(manifest, objects);
    this.#orphans();
    return this.#good;
  }

  #problem(message: string): void {
    this.#good = false;
    this.#options.log("error", message);
  }

  async #listObjects(): Promise<void> {
    let marker: Uint8Array | undefined;
    for (;;) {
      const ids = await this.#repository.list(LIST_LIMIT, marker);
      if (ids.length === 0) return;
      marker = ids.at(-1);
      for (const id of ids) this.#references.insert(id, 0, 0);
    }
  }

  /** The key that the first sound object asks for: the manifest may be gone. */
  async #objects(): Promise<Objects> {
    const { core, environment } = this.#options;
    let slot = this.#references.next(-1);
    for (
      let attempt = 0;
      slot >= 0 && attempt < KEY_ATTEMPTS;
      attempt++, slot = this.#references.next(slot)
    ) {
      let key: Key;
      try {
        key = await openKey(
          this.#repository,
          await this.#repository.get(this.#references.key(slot)),
          environment,
          core,
        );
      } catch (e) {
        if (e instanceof UnsupportedPayloadError || e instanceof IntegrityError) continue;
        throw e;
      }
      return makeObjects(this.#repository, key, core);
    }
    throw new IntegrityError("No object tells which key the repository has.");
  }

  async #verifyData(objects: Objects): Promise<void> {
    const { log, progress, signal } = this.#options;
    log("info", "Starting cryptographic data integrity verification...");
    const total = this.#references.size;
    let seen = 0;
    let errors = 0;
    let marker: unknown;
    for (;;) {
      const { ids, marker: next } = await this.#repository.scan(SCAN_LIMIT, marker);
      if (ids.length === 0) break;
      marker = next;
      for (const id of ids) {
        signal?.throwIfAborted();
        progress?.({ msgid: "check.verify_data", current: seen, total });
        seen++;
        try {
          const blob = await this.#repository.get(id);
          if (equalBytes(id, MANIFEST_ID)) objects.unpackUnidentified(blob);
          else objects.unpack(id, blob);
        } catch (e) {
          if (!(e instanceof IntegrityError) && !(e instanceof ObjectNotFound)) throw e;
          errors++;
          this.#problem(`chunk ${toHex(id)}, integrity error: ${e.message}`);
        }
      }
    }
    progress?.({ msgid: "check.verify_data", current: total, total, finished: true });
    if (seen !== total) {
      log("error", "Repo/Chunks index object count vs. segment files object count mismatch.");
      log("error", `Repo/Chunks index: ${total} objects != segment files: ${seen} objects`);
    }
    log(
      errors ? "error" : "info",
      `Finished cryptographic data integrity verification, verified ${seen} chunks with ${errors} integrity errors.`,
    );
  }

  async #manifest(objects: Objects): Promise<Manifest | undefined> {
    if (this.#references.find(MANIFEST_ID) < 0) {
      this.#problem("Repository manifest not found!");
      return undefined;
    }
    try {
      return Manifest.load(objects, await this.#repository.get(MANIFEST_ID), ["check"]);
    } catch (e) {
      if (!(e instanceof IntegrityError)) throw e;
      this.#problem(`Repository manifest is corrupted: ${e.message}`);
      return undefined;
    }
  }

  async #archives(manifest: Manifest, objects: Objects): Promise<void> {
    const { log, progress, select, signal } = this.#options;
    const infos = select ? select(manifest.archives) : manifest.archives.select({ sortBy: ["timestamp"] });
    const total = infos.length;
    for (const [i, info] of infos.entries()) {
      signal?.throwIfAborted();
      progress?.({ msgid: "check.rebuild_refcounts", current: i, total });
      log("info", `Analyzing archive ${info.name} (${i + 1}/${total})`);
      await this.#archive(info, objects);
    }
    progress?.({ msgid: "check.rebuild_refcounts", current: total, total, finished: true });
  }

  async #archive(info: ArchiveInfo, objects: Objects): Promise<void> {
    const hex = toHex(info.id);
    if (!this.#reference(info.id)) {
      this.#problem(`Archive metadata block ${hex} is missing!`);
      return;
    }
    let data: Uint8Array;
    try {
      data = await objects.get(info.id);
    } catch (e) {
      if (!(e instanceof IntegrityError)) throw e;
      this.#problem(`Archive metadata block ${hex} is corrupted: ${e.message}`);
      return;
    }
    let items: readonly Uint8Array[];
    try {
      const { metadata } = objects.key.unpackAndVerifyArchive(data, { forceNotRequired: false });
      items = decodeArchiveMetadata(metadata).items;
    } catch (e) {
      if (!(e instanceof IntegrityError)) throw e;
      this.#problem(`Archive TAM authentication issue for archive ${info.name}: ${e.message}`);
      return;
    }
    const stream = new ItemStream();
    for (const [i, id] of items.entries()) {
      this.#options.signal?.throwIfAborted();
      const report = (what: string) =>
        this.#problem(`${what} [chunk: ${String(i).padStart(6, "0")}_${toHex(id)}]`);
      if (!this.#reference(id)) {
        report("item metadata chunk missing");
        stream.resync();
        continue;
      }
      try {
        for (const item of stream.items(await objects.get(id), report)) this.#item(info.name, item);
      } catch (e) {
        if (!(e instanceof AlcoveError)) throw e;
        report(e.message);
        stream.resync();
      }
    }
    if (stream.pending) this.#problem(`The item stream of archive ${info.name} ends inside an item.`);
  }

  #item(archive: string, item: Item): void {
    const { log } = this.#options;
    const healthy = item.chunks_healthy;
    if (!item.chunks) return;
    let offset = 0;
    let size = 0;
    item.chunks.forEach((current, i) => {
      const wanted = healthy?.[i] ?? current;
      const place = `(Byte ${offset}-${offset + wanted.size}, Chunk ${toHex(wanted.id)})`;
      const replaced = !equalBytes(current.id, wanted.id);
      const there = this.#reference(wanted.id);
      if (replaced) this.#reference(current.id);
      if (!there && replaced) {
        log(
          "info",
          `${archive}: ${item.path}: Previously missing file chunk is still missing ${place}. It has an all-zero replacement chunk already.`,
        );
      } else if (!there) {
        this.#problem(
          `${archive}: ${item.path}: New missing file chunk detected ${place}. Would replace it with all-zero chunk with --repair.`,
        );
      } else if (replaced) {
        log("info", `${archive}: ${item.path}: Missing file chunk would be healed with --repair! ${place}`);
      }
      offset += wanted.size;
      size += current.size;
    });
    if (item.size !== undefined && item.size !== size) {
      log(
        "warning",
        `${archive}: ${item.path}: size inconsistency detected: size ${item.size}, chunks size ${size}`,
      );
    }
  }

  /** Counts a reference; false if there is no such object. */
  #reference(id: Uint8Array): boolean {
    const slot = this.#references.find(id);
    if (slot < 0) return false;
    this.#references.setWord(slot, 0, 1);
    return true;
  }

  #orphans(): void {
    const { log, select } = this.#options;
    if (select) {
      log("info", "Orphaned objects check skipped (needs all archives checked).");
      return;
    }
    this.#reference(MANIFEST_ID);
    let orphans = 0;
    const references = this.#references;
    for (let slot = references.next(-1); slot >= 0; slot = references.next(slot)) {
      if (references.word(slot, 0) === 0) orphans++;
    }
    if (orphans) this.#problem(`${orphans} orphaned objects found!`);
  }
}

const wanted = new Set(["chunks", "chunks_healthy", "size"]);
const keys = ITEM_KEYS.map((k) => fsEncode(k));

/** Items of a stream of which parts may be missing or damaged: after those it looks for where an item begins. */
class ItemStream {
  #decoder = new ItemDecoder(wanted);
  #lost = false;

  resync(): void {
    this.#decoder = new ItemDecoder(wanted);
    this.#lost = true;
  }

  get pending(): boolean {
    return !this.#lost && this.#decoder.pending > 0;
  }

  *items(data: Uint8Array, report: (what: string) => void): Generator<Item> {
    let rest = data;
    if (this.#lost) {
      const start = itemStart(rest, 0);
      if (start < 0) return;
      rest = rest.subarray(start);
      this.#lost = false;
    }
    for (;;) {
      this.#decoder.feed(rest);
      let before = this.#decoder.pending;
      try {
        for (let item = this.#decoder.next(); item; item = this.#decoder.next()) {
          before = this.#decoder.pending;
          yield item;
        }
        return;
      } catch (e) {
        if (!(e instanceof IntegrityError)) throw e;
        report(`Unpacker crashed while unpacking item metadata, trying to resync... (${e.message})`);
        this.#decoder = new ItemDecoder(wanted);
        // Behind the place where the damaged item began.
        const from = Math.max(1, rest.length - before + 1);
        const start = itemStart(rest, from);
        if (start < 0) {
          this.#lost = true;
          return;
        }
        rest = rest.subarray(start);
      }
    }
  }
}

/** Where something begins that looks like an item: a map whose first key is one of an item's. */
function itemStart(data: Uint8Array, from: number): number {
  for (let at = from; at < data.length; at++) {
    const tag = data[at]!;
    const key = (tag & 0xf0) === 0x80 && tag > 0x80 ? at + 1 : tag === 0xde ? at + 3 : -1;
    if (key < 0) continue;
    const n = data[key]! & 0x1f;
    if (((data[key] ?? 0) & 0xe0) !== 0xa0) continue;
    const name = data.subarray(key + 1, key + 1 + n);
    if (keys.some((k) => k.length === n && equalBytes(k, name))) return at;
  }
  return -1;
}
