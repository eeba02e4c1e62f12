// check of the archives part: the manifest and its authentication, every archive's metadata and items, that every
// chunk they need is there, that no object is left over, and with verifyData that every object is what its id says.
// With repair, what is lost is cut out or replaced and the rest saved, in one transaction: Borg's ArchiveChecker.
// Archives that are intact are not written again; Borg writes them all, to the same bytes.

import { SecurityManager } from "../cache/security.ts";
import type { Core } from "../core/index.ts";
import type { Environment } from "../crypto/environment.ts";
import { Key } from "../crypto/keys.ts";
import { CancelledByUser, IntegrityError } from "../errors.ts";
import { toHex } from "../format/bytes.ts";
import type { ProgressSink, Repository } from "../repository/types.ts";
import { ArchiveCheck } from "./check-archive.ts";
import type { CheckLog } from "./check-files.ts";
import type { JointFindings } from "./check-joint.ts";
import { openCheckedObjects } from "./check-key.ts";
import { rebuildManifest } from "./check-manifest.ts";
import { CheckObjects } from "./check-objects.ts";
import { verifyObjects } from "./check-verify.ts";
import { type ArchiveInfo, type Archives, MANIFEST_ID, Manifest } from "./manifest.ts";
import type { Objects } from "./objects.ts";
import { makeObjects } from "./session.ts";

export interface ArchiveCheckOptions {
  core: Core;
  environment: Environment;
  verifyData?: boolean;
  /** Worker threads for verifyData; none where absent. */
  workers?: number;
  /** What a check of the repository has found out on its way, under the same lock. */
  findings?: JointFindings | undefined;
  /** The archives to check; all of them where absent, and then orphaned objects are looked for too.
   *  Undefined as answer: what was asked for is not there, which is an error. */
  select?: (archives: Archives) => ArchiveInfo[] | undefined;
  /** Changes the repository. Its exclusive lock must be held. */
  repair?: boolean;
  saveSpace?: boolean;
  /**
   * Asked before a repair deletes archives that are there but not authentic: an attack, or made by a Borg that did
   * not authenticate them yet. Nothing at all is changed without consent. Where absent, they are deleted as by Borg.
   */
  confirmDeletion?: (archives: readonly string[]) => Promise<boolean>;
  log: CheckLog;
  progress?: ProgressSink;
  signal?: AbortSignal;
}

/** @returns whether everything is in order, or was repaired. @throws CancelledByUser, and errors of keys */
export async function checkArchives(repository: Repository, options: ArchiveCheckOptions): Promise<boolean> {
  const check = new Check(repository, options);
  const good = await check.run();
  if (good) options.log("info", "Archive consistency check complete, no problems found.");
  else options.log("error", "Archive consistency check complete, problems found.");
  return good || (check.repaired && options.repair === true);
}

class Check {
  /** Whether a repair came to its end. */
  repaired = false;
  readonly #repository: Repository;
  readonly #options: ArchiveCheckOptions;
  readonly #repair: boolean;
  readonly #dropped: string[] = [];
  #good = true;

  constructor(repository: Repository, options: ArchiveCheckOptions) {
    this.#repository = repository;
    this.#options = options;
    this.#repair = options.repair ?? false;
  }

  async run(): Promise<boolean> {
    this.#options.log("info", "Starting archive consistency check...");
    const known = await CheckObjects.load(this.#repository);
    if (known.size === 0) {
      this.#problem("The repository contains no objects at all: there is nothing to check or to repair.");
      return false;
    }
    const objects = await this.#objects(known);
    if (this.#options.verifyData) await this.#verifyData(objects, known);
    const manifest = (await this.#manifest(objects, known)) ?? (await this.#rebuilt(objects, known));
    // Neither used nor garbage: it is written anew by every repair.
    const complete = await this.#archives(manifest, known);
    if (complete) await this.#orphans(known);
    if (this.#repair) await this.#finish(manifest);
    return this.#good;
  }

  #problem(message: string): void {
    this.#good = false;
    this.#options.log("error", message);
  }

  #progress(msgid: string, total: number): { show: (current: number) => void; finish: () => void } {
    const { progress } = this.#options;
    return {
      show: (current) => progress?.({ msgid, current, total }),
      finish: () => progress?.({ msgid, current: total, total, finished: true }),
    };
  }

  /** The key is asked for once. */
  async #objects(known: CheckObjects): Promise<Objects> {
    const { core, environment, findings } = this.#options;
    if (findings?.failure) throw findings.failure;
    return findings?.objects ?? openCheckedObjects(this.#repository, known.ids(), environment, core);
  }

  async #verifyData(objects: Objects, known: CheckObjects): Promise<void> {
    const { log, workers = 0, signal } = this.#options;
    log("info", "Starting cryptographic data integrity verification...");
    const total = known.size;
    const progress = this.#progress("check.verify_data", total);
    const verified =
      this.#options.findings?.verified ??
      (await verifyObjects(objects, { workers, progress: progress.show, signal }));
    progress.finish();
    const { defects } = verified;
    for (const { id, message } of defects) this.#problem(`chunk ${toHex(id)}, integrity error: ${message}`);
    if (verified.objects !== total) {
      this.#problem(`The index has ${total} objects, but ${verified.objects} were found in the segments.`);
    }
    const stored = defects.filter((d) => d.stored);
    if (stored.length > 0) {
      if (this.#repair) {
        log(
          "warning",
          "Defect chunks are deleted now. Files that need them are repaired below, and heal if the chunks come back.",
        );
        for (const { id } of stored) await this.#deleteDefect(objects, known, id);
      } else {
        log(
          "warning",
          "--repair would delete the defect chunks and repair the files that need them; these heal if the chunks come back.",
        );
        for (const { id } of stored) log("debug", `chunk ${toHex(id)} is defect.`);
      }
    }
    log(
      defects.length ? "error" : "info",
      `Finished cryptographic data integrity verification, verified ${verified.objects} chunks with ${defects.length} integrity errors.`,
    );
  }

  /** A second read decides: what failed may have been the memory, the cable or the network. */
  async #deleteDefect(objects: Objects, known: CheckObjects, id: Uint8Array): Promise<void> {
    const { log } = this.#options;
    try {
      const blob = await this.#repository.get(id);
      if (id.every((byte) => byte === 0)) objects.unpackUnidentified(blob);
      else objects.unpack(id, blob);
    } catch (e) {
      if (!(e instanceof IntegrityError)) throw e;
      known.forget(id);
      await this.#delete(id);
      log("debug", `chunk ${toHex(id)} deleted.`);
      return;
    }
    log("warning", `chunk ${toHex(id)} not deleted: it could be read at the second time.`);
  }

  async #delete(id: Uint8Array): Promise<void> {
    try {
      // A deletion that fails would end the transaction: first see whether there is an entry to be accounted for.
      (this.#repository as { locate?: (id: Uint8Array) => unknown }).locate?.(id);
      await this.#repository.delete(id);
    } catch (e) {
      // Its entry in the segment is so damaged that it cannot be accounted for: only the repository's part of a
      // check --repair can take it out of the index. The archives are repaired nevertheless.
      if (!(e instanceof IntegrityError)) throw e;
      this.#options.log("warning", `chunk ${toHex(id)} is left to a repair of the repository: ${e.message}`);
    }
  }

  async #manifest(objects: Objects, known: CheckObjects): Promise<Manifest | undefined> {
    if (!known.has(MANIFEST_ID)) {
      this.#problem("Repository manifest not found!");
      return undefined;
    }
    try {
      const manifest = Manifest.load(objects, await this.#repository.get(MANIFEST_ID), ["check"]);
      return this.#isReplay(manifest) && this.#repair ? undefined : manifest;
    } catch (e) {
      if (!(e instanceof IntegrityError)) throw e;
      this.#problem(`Repository manifest is corrupted: ${e.message}`);
      known.forget(MANIFEST_ID);
      return undefined;
    }
  }

  /**
   * A manifest that is valid, but older than one that was seen from here: archives made since would be taken for
   * orphans, and a repair would delete them. What is lost with a manifest is found in the objects, so a repair does not
   * believe it. The verdict is Borg's, which does not look.
   */
  #isReplay({ timestamp }: Manifest): boolean {
    const { environment, log } = this.#options;
    const seen = new SecurityManager(this.#repository, environment).manifestTimestamp();
    if (seen === undefined || timestamp === undefined || timestamp >= seen) return false;
    log(
      "warning",
      `The manifest is older (${timestamp}) than one seen from here before (${seen}): the repository was set back, or somebody has put an old manifest in place of the new one. ${
        this.#repair
          ? "It is made anew from the objects, so that no newer archive is lost."
          : "--repair would make it anew from the objects, so that no newer archive is lost."
      }`,
    );
    return true;
  }

  async #rebuilt(objects: Objects, known: CheckObjects): Promise<Manifest> {
    const { log, core, environment } = this.#options;
    log("info", "Rebuilding the manifest from all objects, this may take a while...");
    const progress = this.#progress("check.rebuild_manifest", known.size);
    const rebuilt = await rebuildManifest(objects, known, log, (done) => {
      this.#options.signal?.throwIfAborted();
      progress.show(done);
    });
    progress.finish();
    if (rebuilt.dropped.length || rebuilt.damaged) this.#good = false;
    this.#dropped.push(...rebuilt.dropped);
    log("info", "The manifest is rebuilt.");
    if (!this.#repair) log("warning", "The rebuilt manifest is stored by --repair only!");
    if (!this.#repair || rebuilt.nextNonce === 0) return rebuilt.manifest;
    // The lost manifest would have told which counters are free, and so do all objects together.
    const { material, tamRequired, logicallyEncrypted, target } = objects.key;
    const key = new Key(this.#repository, environment, material, {
      nextNonce: rebuilt.nextNonce,
      tamRequired,
      logicallyEncrypted,
      core,
      ...(target === undefined ? {} : { target }),
    });
    const manifest = new Manifest(await makeObjects(this.#repository, key, core));
    for (const { name, id, time } of rebuilt.manifest.archives.values())
      manifest.archives.set(name, id, time);
    return manifest;
  }

  /** @returns false if the archives asked for are not there */
  async #archives(manifest: Manifest, known: CheckObjects): Promise<boolean> {
    const { log, select, signal } = this.#options;
    const infos = select ? select(manifest.archives) : manifest.archives.select({ sortBy: ["timestamp"] });
    if (!infos) {
      this.#good = false;
      return false;
    }
    const check = new ArchiveCheck(manifest, known, {
      repair: this.#repair,
      log,
      problem: (message) => this.#problem(message),
      signal,
    });
    const progress = this.#progress("check.rebuild_refcounts", infos.length);
    for (const [i, info] of infos.entries()) {
      signal?.throwIfAborted();
      progress.show(i);
      log("info", `Analyzing archive ${info.name} (${i + 1}/${infos.length})`);
      await check.run(info);
    }
    progress.finish();
    this.#dropped.push(...check.notAuthentic);
    return true;
  }

  async #orphans(known: CheckObjects): Promise<void> {
    const { log, select } = this.#options;
    if (select) {
      log("info", "Orphaned objects check skipped (needs all archives checked).");
      return;
    }
    const { orphans, superseded } = known.garbage();
    if (orphans.length) this.#problem(`${orphans.length} orphaned objects found!`);
    if (!this.#repair || orphans.length + superseded.length === 0) return;
    await this.#consent();
    log("info", `Deleting ${orphans.length} orphaned and ${superseded.length} superseded objects...`);
    for (const id of orphans) await this.#delete(id);
    for (const id of superseded) await this.#delete(id);
  }

  /** Before archives are given up that could be read. */
  async #consent(): Promise<void> {
    const { confirmDeletion } = this.#options;
    const dropped = this.#dropped.splice(0);
    if (dropped.length === 0 || !confirmDeletion) return;
    if (!(await confirmDeletion(dropped))) throw new CancelledByUser();
  }

  async #finish(manifest: Manifest): Promise<void> {
    const { log, saveSpace = false } = this.#options;
    await this.#consent();
    log("info", "Writing the manifest.");
    await manifest.write();
    log("info", "Committing.");
    await this.#repository.commit({ compact: false, saveSpace });
    this.repaired = true;
  }
}
