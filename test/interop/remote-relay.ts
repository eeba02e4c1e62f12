// Cuts a connection at a chosen message: a relay that a client starts instead of ssh, and that starts ssh. It counts
// the requests of one method and then kills the server, the client or ssh, or lets the link stall for a while.

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { script } from "./remote-sshd.ts";

export type Victim = "server" | "client" | "ssh" | "link";

export interface Cut {
  method: string;
  /** Which of the method's requests; the first one by default. */
  count?: number;
  /** Whether the server still gets that request. */
  when: "before" | "after";
  victim: Victim;
}

const RELAY = `
import { spawn } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
const [dir, method, count, when, victim, ...ssh] = process.argv.slice(2);
const client = process.ppid;
const child = spawn(ssh[0], ssh.slice(1), { stdio: ["pipe", "inherit", "inherit"] });
child.on("exit", (code, signal) => (signal ? process.kill(process.pid, signal) : process.exit(code)));
child.stdin.on("error", () => {});
const byte = (n) => String.fromCharCode(n);
// As every client packs it: "m", the method, "a". The negotiation travels in the old form.
const word = (method === "negotiate" ? "" : byte(0xa1) + "m") + byte(0xa0 + method.length) + method;
let seen = 0;
let tail = "";
let done = false;
function act() {
  // A client may speak before there is a server.
  if (victim === "server" && !existsSync(dir + "/server")) return void setTimeout(act, 10);
  if (victim === "server") process.kill(Number(readFileSync(dir + "/server", "latin1")), "SIGKILL");
  if (victim === "client") {
    process.kill(client, "SIGKILL");
    // Its end of the pipe has to be seen, as ssh sees it.
    process.stdin.resume();
  }
  if (victim === "ssh") child.kill("SIGKILL");
  if (victim === "link") setTimeout(() => process.stdin.resume(), 700);
}
process.stdin.on("data", (data) => {
  if (done) return void child.stdin.write(data);
  const text = tail + data.toString("latin1");
  let at = text.indexOf(word);
  while (at >= 0 && ++seen < Number(count)) at = text.indexOf(word, at + 1);
  const from = tail.length;
  tail = text.slice(-(word.length - 1));
  if (at < 0) return void child.stdin.write(data);
  done = true;
  writeFileSync(dir + "/mark", method);
  process.stdin.pause();
  const cut = when === "before" ? Math.max(0, at - from) : data.length;
  child.stdin.write(data.subarray(0, cut));
  setTimeout(() => {
    act();
    if (victim === "link") child.stdin.write(data.subarray(cut));
  }, 10);
});
process.stdin.on("end", () => child.stdin.end());
`;

/** Writes the relay into a directory. */
export function makeRelay(dir: string): void {
  writeFileSync(join(dir, "relay.mjs"), RELAY);
}

/**
 * What to set BORG_RSH and BORG_REMOTE_PATH to. In `work`, a file "mark" says that the cut happened, and a file
 * "server" has the server's process id.
 */
export function cutting(
  dir: string,
  work: string,
  cut: Cut,
  rsh: string,
  server: string,
): { rsh: string; remotePath: string } {
  const { method, count = 1, when, victim } = cut;
  return {
    rsh: `${process.execPath} ${join(dir, "relay.mjs")} ${work} ${method} ${count} ${when} ${victim} ${rsh}`,
    // The script's process becomes the server's.
    remotePath: script(join(work, "serve"), `echo $$ > ${work}/server\nexec ${server} "$@"`),
  };
}
