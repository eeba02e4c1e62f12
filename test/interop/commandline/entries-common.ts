// Behaviours of the common options, of serve, and of mount and umount (of which borg 1.2.4 is no judge where its FUSE
// module is not installed: what must be seen is then asked of `borg list`).
import { spawn, spawnSync } from "node:child_process";
import { accessSync, chmodSync, constants, existsSync, mkdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { expect } from "vitest";
import { randomBytes } from "../../support/tree.ts";
import { type Behaviour, type Entries, type Own, significant } from "./compare.ts";
import { patternFiles } from "./entries-look.ts";
import { type Lab, write } from "./lab.ts";

const LOCK = "repo/lock.exclusive/elsewhere@1.2-3";
const locked = (lab: Lab) => {
  lab.touch();
  write(lab.path("w", LOCK), "");
};

/** A "remote" shell that runs the command here. */
const shell = (lab: Lab) => {
  lab.touch();
  write(lab.path("w", "rsh"), 'shift; exec "$@"\n');
  chmodSync(
    write(lab.path("w", "remote"), `#!/bin/sh\necho started >> ${lab.path("w/marker")}\nexec borg "$@"\n`),
    0o755,
  );
};
const remote = (option: readonly string[], more: Partial<Behaviour> = {}): Behaviour => ({
  with: option,
  args: ["create", "--timestamp", "2026-04-01T10:00:00", "ssh://host/W/repo::new", "src"],
  env: { BORG_RSH: "sh W/rsh" },
  writes: true,
  prepare: shell,
  after: [["list", "--short", "REPO::new"]],
  ...more,
});

const levelled = (option: string, shows: RegExp): Behaviour => ({
  with: [option],
  args: ["create", "REPO::new", "src"],
  writes: true,
  own: "what is told is each program's own",
  inert: "see check",
  check: async (r, _without, lab) => {
    expect(r.stderr).toMatch(shows);
    lab.restore();
    lab.touch();
    const quiet = await lab.ours({ args: ["--log-json", "create", `${lab.path("w/repo")}::new`, "src"] });
    expect(quiet.stderr).toBe("");
  },
});

export const common: Entries = {
  "": {
    "--consider-part-files": [
      { with: ["--consider-part-files"], args: ["list", "REPO::parts"] },
      {
        with: ["--consider-part-files"],
        args: ["diff", "--same-chunker-params", "REPO::parts", "two"],
      },
      {
        with: ["--consider-part-files"],
        args: ["export-tar", "REPO::parts", "W/x.tar"],
        writes: true,
        files: ["W/x.tar"],
      },
    ],
    "--debug-profile": async (lab) => {
      const file = lab.path("profile");
      expect((await lab.ours({ args: ["--debug-profile", file, "list", lab.path("w/repo")] })).code).toBe(0);
      expect(JSON.parse(readFileSync(file, "utf8")).nodes.length).toBeGreaterThan(3);
    },
    "--debug-topic": {
      with: ["--debug-topic", "borg.archiver"],
      args: ["list", "W/absent"],
      own: "what is told is each program's own",
      inert: "see check",
      check: (r) => expect(r.stderr).toMatch(/"levelname": "DEBUG"/),
    },
    "--help": {
      with: [],
      args: ["list", "-h"],
      own: "its own sentences",
      inert: "see check",
      check: (r) => expect([r.code, r.stdout]).toEqual([0, expect.stringMatching(/--consider-checkpoints/)]),
    },
    "--iec": [
      { with: ["--iec"], args: ["info", "REPO"] },
      { with: ["--iec"], args: ["diff", "REPO::one", "two"], inert: "borg's diff knows no --iec" },
    ],
    "--bypass-lock": [
      ...[
        "list REPO",
        "list REPO::one",
        "info REPO",
        "diff REPO::one two",
        "check REPO",
        "export-tar REPO::one W/x.tar",
        "extract -n REPO::one",
      ].map(
        (line): Behaviour => ({
          with: ["--bypass-lock"],
          args: ["--lock-wait", "0", ...line.split(" ")],
          prepare: locked,
        }),
      ),
      // A command that writes needs the lock.
      ...[
        "delete REPO::one",
        "create REPO::new src",
        "prune --keep-last 1 REPO",
        "compact REPO",
        "rename REPO::one x",
      ].map(
        (line): Behaviour => ({
          with: ["--bypass-lock"],
          args: line.split(" "),
          writes: true,
          stderr: "data",
          after: [["list", "REPO"]],
        }),
      ),
    ],
    "--lock-wait": {
      with: ["--lock-wait", "20"],
      args: ["list", "REPO"],
      writes: true,
      prepare: (lab) => {
        locked(lab);
        const dir = lab.path("w/repo/lock.exclusive");
        spawn("sh", ["-c", `sleep 2.5; rm -r ${dir}`], { detached: true, stdio: "ignore" });
      },
    },
    "--log-json": {
      with: ["--log-json"],
      args: ["list", "W/absent"],
      stderr: "data",
      inert: "see check",
      check: (r) => {
        const record = JSON.parse(r.stderr);
        expect(record).toMatchObject({
          type: "log_message",
          levelname: "ERROR",
          msgid: "Repository.DoesNotExist",
        });
        expect(Object.keys(record).sort()).toEqual(["levelname", "message", "msgid", "name", "time", "type"]);
      },
    },
    "--critical": { with: ["--critical"], args: ["list", "REPO::absent"] },
    "--error": { with: ["--error"], args: ["create", "REPO::new", "src/absent", "src/a"], writes: true },
    "--warning": {
      with: ["--warning"],
      args: ["create", "REPO::new", "src/absent", "src/a"],
      writes: true,
      inert: "the default",
    },
    "--info": levelled("-v", /"levelname": "INFO"/),
    "--debug": levelled("--debug", /"levelname": "(INFO|DEBUG)"/),
    "--progress": [
      { with: ["-p"], args: ["create", "REPO::new", "src"], writes: true },
      { with: ["-p"], args: ["check", "REPO"] },
      { with: ["-p"], args: ["extract", "-n", "REPO::two"] },
      { with: ["-p"], args: ["compact", "--threshold=0", "REPO"], writes: true, prepare: deleted },
    ],
    "--show-rc": [
      { with: ["--show-rc"], args: ["list", "REPO"] },
      { with: ["--show-rc"], args: ["list", "W/absent"] },
    ],
    "--show-version": {
      with: ["--show-version"],
      args: ["list", "REPO"],
      normalise: (t) => t.replace(/(version) .*/, "$1 X"),
    },
    "--umask": async (lab) => {
      const modes = async (run: "ours" | "borg", ...option: string[]) => {
        const dir = lab.path("w", `made-${run}${option.length}`);
        expect((await lab[run]({ args: [...option, "init", "-e", "none", dir] })).code).toBe(0);
        return ["", "data", "config", "README"].map((f) => (statSync(join(dir, f)).mode & 0o777).toString(8));
      };
      expect(await modes("ours", "--umask", "022")).toEqual(await modes("borg", "--umask", "022"));
      expect(await modes("ours")).toEqual(await modes("borg"));
      expect(await modes("ours", "--umask=027")).not.toEqual(await modes("ours", "--umask", "0077", "--iec"));
    },
    "--rsh": remote(["--rsh", "sh W/rsh"], { env: { BORG_RSH: "false" } }),
    "--remote-path": remote(["--remote-path", "W/remote"], { files: ["W/marker"] }),
    "--upload-ratelimit": remote(["--upload-ratelimit", "9000"], { inert: "only slower" }),
    "--remote-ratelimit": remote(["--remote-ratelimit", "9000"]),
    "--upload-buffer": remote(["--upload-buffer", "1"], { inert: "only when it is sent" }),
    "--remote-buffer": remote(["--remote-buffer", "1"]),
  },
  serve: {
    "": served([], ["list", "REMOTE"]),
    "--restrict-to-path": served(["--restrict-to-path", "W/elsewhere"], ["list", "REMOTE"]),
    "--restrict-to-repository": served(["--restrict-to-repository", "W/many"], ["list", "REMOTE"]),
    "--append-only": served(["--append-only"], ["delete", "REMOTE::one"], (lab) =>
      existsSync(lab.path("w/repo/transactions")),
    ),
    "--storage-quota": served(
      ["--storage-quota", "10M"],
      ["create", "-C", "none", "REMOTE::new", "W/big"],
      (lab) => {
        write(lab.path("w/big"), randomBytes(11_000_000, 3));
        return true;
      },
    ),
  },
  mount: {
    "": mounted([], "REPO::two", ["src/sub"]),
    "--consider-checkpoints": mounted(["--consider-checkpoints"], "REPO"),
    "--foreground": async (lab) => {
      if (!usable()) return;
      const { mnt, detach } = mountPoint(lab);
      const program = await lab.program();
      const child = spawn(process.execPath, [program, "mount", "-f", lab.path("w/repo"), mnt], {
        env: lab.env,
        stdio: "ignore",
      });
      const ended = new Promise<number | null>((resolve) => child.on("close", resolve));
      try {
        for (let i = 0; i < 300 && !isMounted(mnt); i++) await new Promise((r) => setTimeout(r, 50));
        expect(isMounted(mnt)).toBe(true);
        expect(child.exitCode).toBe(null);
        spawnSync("umount", [mnt]);
        expect(await ended).toBe(0);
      } finally {
        child.kill("SIGKILL");
        detach();
      }
    },
    "-o": async (lab) => {
      if (!usable()) return;
      const owner = (mnt: string) =>
        `${statSync(join(mnt, "src/a")).uid} ${(statSync(join(mnt, "src/a")).mode & 0o777).toString(8)}`;
      expect(await withMount(lab, ["-o", "uid=1,umask=0077"], "REPO::two", [], owner)).toBe("1 600");
      expect(await withMount(lab, [], "REPO::two", [], owner)).toBe("0 644");
    },
    "--numeric-owner": mounted(["--numeric-owner"], "REPO::two", [], false),
    "--numeric-ids": mounted(["--numeric-ids"], "REPO::two", [], false),
    "--prefix": mounted(["--prefix", "t"], "REPO"),
    "--glob-archives": mounted(["-a", "*n*"], "REPO"),
    "--sort-by": mounted(["--sort-by", "name", "--first", "1"], "REPO"),
    "--first": mounted(["--first", "1"], "REPO"),
    "--last": mounted(["--last", "2"], "REPO"),
    "--exclude": mounted(["-e", "src/sub", "--exclude", "*/b"], "REPO::two"),
    "--exclude-from": mounted(["--exclude-from", "W/exclude"], "REPO::two"),
    "--pattern": mounted(["--pattern", "+ src/sub", "--pattern", "- src/*"], "REPO::two"),
    "--patterns-from": mounted(["--patterns-from", "W/patterns"], "REPO::two"),
    "--strip-components": async (lab) => {
      if (!usable()) return;
      const top = (mnt: string) => spawnSync("ls", [mnt]).stdout.toString().split("\n");
      expect(await withMount(lab, ["--strip-components", "1"], "REPO::two", [], top)).toContain("a");
      expect(await withMount(lab, [], "REPO::two", [], top)).toEqual(["src", ""]);
    },
  },
  umount: {
    "": async (lab) => {
      if (!usable()) return;
      const { mnt, detach } = mountPoint(lab);
      try {
        expect((await lab.ours({ args: ["mount", lab.path("w/repo"), mnt], spawn: true })).code).toBe(0);
        expect(isMounted(mnt)).toBe(true);
        expect((await lab.ours({ args: ["umount", mnt], spawn: true })).code).toBe(0);
        expect(isMounted(mnt)).toBe(false);
      } finally {
        detach();
      }
    },
  },
};

async function deleted(lab: Lab): Promise<void> {
  lab.touch();
  await lab.goodBorg(["delete", `${lab.path("w/repo")}::fine`, "parts"]);
}

/** Borg as the client of both servers; the option must make a difference to each. */
function served(
  options: readonly string[],
  client: readonly string[],
  left: (lab: Lab) => boolean = () => true,
): Own {
  return async (lab) => {
    const run = async (server: string, given: readonly string[]) => {
      lab.restore();
      lab.touch();
      const before = client.includes("W/big") ? left(lab) : undefined;
      const words = given.map((w) => w.replace(/^W/, lab.work)).join(" ");
      write(lab.path("w/forced"), `exec ${server} serve ${words}\n`);
      const r = await lab.borg({
        args: [
          "--log-json",
          ...client.map((w) =>
            w.replace(/^REMOTE/, `ssh://host${lab.path("w/repo")}`).replace(/^W/, lab.work),
          ),
        ],
        env: { BORG_RSH: `sh ${lab.path("w/forced")}` },
      });
      const list = await lab.borg({ args: ["list", "--short", lab.path("w/repo")] });
      return {
        code: r.code,
        stdout: r.stdout,
        records: significant(r.stderr),
        list,
        left: before ?? left(lab),
      };
    };
    const ours = `${process.execPath} ${await lab.program()}`;
    const result = await run(ours, options);
    expect(result).toEqual(await run("borg", options));
    if (options.length) expect(result).not.toEqual(await run(ours, []));
  };
}

function usable(): boolean {
  try {
    accessSync("/dev/fuse", constants.R_OK | constants.W_OK);
    return process.getuid?.() === 0;
  } catch {
    return false;
  }
}

const isMounted = (mnt: string) => readFileSync("/proc/self/mounts", "utf8").includes(` ${mnt} fuse`);

function mountPoint(lab: Lab) {
  const mnt = lab.path("mnt");
  mkdirSync(mnt, { recursive: true });
  return { mnt, detach: () => isMounted(mnt) && spawnSync("umount", ["-l", mnt]) };
}

async function withMount<T>(
  lab: Lab,
  options: readonly string[],
  what: string,
  paths: readonly string[],
  look: (mnt: string) => T,
): Promise<T> {
  const { mnt, detach } = mountPoint(lab);
  const place = (w: string) => w.replace(/^REPO/, lab.path("w/repo")).replace(/^W/, lab.work);
  try {
    const r = await lab.ours({
      args: ["mount", ...options.map(place), place(what), mnt, ...paths],
      spawn: true,
    });
    expect(r.code, r.stderr).toBe(0);
    return look(mnt);
  } finally {
    spawnSync("umount", [mnt]);
    detach();
  }
}

/** What is seen in the mount is what `borg list` lists with the same options. */
function mounted(
  options: readonly string[],
  what: string,
  paths: readonly string[] = [],
  changes = true,
): Own {
  return async (lab) => {
    if (!usable()) return;
    patternFiles(lab);
    const whole = !what.includes("::");
    const look = (mnt: string) =>
      spawnSync("sh", ["-c", whole ? "ls" : "find . -mindepth 1 ! -type d -printf '%P\\n'"], { cwd: mnt })
        .stdout.toString()
        .trim()
        .split("\n")
        .sort();
    const place = (w: string) => w.replace(/^REPO/, lab.path("w/repo")).replace(/^W/, lab.work);
    const known = options.filter((o) => !o.startsWith("--numeric"));
    const format = whole ? "{archive}{NL}" : "{type} {path}{NL}";
    const listed = await lab.goodBorg([
      "list",
      "--format",
      format,
      ...known.map(place),
      place(what),
      ...paths,
    ]);
    const expected = listed
      .trim()
      .split("\n")
      .filter((l) => whole || !l.startsWith("d "))
      .map((l) => (whole ? l : l.slice(2)))
      .sort();
    const seen = await withMount(lab, options, what, paths, look);
    expect(seen).toEqual(expected);
    if (changes) expect(seen).not.toEqual(await withMount(lab, [], what, [], look));
  };
}
