// install-timer: a systemd service and timer, or a crontab line, that runs a command of this program regularly, at low
// priority, with its passphrase from a file or a credential. Not in Borg.
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, statSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { join, resolve } from "node:path";
import { shellWords } from "../../src/crypto/shellwords.ts";
import { AlcoveError, CommandError, describeSystemError } from "../../src/errors.ts";
import { selfCommand } from "../../src/runtime/self.ts";
import type { Args } from "../args.ts";
import type { Context } from "../context.ts";
import { parse } from "../parse.ts";
import { UsageError } from "../usage.ts";

/** Warnings of Borg's exit codes, legacy and modern: the backup is there, and the service has not failed. */
const WARNINGS = "1 100 101 102 103 104 105 106 107";
const CRON: Readonly<Record<string, string>> = {
  hourly: "0 * * * *",
  daily: "0 3 * * *",
  weekly: "0 3 * * 1",
  monthly: "0 3 1 * *",
};

export interface Plan {
  name: string;
  /** Full command lines, run one after the other as long as none fails. */
  commands: readonly (readonly string[])[];
  calendar: string;
  /** systemd time span; for cron seconds are taken from it. */
  delay: string;
  passphraseFile?: string;
  passphraseCredential?: string;
  onFailure?: string;
  environment: Readonly<Record<string, string>>;
}

export function run(args: Args, ctx: Context): void {
  const name = args.text("name")!;
  if (!/^[A-Za-z0-9:_.-]+$/.test(name)) throw new CommandError(`"${name}" cannot be the name of a unit.`);
  const commands = [[args.word("command")!, ...args.words("args")], ...args.list("then").map(words)];
  for (const c of commands) checkCommand(c);
  const file = args.text("passphrase-file");
  const credential = args.text("passphrase-credential");
  if (file !== undefined && credential !== undefined)
    throw new CommandError("The passphrase comes from a file or from a credential, not from both.");
  if (file !== undefined) checkSecret(resolve(file));
  const plan: Plan = {
    name,
    commands: commands.map((c) => selfCommand(c)),
    calendar: args.text("calendar")!,
    delay: args.text("delay")!,
    ...(file === undefined ? {} : { passphraseFile: resolve(file) }),
    ...(credential === undefined ? {} : { passphraseCredential: resolve(credential) }),
    ...(args.text("on-failure") === undefined ? {} : { onFailure: args.text("on-failure")! }),
    environment: kept(ctx.env),
  };
  if (args.flag("cron")) {
    ctx.stdout.write(`${cronLine(plan)}\n`);
    return;
  }
  install(args, ctx, plan);
}

function install(args: Args, ctx: Context, plan: Plan): void {
  const system = process.getuid?.() === 0;
  const given = args.text("directory");
  const home = ctx.env["XDG_CONFIG_HOME"] || join(ctx.env["HOME"] || homedir(), ".config");
  const directory = given ?? (system ? "/etc/systemd/system" : join(home, "systemd", "user"));
  const units = { [`${plan.name}.service`]: serviceUnit(plan), [`${plan.name}.timer`]: timerUnit(plan) };
  try {
    mkdirSync(directory, { recursive: true });
    // Command lines may name a monitor's secret address.
    for (const [unit, text] of Object.entries(units))
      writeFileSync(join(directory, unit), text, { mode: 0o600 });
  } catch (e) {
    throw new AlcoveError(
      `The units cannot be written to ${directory}: ${describeSystemError(e as NodeJS.ErrnoException)}`,
    );
  }
  for (const unit of Object.keys(units)) ctx.stdout.write(`${join(directory, unit)}\n`);
  const control = system ? ["systemctl"] : ["systemctl", "--user"];
  const enable = [...control, "enable", "--now", `${plan.name}.timer`];
  if (given !== undefined || !existsSync("/run/systemd/system")) {
    ctx.log.warning(
      `systemd ${given === undefined ? "does not run here" : "was not told"}. To start the timer: ${[...control, "daemon-reload"].join(" ")} && ${enable.join(" ")}`,
    );
    return;
  }
  for (const line of [[...control, "daemon-reload"], enable]) {
    const r = spawnSync(line[0]!, line.slice(1), { encoding: "utf8" });
    if (r.status !== 0)
      throw new AlcoveError(`${line.join(" ")} failed: ${(r.stderr || String(r.error)).trim()}`);
  }
}

/** The unit that does the work. */
export function serviceUnit(plan: Plan): string {
  const lines = ["[Unit]", `Description=Backup (${plan.name})`, "Wants=network-online.target"];
  lines.push("After=network-online.target");
  if (plan.onFailure !== undefined) lines.push(`OnFailure=${plan.onFailure}`);
  lines.push("", "[Service]", "Type=oneshot");
  for (const command of plan.commands) lines.push(`ExecStart=${command.map(systemdWord).join(" ")}`);
  lines.push(`SuccessExitStatus=${WARNINGS}`);
  for (const [key, value] of Object.entries(plan.environment))
    lines.push(`Environment=${systemdWord(`${key}=${value}`, 1)}`);
  const loaded = plan.passphraseFile ?? plan.passphraseCredential;
  if (loaded !== undefined) {
    const kind = plan.passphraseFile === undefined ? "LoadCredentialEncrypted" : "LoadCredential";
    lines.push(`${kind}=passphrase:${loaded.replaceAll("%", "%%")}`);
    // %d is the directory of the service's credentials, which nobody else can read.
    lines.push('Environment="BORG_PASSCOMMAND=cat %d/passphrase"');
  }
  lines.push("Nice=19", "CPUSchedulingPolicy=batch", "IOSchedulingClass=idle", "IOWeight=10", "CPUWeight=10");
  // SIGINT ends a backup cleanly, and quickly.
  lines.push("KillSignal=SIGINT", "TimeoutStopSec=1min", "UMask=0077", "");
  return lines.join("\n");
}

export function timerUnit(plan: Plan): string {
  return [
    "[Unit]",
    `Description=Timer of the backup (${plan.name})`,
    "",
    "[Timer]",
    `OnCalendar=${plan.calendar}`,
    `RandomizedDelaySec=${plan.delay}`,
    // A machine that was off at the time catches up.
    "Persistent=true",
    "",
    "[Install]",
    "WantedBy=timers.target",
    "",
  ].join("\n");
}

/** One line for crontab -e. @throws CommandError for a calendar that is none of hourly, daily, weekly, monthly */
export function cronLine(plan: Plan): string {
  const when = CRON[plan.calendar];
  if (when === undefined)
    throw new CommandError(`For cron the calendar is one of ${Object.keys(CRON).join(", ")}.`);
  if (plan.passphraseCredential !== undefined)
    throw new CommandError("cron knows no credentials: give a --passphrase-file.");
  const environment: Record<string, string> = { ...plan.environment };
  if (plan.passphraseFile !== undefined)
    environment["BORG_PASSCOMMAND"] = `cat ${shellWord(plan.passphraseFile)}`;
  const set = Object.entries(environment).map(([k, v]) => `${k}=${shellWord(v)}`);
  const seconds = delaySeconds(plan.delay);
  const wait = seconds > 0 ? [`sleep $(awk 'BEGIN{srand();print int(rand()*${seconds})}')`] : [];
  const work = plan.commands.map((c) => [...set, "nice -n 19 ionice -c 3", ...c.map(shellWord)].join(" "));
  // What follows a backup runs after one with warnings too. cron turns a bare % into a new line.
  const steps = work.map((w, i) => (i < work.length - 1 ? `{ ${w} || [ $? -eq 1 ]; }` : w));
  return `${when} ${[...wait, steps.join(" && ")].join("; ")}`.replaceAll("%", "\\%");
}

function delaySeconds(text: string): number {
  const m = /^(\d+) ?(s|sec|m|min|h|hr|d)?$/.exec(text);
  if (!m) throw new CommandError(`For cron the delay is a number with s, m, h or d, not "${text}".`);
  const unit = m[2]?.[0] ?? "s";
  return Number(m[1]) * { s: 1, m: 60, h: 3600, d: 86400 }[unit as "s"]!;
}

/** A word of a unit file: quoted, specifiers and (in ExecStart) variables not expanded. */
export function systemdWord(text: string, position?: number): string {
  let out = text
    .replaceAll("\\", "\\\\")
    .replaceAll('"', '\\"')
    .replaceAll("%", "%%")
    .replaceAll("\n", "\\n");
  // Environment= expands no variables; the program's own path, the first word, neither.
  if (position !== 0 && position !== 1) out = out.replaceAll("$", "$$$$");
  return /^[A-Za-z0-9_@%+=:,./-]+$/.test(out) ? out : `"${out}"`;
}

function shellWord(text: string): string {
  return /^[A-Za-z0-9_@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

function words(text: string): string[] {
  try {
    return shellWords(text);
  } catch (e) {
    throw new CommandError(`--then ${text}: ${(e as Error).message}`);
  }
}

/** What the timer would fail on every night is said now. */
function checkCommand(command: readonly string[]): void {
  try {
    const parsed = parse(command);
    if (parsed.kind === "command" && parsed.command?.name !== "install-timer") return;
  } catch (e) {
    if (e instanceof UsageError) throw new CommandError(`${command.join(" ")}: ${e.message}`);
    throw e;
  }
  throw new CommandError(`Nothing to run regularly: "${command.join(" ")}"`);
}

/** @throws AlcoveError unless it is a file of ours (or root's) that nobody else can read */
function checkSecret(path: string): void {
  let stat: ReturnType<typeof statSync>;
  try {
    stat = statSync(path);
  } catch (e) {
    throw new AlcoveError(`${path}: ${describeSystemError(e as NodeJS.ErrnoException)}`);
  }
  if (!stat.isFile()) throw new AlcoveError(`${path} is no regular file.`);
  if (stat.mode & 0o077)
    throw new AlcoveError(`${path} can be read or changed by others. Make it yours alone: chmod 600 ${path}`);
  const uid = process.getuid?.();
  if (uid !== undefined && stat.uid !== uid && stat.uid !== 0)
    throw new AlcoveError(`${path} belongs to another user.`);
}

/** Settings of Borg's that the service needs too; secrets stay out of unit files. */
function kept(env: Context["env"]): Record<string, string> {
  const out: Record<string, string> = {};
  for (const [key, value] of Object.entries(env)) {
    if (value === undefined || !/^(BORG|ALCOVE)_/.test(key)) continue;
    if (/PASSPHRASE|PASSCOMMAND|PASSPHRASE_FD/.test(key)) continue;
    out[key] = value;
  }
  return out;
}
