// A real OpenSSH server on loopback for one test file: its own host and user keys, a free port, nothing of the
// user's configuration. Root is not needed; where we are root, sshd wants /run/sshd.
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import {
  appendFileSync,
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";

/** The real borg of the remote tests: another version than the installed one can be tried, e.g. one of the 1.4 series. */
export const BORG = process.env["ALCOVE_BORG14"] || "borg";

export interface Sshd {
  /** Scratch directory, removed by stop(). */
  dir: string;
  port: number;
  user: string;
  /** For BORG_RSH and --rsh. */
  rsh: string;
  /** rsh with a second key, whose command authorized_keys forces. */
  rshForced: string;
  /** ssh://user@127.0.0.1:port + path */
  url(path: string, host?: string): string;
  /** Sets the command that is forced on the second key. */
  force(command: string): void;
  /** ClientAlive and the like can be appended before start. */
  stop(): void;
}

export async function startSshd(): Promise<Sshd> {
  const dir = mkdtempSync(join(tmpdir(), "alcove-sshd-"));
  const at = (name: string) => join(dir, name);
  for (const name of ["host", "user", "forced"]) {
    execFileSync("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", at(name)]);
  }
  if (process.getuid?.() === 0) mkdirSync("/run/sshd", { recursive: true, mode: 0o755 });
  const port = await freePort();
  const authorized = at("authorized_keys");
  const plain = readFileSync(at("user.pub"), "utf8");
  writeFileSync(authorized, plain);
  writeFileSync(
    at("config"),
    [
      `Port ${port}`,
      "ListenAddress 127.0.0.1",
      "ListenAddress ::1",
      `HostKey ${at("host")}`,
      `PidFile ${at("pid")}`,
      `AuthorizedKeysFile ${authorized}`,
      "StrictModes no",
      "UsePAM no",
      "PasswordAuthentication no",
      "KbdInteractiveAuthentication no",
      "PermitRootLogin yes",
      "UseDNS no",
      "LogLevel ERROR",
      "MaxStartups 100",
      // For sshfs.
      "Subsystem sftp internal-sftp",
      "",
    ].join("\n"),
  );
  const daemon = spawn("/usr/sbin/sshd", ["-D", "-f", at("config"), "-E", at("log")], { stdio: "ignore" });
  await listening(port, daemon, at("log"));
  const hostKey = readFileSync(at("host.pub"), "utf8").split(" ").slice(0, 2).join(" ");
  for (const host of ["127.0.0.1", "::1", "localhost"]) {
    appendFileSync(at("known_hosts"), `[${host}]:${port} ${hostKey}\n`);
  }
  const rshWith = (key: string) =>
    `ssh -F /dev/null -o BatchMode=yes -o IdentitiesOnly=yes -o StrictHostKeyChecking=yes -o GlobalKnownHostsFile=/dev/null -o UserKnownHostsFile=${at("known_hosts")} -i ${at(key)}`;
  const user = userInfo().username;
  return {
    dir,
    port,
    user,
    rsh: rshWith("user"),
    rshForced: rshWith("forced"),
    url: (path, host = "127.0.0.1") => `ssh://${user}@${host}:${port}${path}`,
    force(command) {
      const key = readFileSync(at("forced.pub"), "utf8");
      writeFileSync(authorized, `${plain}restrict,command="${command.replaceAll('"', '\\"')}" ${key}`);
    },
    stop() {
      daemon.kill();
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });
}

async function listening(port: number, daemon: ChildProcess, log: string): Promise<void> {
  for (let i = 0; i < 100; i++) {
    if (daemon.exitCode !== null) throw new Error(`sshd ended: ${readFileSync(log, "utf8")}`);
    const open = await new Promise<boolean>((resolve) => {
      const socket = connect(port, "127.0.0.1", () => {
        socket.destroy();
        resolve(true);
      });
      socket.once("error", () => resolve(false));
    });
    if (open) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error("sshd does not answer");
}

/** An executable shell script. */
export function script(file: string, text: string): string {
  writeFileSync(file, `#!/bin/sh\n${text}\n`);
  chmodSync(file, 0o755);
  return file;
}

/** Environment of a borg or alcove of its own: no configuration, cache or keys of the user's. */
export function borgEnv(base: string, more: Record<string, string> = {}): Record<string, string> {
  return {
    PATH: process.env["PATH"] ?? "/usr/bin:/bin",
    HOME: base,
    BORG_BASE_DIR: base,
    LANG: "C.UTF-8",
    BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK: "yes",
    BORG_RELOCATED_REPO_ACCESS_IS_OK: "yes",
    BORG_DELETE_I_KNOW_WHAT_I_AM_DOING: "YES",
    BORG_CHECK_I_KNOW_WHAT_I_AM_DOING: "YES",
    ...more,
  };
}
