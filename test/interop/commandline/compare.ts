// What is compared of two runs of a command line, and how one entry of the table of behaviours is carried out.
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "vitest";
import { describeTree } from "../../support/tree.ts";
import type { Lab, Outcome, RunSpec } from "./lab.ts";

/** One option (or a command itself, where `with` is empty) and the command line that shows what it does. */
export interface Behaviour {
  /** The option as it is written; left out in the run that must come out differently. */
  with: readonly string[];
  /** What else follows the command. REPO, ENC, MANY and W at the start of a word are the repositories and the directory
   *  that holds them. */
  args: readonly string[];
  /** Options for both runs, before the command. */
  common?: readonly string[];
  env?: Record<string, string>;
  /** Content of standard input. */
  stdin?: string | Uint8Array;
  /** Answers typed by our user and borg's. */
  answers?: readonly string[];
  /** Changes a repository, the cache or w/out: works on a copy of its own. */
  writes?: boolean;
  /** Command lines that borg runs afterwards on what was left; what they print is compared too. */
  after?: readonly (readonly string[])[];
  /** Runs in w/out, whose tree is compared afterwards. */
  out?: boolean;
  /** Files whose content is compared. */
  files?: readonly string[];
  /** Why the option changes nothing that can be seen here. */
  inert?: string;
  /** Why real borg 1.2.4 is no judge of it; `check` then says what must be. */
  own?: string;
  /** What more must hold of our run; `without` is the run without the option. */
  check?: (run: Seen, without: Seen | undefined, lab: Lab) => void | Promise<void>;
  /** Done to the copy before each run. */
  prepare?: (lab: Lab) => void | Promise<void>;
  /** "same": the text on standard error too; "data": no --log-json, only exit code and standard output. */
  stderr?: "same" | "data";
  spawn?: boolean;
  fresh?: boolean;
  /** Lines of the output in any order. */
  sorted?: boolean;
  /** Applied to both sides before comparing, for what cannot be equal. */
  normalise?: (text: string) => string;
}

/** A behaviour that needs a test of its own making. */
export type Own = (lab: Lab) => void | Promise<void>;
export type Entry = Behaviour | readonly Behaviour[] | Own;
/** By command, then by one of the option's flags; "" is the command itself. */
export type Entries = Record<string, Record<string, Entry>>;

export interface Seen extends Outcome {
  records: readonly unknown[];
  after: readonly string[];
  tree: string;
  files: readonly string[];
}

type Rec = Record<string, unknown> & { type?: string; name?: string; levelname?: string };

/** Messages that have an id since 1.4; 1.2.4 logs the same without one. */
const NEW_IDS = /^(CommandError|RTError|Backup.*Error|.*Warning)$/;

/** JSON lines with their keys in one order: borg's changes from run to run. */
export function keysInOrder(text: string): string {
  return text.replace(/^\{.*\}$/gm, (line) => {
    const o = JSON.parse(line) as Record<string, unknown>;
    return JSON.stringify(
      Object.fromEntries(
        Object.keys(o)
          .sort()
          .map((k) => [k, o[k]]),
      ),
    );
  });
}

/** What programs go by on standard error: ids of messages, output of the output loggers, states of files. Sentences
 *  without an id are each program's own. */
export function significant(stderr: string): unknown[] {
  const progress = new Set<string>();
  const out: unknown[] = [];
  for (const line of stderr.split("\n")) {
    if (line === "") continue;
    let r: Rec;
    try {
      r = JSON.parse(line) as Rec;
    } catch {
      const flag = /--[a-z-]+/.exec(line)?.[0];
      if (/deprecat/i.test(line)) out.push(["deprecated", flag]);
      else out.push(line);
      continue;
    }
    if (r.type === "log_message") {
      if (String(r.name).startsWith("borg.output."))
        out.push([r.levelname, r.name, steady(String(r["message"]))]);
      else if (r["msgid"] && !NEW_IDS.test(String(r["msgid"]))) out.push([r.levelname, r["msgid"]]);
      else if (r.levelname !== "INFO" && r.levelname !== "DEBUG") out.push([r.levelname]);
    } else if (r.type === "file_status") out.push([r.type, r["status"], r["path"]]);
    else if (r.type?.startsWith("question_")) out.push([r.type, r["msgid"]]);
    else if (r.type?.includes("progress")) progress.add([r.type, r["msgid"] ?? ""].join(" ").trim());
    else out.push(r);
  }
  return [...out, ...[...progress].sort()];
}

/** Without what differs from run to run: durations, and in runs that make archives ids and times of now. */
function steady(text: string, changing = true): string {
  let t = text
    .replace(/Duration: [\d.]+ seconds/g, "Duration: X")
    .replace(/"duration": [\d.e-]+/g, '"duration": X')
    .replace(/^(Time \(end\): +).*$/gm, "$1X")
    .replace(/"(end|last_modified|time_end)": "[^"]*"/g, '"$1": X');
  if (changing)
    t = t
      .replace(/\b[0-9a-f]{64}\b/g, "<id>")
      .replace(/"max_archive_size": [\d.e-]+/g, '"max_archive_size": X');
  return t;
}

export async function carryOut(lab: Lab, command: string, b: Behaviour): Promise<void> {
  const ours = await run(lab, command, b, b.with, false);
  if (!b.own) {
    const borg = await run(lab, command, b, b.with, true);
    expect(comparable(ours, b), `${line(command, b)}\n${ours.stderr}\n--- borg:\n${borg.stderr}`).toEqual(
      comparable(borg, b),
    );
  }
  const without = b.inert || b.with.length === 0 ? undefined : await run(lab, command, b, [], false);
  if (without) {
    expect(comparable(without, b), `${line(command, b)}: the option changes nothing`).not.toEqual(
      comparable(ours, b),
    );
  }
  if (b.own) expect(b.check, "an entry without a judge needs a check").toBeDefined();
  await b.check?.(ours, without, lab);
}

const line = (command: string, b: Behaviour) => [command, ...b.with, ...b.args].join(" ");

function comparable(s: Seen, b: Behaviour): unknown {
  const lines = (text: string) => {
    const t = (b.normalise ?? ((x) => x))(steady(text, b.writes ?? false));
    return b.sorted ? t.split("\n").sort() : t;
  };
  return {
    code: s.code,
    stdout: lines(s.stdout),
    ...(b.stderr === "same"
      ? { stderr: lines(s.stderr) }
      : b.stderr === "data"
        ? {}
        : {
            records: s.records.map((r) =>
              Array.isArray(r)
                ? r.map((x) => (typeof x === "string" ? (b.normalise ?? ((t) => t))(x) : x))
                : r,
            ),
          }),
    after: s.after.map((t) => (b.normalise ?? ((x) => x))(steady(t, true))),
    tree: s.tree,
    files: s.files,
  };
}

async function run(
  lab: Lab,
  command: string,
  b: Behaviour,
  option: readonly string[],
  borg: boolean,
): Promise<Seen> {
  if (b.writes || b.prepare) lab.restore();
  if (b.writes) lab.touch();
  await b.prepare?.(lab);
  const words = command.split(" ").filter((w) => w);
  const log = b.stderr === undefined ? ["--log-json"] : [];
  const args = [...log, ...(b.common ?? []), ...words, ...option, ...b.args].map((a) => expand(lab, a));
  let stdin: string | undefined;
  const typed = b.stdin ?? (borg && b.answers ? `${b.answers.join("\n")}\n` : undefined);
  if (typed !== undefined) {
    const { writeFileSync } = await import("node:fs");
    stdin = join(lab.dir, "stdin");
    writeFileSync(stdin, typed);
  }
  const spec: RunSpec = {
    args,
    ...(b.env ? { env: Object.fromEntries(Object.entries(b.env).map(([k, v]) => [k, expand(lab, v)])) } : {}),
    ...(b.out ? { cwd: join(lab.work, "out") } : {}),
    ...(stdin === undefined ? {} : { stdin }),
    ...(b.spawn ? { spawn: true } : {}),
    ...(b.fresh ? { fresh: true } : {}),
  };
  const outcome = borg
    ? await lab.borg(spec)
    : await lab.ours({ ...spec, ...(b.answers ? { input: b.answers } : {}) });
  const after: string[] = [];
  for (const a of b.after ?? []) {
    const judged = await lab.borg({ args: a.map((w) => expand(lab, w)) });
    after.push(`${judged.code}\n${judged.stdout}${judged.code ? judged.stderr : ""}`);
  }
  return {
    ...outcome,
    records: b.stderr === undefined ? significant(outcome.stderr) : [],
    after,
    // Of times only those that were restored: all that was there before the lab was.
    tree: b.out
      ? describeTree(join(lab.work, "out")).replace(/ (\d{19}) /g, (t, ns) =>
          Number(ns) / 1e6 > lab.started ? " now " : t,
        )
      : "",
    files: (b.files ?? []).map((f) => {
      const path = expand(lab, f);
      return existsSync(path) ? readFileSync(path, "latin1") : "(missing)";
    }),
  };
}

export function expand(lab: Lab, word: string): string {
  return word
    .replace(/^REPO(?=$|::)/, join(lab.work, "repo"))
    .replace(/^ENC(?=$|::)/, join(lab.work, "enc"))
    .replace(/^MANY(?=$|::)/, join(lab.work, "many"))
    .replace("ssh://host/W", `ssh://host${lab.work}`)
    .replace(/(^| |=|:|,)W(?=$|\/)/, `$1${lab.work}`);
}
