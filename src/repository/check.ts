// check and check --repair of the repository part (borg's Repository.check): every entry of every segment is read and
// its CRC verified, index and hints are derived anew from the segments, and the index on the disk is compared with them.
// Repair salvages what it can of damaged segments and writes the derived index. Verdicts are Borg's.
import { HashIndex } from "../core/hashindex.ts";
import { AlcoveError, IntegrityError } from "../errors.ts";
import { toHex } from "../format/bytes.ts";
import { hasVerifiedIndex, indexTransaction, writeAuxiliary } from "./auxiliary.ts";
import { type EntryArrays, EntryList, replayEntries } from "./check-entries.ts";
import { deleteUncommitted, lastCommitted } from "./committed.ts";
import type { RepositoryConfig } from "./config.ts";
import { breathe, type Log } from "./constants.ts";
import { emptyHints } from "./hints.ts";
import { segmentEntries } from "./reader.ts";
import { recoverSegment } from "./recover.ts";
import { type LogState, SegmentReplay } from "./replay.ts";
import type { TransactionLog } from "./transaction.ts";
import type { CheckOptions } from "./types.ts";

export interface CheckContext {
  log: TransactionLog;
  config: RepositoryConfig;
  saveConfig: () => void;
}

/** True if no error was found, or all were repaired. */
export async function checkRepository(context: CheckContext, options: CheckOptions): Promise<boolean> {
  try {
    return await runCheck(context, options);
  } finally {
    await options.reader?.close();
  }
}

async function runCheck({ log, config, saveConfig }: CheckContext, options: CheckOptions): Promise<boolean> {
  const { repair = false, maxDuration = 0 } = options;
  const partial = maxDuration > 0;
  const mode = partial ? "partial" : "full";
  const say: Log = options.log ?? log.options.log;
  if (repair && partial) throw new AlcoveError("A repair cannot be limited in time.");
  if (repair && log.options.appendOnly)
    throw new AlcoveError(`${log.storage.root} is in append-only mode, no repair possible.`);
  const { segments, storage } = log;
  let errors = 0;
  const report = (message: string) => {
    errors++;
    say("error", message);
  };
  say("info", "Starting repository check");

  let found: HashIndex | undefined;
  let transaction: number | undefined;
  try {
    log.open();
    found = log.index;
    transaction = log.transaction;
  } catch (error) {
    if (!(error instanceof AlcoveError)) throw error;
    say("debug", `The committed index cannot be used: ${error.message}`);
    transaction = lastCommitted(segments);
    const indexed = indexTransaction(storage);
    if (transaction !== undefined && indexed !== undefined && indexed > transaction) {
      if (hasVerifiedIndex(storage, indexed, say)) {
        report(
          `The commit of transaction ${indexed} is damaged or lost, but its index proves that it was complete.`,
        );
        transaction = indexed;
      }
    }
  }
  transaction ??= indexTransaction(storage) ?? segments.latest();
  if (transaction === undefined) {
    report("This repository contains no valid data.");
    return false;
  }
  if (repair) deleteUncommitted(segments, transaction);
  const state: LogState = { index: HashIndex.create(2, found?.size ?? 0), hints: emptyHints() };
  const replay = new SegmentReplay(state, segments);
  const numbers = [...segments.numbers()].filter((segment) => segment <= transaction);
  let skipTo = 0;
  if (partial) {
    skipTo = config.lastSegmentChecked + 1;
    say("info", `Skipping to segments >= ${skipTo}`);
  } else if (config.lastSegmentChecked !== -1) {
    config.lastSegmentChecked = undefined;
    saveConfig();
  }
  const progress = (current: number, finished?: boolean) =>
    options.progress?.({
      msgid: "repository.check",
      current,
      total: numbers.length,
      ...(finished ? { finished } : {}),
    });

  // A repair changes segments, and a partial check ends anywhere: these read one segment after the other.
  const reader = found && !repair && !partial ? options.reader : undefined;
  await reader?.start(found!, numbers);
  const end = performance.now() + maxDuration * 1000;
  let last = -1;
  let stopped = false;
  for (const [i, segment] of numbers.entries()) {
    progress(i);
    if (segment < skipTo) continue;
    last = segment;
    let entries = await reader?.next(segment);
    try {
      entries ??= readEntries(log, segment);
    } catch (error) {
      if (!(error instanceof IntegrityError)) throw error;
      report(error.message);
      entries = [];
      if (repair) {
        say("info", `attempting to recover ${segments.path(segment)}`);
        recoverSegment(segments, segment);
        entries = readEntries(log, segment);
      }
    }
    if (!partial) replayEntries(replay, segment, entries);
    else if (performance.now() > end) {
      say("info", `Finished partial segment check, last segment checked is ${segment}`);
      config.lastSegmentChecked = segment;
      saveConfig();
      stopped = true;
      break;
    }
    await breathe();
  }
  await reader?.close();
  if (!stopped) {
    say("info", `Finished segment check at segment ${last}`);
    if (config.lastSegmentChecked !== -1) {
      config.lastSegmentChecked = undefined;
      saveConfig();
    }
  }
  progress(numbers.length, true);

  // Of all segments of the transaction; recovering one may have removed a damaged commit.
  let target = repair ? lastCommitted(segments) : undefined;
  if (repair && target !== transaction) {
    report(`Adding commit tag to segment ${transaction}`);
    log.writer.abandon();
    log.writer.segment = transaction + 1;
    target = log.writer.commit();
    replay.segment(target);
  }
  if (!partial) {
    say("info", "Starting repository index check");
    if (found && !repair) compareIndexes(found, state.index, report, say);
    if (repair) writeAuxiliary(storage, target!, state.index, state.hints);
  }
  log.rollback();
  if (errors === 0) say("info", `Finished ${mode} repository check, no problems found.`);
  else if (repair) say("info", `Finished ${mode} repository check, errors found and repaired.`);
  else say("error", `Finished ${mode} repository check, errors found.`);
  return errors === 0 || repair;
}

/** All entries of a segment, read and verified here. @throws IntegrityError at the first damage */
function readEntries(log: TransactionLog, segment: number): EntryArrays[] {
  const list = new EntryList();
  for (const { tag, offset, size, buffer, at } of segmentEntries(log.segments, segment))
    list.add(tag, offset, size, buffer, at);
  return [list.arrays()];
}

function compareIndexes(
  found: HashIndex,
  rebuilt: HashIndex,
  report: (message: string) => void,
  say: Log,
): void {
  if (found.size === rebuilt.size) say("info", "Index object count match.");
  else {
    report("Index object count mismatch.");
    report(`committed index: ${found.size} objects`);
    report(`rebuilt index:   ${rebuilt.size} objects`);
  }
  const at = (index: HashIndex, slot: number) =>
    slot < 0 ? "<not found>" : `(${index.word(slot, 0)}, ${index.word(slot, 1)})`;
  const differ = (id: Uint8Array, a: string, b: string) =>
    report(`ID: ${toHex(id)} rebuilt index: ${a.padEnd(16)} committed index: ${b.padEnd(16)}`);
  for (let slot = rebuilt.next(-1); slot >= 0; slot = rebuilt.next(slot)) {
    const id = rebuilt.key(slot);
    const [a, b] = [at(rebuilt, slot), at(found, found.find(id))];
    if (a !== b) differ(id, a, b);
  }
  for (let slot = found.next(-1); slot >= 0; slot = found.next(slot)) {
    const id = found.key(slot);
    if (!rebuilt.has(id)) differ(id, "<not found>", at(found, slot));
  }
}
