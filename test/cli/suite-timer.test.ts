// install-timer and --ping on the built file: units that systemd itself accepts where it is installed, a crontab
// line that a shell runs, and what a monitor hears.
import { spawn, spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, describe, expect, it } from "vitest";
import { alcoveCommand, type RuntimeLabel, Sandbox } from "../support/programs.ts";

const box = new Sandbox();
afterAll(() => box.remove());

describe("install-timer", () => {
  const secret = box.path("secret");
  writeFileSync(secret, "correct horse\n", { mode: 0o600 });
  const base = ["install-timer", "--directory", box.path("units"), "--passphrase-file", secret];

  it("writes a service and a timer", () => {
    box.ok(
      box.alcove([
        ...base,
        ...["--on-failure", "mail@%n.service", "--then", "prune --keep-daily 7 'a repo'", "--delay", "30min"],
        ...["create", "--comment", 'say "100 %" for $5', "repo::{hostname}-{now}", "/home"],
      ]),
    );
    const service = readFileSync(box.path("units/alcove-backup.service"), "utf8");
    expect(service).toMatch(
      /^ExecStart=.*alcove\.mjs create --comment "say \\"100 %%\\" for \$\$5" "repo::/m,
    );
    expect(service).toMatch(/^ExecStart=.* prune --keep-daily 7 "a repo"$/m);
    expect(service).toContain("OnFailure=mail@%n.service\n");
    expect(service).toContain(`LoadCredential=passphrase:${secret}\n`);
    expect(service).toContain("IOSchedulingClass=idle\n");
    expect(service).not.toContain("correct horse");
    const timer = readFileSync(box.path("units/alcove-backup.timer"), "utf8");
    expect(timer).toContain("OnCalendar=daily\nRandomizedDelaySec=30min\nPersistent=true\n");
    verify(["alcove-backup.service", "alcove-backup.timer"]);
  });

  it("writes units of other names and times, which systemd accepts too", () => {
    for (const [name, ...options] of [
      ["hourly", "--calendar", "*-*-* *:05:00", "--delay", "0"],
      ["weekly", "--calendar", "Mon,Thu 03:30", "--delay", "2h"],
    ]) {
      box.ok(
        box.alcove([
          ...base,
          "--name",
          name!,
          ...options,
          "create",
          ...["--ping", "https://example.org/ping/a%20b?x=$1", "--exclude", "a b;c"],
          "repo::{now}",
          "/home",
        ]),
      );
      verify([`${name}.service`, `${name}.timer`]);
    }
  });

  /** What systemd says of units, where it is installed: nothing. */
  function verify(units: readonly string[]): void {
    if (spawnSync("systemd-analyze", ["--version"]).error) return;
    const r = box.run(["systemd-analyze", "verify", "--man=no", ...units.map((u) => box.path("units", u))], {
      env: { SYSTEMD_UNIT_PATH: `${box.path("units")}:` },
    });
    const said = r.stderr
      .split("\n")
      .filter((line) => line.includes("hourly") || line.includes("weekly") || line.includes("alcove"));
    expect({ code: r.code, said }).toEqual({ code: 0, said: [] });
  }

  it("refuses a passphrase that others can read, and a command that cannot run", () => {
    chmodSync(secret, 0o644);
    const open = box.alcove([...base, "create", "repo::x", "/home"]);
    chmodSync(secret, 0o600);
    expect(open.code).toBe(2);
    expect(open.stderr).toContain("chmod 600");
    const wrong = box.alcove([...base, "create", "--no-such-option", "repo::x", "/home"]);
    expect(wrong.code).toBe(2);
    expect(wrong.stderr).toContain("--no-such-option");
  });

  it("prints a crontab line that a shell runs", () => {
    mkdirSync(box.path("data dir"));
    writeFileSync(box.path("data dir", "file"), "x");
    box.ok(box.alcove(["init", "-e", "repokey", "repo"]));
    const line = box.ok(
      box.alcove([
        ...["install-timer", "--cron", "--delay", "0", "--passphrase-file", secret],
        ...["--then", "prune --keep-last 3 repo", "create", "repo::{now:%Y}", "data dir"],
      ]),
    ).stdout;
    expect(line).toMatch(/^0 3 \* \* \* /);
    const command = line.replace(/^(\S+ ){5}/, "").replaceAll("\\%", "%");
    box.ok(box.run(["sh", "-c", command], { env: { BORG_PASSPHRASE: undefined } }));
    expect(box.ok(box.alcove(["list", "--short", "repo"])).stdout).toBe(`${new Date().getUTCFullYear()}\n`);
  });
});

describe.each(["node", "bun", "deno"] as const)("--ping on %s", (on: RuntimeLabel) => {
  /** Runs while a monitor listens in this process, so not by spawnSync. */
  async function heard(args: (url: string) => string[], status = 200) {
    const calls: string[] = [];
    const server = createServer((request, response) => {
      calls.push(request.url!);
      response.writeHead(status).end("OK");
    });
    await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/ping/secret-uuid`;
    const [command, ...rest] = [...alcoveCommand(on), ...args(url)];
    const child = spawn(command!, rest, { cwd: box.dir, env: box.env as NodeJS.ProcessEnv });
    let stderr = "";
    child.stderr.on("data", (d) => {
      stderr += d;
    });
    const code = await new Promise<number | null>((done) => child.on("close", done));
    server.close();
    return { calls, code, stderr };
  }

  it("tells of start and success, and of failure with its code", async () => {
    const good = await heard((url) => ["completions", "bash", "--ping", url]);
    expect(good).toMatchObject({ code: 0, calls: ["/ping/secret-uuid/start", "/ping/secret-uuid"] });
    const bad = await heard((url) => ["list", "--ping", `${url}?rid=1`, "nowhere"]);
    expect(bad).toMatchObject({
      code: 2,
      calls: ["/ping/secret-uuid/start?rid=1", "/ping/secret-uuid/2?rid=1"],
    });
  });

  it("does not fail with the monitor, and keeps its address to itself", async () => {
    const r = await heard((url) => ["completions", "bash", "--ping", url], 500);
    expect(r.code).toBe(0);
    expect(r.stderr).toContain("it answered 500");
    expect(r.stderr).not.toContain("secret-uuid");
  });
});
