// Behaviours of the commands that make archives and bring them back: create, import-tar, extract.
import { spawn, spawnSync } from "node:child_process";
import { lstatSync, renameSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { expect } from "vitest";
import type { Behaviour, Entries, Own } from "./compare.ts";
import { patterns } from "./entries-look.ts";
import { type Lab, write } from "./lab.ts";

const NEW = "REPO::new";
const FORMAT =
  "{mode} {uid}:{gid} {user}:{group} {size} {num_chunks} {flags} {mtime} {atime} {path}{extra}{NL}";
/** What is in the new archive. */
const listed = [["list", "--format", FORMAT, NEW]];
const archives = [["list", "--format", "{archive} {comment} {start}{NL}", "REPO"]];
/** A line of an archive's dump, where no list shows what is stored. */
const dumped = [["debug", "dump-archive", NEW, "-"]];
const only = (re: RegExp) => (text: string) =>
  text.includes("_items") ? (text.match(re) ?? []).join("\n") : text;
const AT = ["--timestamp", "2026-04-01T10:00:00"];

const create = (option: readonly string[], more: Partial<Behaviour> = {}): Behaviour => ({
  with: option,
  args: [...AT, NEW, "src"],
  writes: true,
  after: listed,
  ...more,
});

/** Borg 1.2.4 counts some metadata and, of tar files, everything as a file; what is left is looked at in `after`. */
const sizes = (text: string) =>
  text
    .replace(
      /(This archive|All archives|Chunk index|Deleted data|Number of files|Utilization[^:]*):.*$/gm,
      "$1 X",
    )
    .replace(
      /"(total_|unique_|deduplicated_|compressed_|original_|nfiles|max_arch)([a-z_]*)": [\d.e-]+/g,
      '"$1$2": X',
    )
    .replace(/^ *"cwd": .*\n/gm, "");

/** Own copies of a file that something else writes to all the time, with both ways to look at it. */
const changing: Own = async (lab) => {
  const file = write(lab.path("changing", "file"), Buffer.alloc(3_000_000, "x"));
  const writer = spawn("sh", ["-c", `while :; do echo x >> ${file}; done`], { stdio: "ignore" });
  try {
    while (statSync(file).size === 3_000_000) await new Promise((r) => setTimeout(r, 5));
    let n = 0;
    const status = async (mode: string) => {
      const repo = lab.path("w/repo");
      const r = await lab.ours({
        args: ["create", "--list", "--files-changed", mode, `${repo}::c${n++}`, "changing/file"],
      });
      // Borg says what it does before, and then what came of it.
      return r.stderr.match(/^[A-Z?](?= )/gm)?.at(-1);
    };
    // On a busy machine the other program may not come to write while we read.
    for (const mode of ["ctime", "mtime"]) {
      let seen: string | undefined;
      for (let tries = 0; tries < 40 && seen !== "C"; tries++) seen = await status(mode);
      expect(seen).toBe("C");
    }
    for (let tries = 0; tries < 5; tries++) expect(await status("disabled")).not.toBe("C");
  } finally {
    writer.kill("SIGKILL");
  }
};

/** The command that names the paths kills its parent after a while: what is left is what was committed till then. */
const checkpoints: Own = async (lab) => {
  const script = "echo src/a; sleep 1.3; echo src/b; sleep 1.5; kill -9 $PPID";
  const left = async (...option: string[]) => {
    lab.restore();
    lab.touch();
    const repo = lab.path("w/repo");
    const args = ["create", ...option, "--paths-from-command", `${repo}::new`, "--", "sh", "-c", script];
    expect((await lab.ours({ args, spawn: true })).code).toBe(-1);
    await lab.goodBorg(["break-lock", repo]);
    return (await lab.goodBorg(["list", "--short", "--consider-checkpoints", repo])).includes(
      "new.checkpoint",
    );
  };
  expect(await left()).toBe(false);
  expect(await left("-c", "1")).toBe(true);
};

const tarball = (lab: Lab) =>
  void spawnSync("tar", [
    "cf",
    lab.path("w", "in.tar"),
    "--sort=name",
    "-C",
    lab.dir,
    "src/a",
    "src/sub",
    "src/link",
    "src/links",
    "src/fifo",
    "fresh",
  ]);
const importTar = (option: readonly string[], more: Partial<Behaviour> = {}): Behaviour => ({
  with: option,
  args: [...AT, NEW, "W/in.tar"],
  writes: true,
  prepare: tarball,
  after: listed,
  ...more,
});

/** What no archive holds yet: files of the tree are neither cut nor compressed again. */
const unseen = (make: typeof create) => make([]).args.map((a) => (a === "src" ? "fresh" : a));

/** Options that every command has which makes archives. */
const making = (make: typeof create): Record<string, Behaviour> => ({
  "--stats": make(["--stats"], { normalise: sizes, args: ["-C", "none", ...make([]).args] }),
  "--quick-stats": make(["--quick-stats"], {
    own: "of borg 1.4",
    check: (r) => {
      expect(r.stderr).toMatch(/This archive:/);
      expect(r.stderr).not.toMatch(/All archives:/);
    },
  }),
  "--list": make(["--list"]),
  "--filter": make(["--filter", "d"], { args: ["--list", ...make([]).args] }),
  "--json": make(["--json"], { normalise: sizes, args: ["-C", "none", ...make([]).args] }),
  "--comment": make(["--comment", "a word {user}"], { after: archives }),
  "--timestamp": make(["--timestamp", "2025-12-24T18:00:00"], {
    args: make([]).args.slice(2),
    after: archives,
    // Without the option it is now.
    normalise: (t) => t.replace(/2026-1\d-.*/g, "now"),
  }),
  "--chunker-params": make(["--chunker-params", "10,14,12,4095"], { args: unseen(make) }),
  "--compression": make(["-C", "none"], {
    after: [["list", "--format", "{csize} {path}{NL}", NEW]],
    args: unseen(make),
  }),
});

export const make: Entries = {
  create: {
    "": [
      create([]),
      create([], { args: ["REPO::one", "src"] }),
      create([], { args: ["W/absent::x", "src"] }),
      create([], { args: [...AT, NEW, "src/absent", "src/a"] }),
    ],
    ...making(create),
    "--dry-run": create(["-n"], { args: ["--list", ...AT, NEW, "src"], after: archives }),
    "--no-cache-sync": create(["--no-cache-sync"], { inert: "the same archive by another way" }),
    "--stdin-name": create(["--stdin-name", "dump.sql"], {
      args: [...AT, NEW, "-"],
      stdin: "data",
      normalise: now,
    }),
    "--stdin-user": create(["--stdin-user", "daemon"], {
      args: [...AT, NEW, "-"],
      stdin: "data",
      normalise: now,
    }),
    "--stdin-group": create(["--stdin-group", "daemon"], {
      args: [...AT, NEW, "-"],
      stdin: "data",
      normalise: now,
    }),
    "--stdin-mode": create(["--stdin-mode", "0640"], {
      args: [...AT, NEW, "-"],
      stdin: "data",
      normalise: now,
    }),
    "--content-from-command": [
      create(["--content-from-command"], { args: [...AT, NEW, "--", "echo", "hi"], normalise: now }),
      create(["--content-from-command"], { args: [...AT, NEW, "--", "false"], normalise: now }),
    ],
    "--paths-from-stdin": create(["--paths-from-stdin"], { args: [...AT, NEW], stdin: "src/a\nsrc/sub\n" }),
    "--paths-from-command": create(["--paths-from-command"], {
      args: [...AT, NEW, "--", "printf", "src/a\\nsrc/sub\\n"],
    }),
    "--paths-delimiter": create(["--paths-delimiter", "\\0"], {
      args: ["--paths-from-stdin", ...AT, NEW],
      stdin: "src/a\0src/sub\0",
    }),
    ...patterns({ args: [...AT, NEW, "src"], writes: true, after: listed }),
    "--exclude-caches": create(["--exclude-caches"]),
    "--exclude-if-present": create(["--exclude-if-present", ".nobackup"]),
    "--keep-exclude-tags": create(["--keep-exclude-tags"], {
      args: ["--exclude-caches", "--exclude-if-present", ".nobackup", ...AT, NEW, "src"],
    }),
    "--exclude-nodump": create(["--exclude-nodump"], { args: ["--list", ...AT, NEW, "src"] }),
    "--exclude-dataless": create(["--exclude-dataless"], {
      own: "of borg 1.4, for macOS",
      inert: "no file here is dataless",
      check: (r) => expect(r.code).toBe(0),
    }),
    "--one-file-system": create(["-x"], {
      // Siblings would come in the order of inodes, which differs from copy to copy.
      args: [...AT, NEW, "W/beside", "W/tree"],
      prepare: (lab) => {
        write(lab.path("w", "beside"), "x");
        write(lab.path("w", "tree", "mnt", "under"), "x");
        spawnSync("mount", ["-t", "tmpfs", "tmpfs", lab.path("w", "tree", "mnt")]);
        writeFileSync(lab.path("w", "tree", "mnt", "over"), "x");
      },
      normalise: now,
    }),
    "--numeric-owner": create(["--numeric-owner"]),
    "--numeric-ids": create(["--numeric-ids"]),
    "--noatime": create(["--noatime"]),
    "--atime": create(["--atime"]),
    "--noctime": create(["--noctime"], { after: dumped, normalise: only(/"ctime": \d+/g) }),
    "--nobirthtime": create(["--nobirthtime"], {
      inert: "Linux has no creation times that Borg would store",
    }),
    "--nobsdflags": create(["--nobsdflags"]),
    "--noflags": create(["--noflags"]),
    "--noacls": create(["--noacls"], { after: dumped, normalise: only(/"acl_[a-z]*": "[^"]*"/g) }),
    "--noxattrs": create(["--noxattrs"], { after: dumped, normalise: only(/"user\.[a-z]*": "[^"]*"/g) }),
    "--sparse": create(["--sparse"], {
      args: ["--chunker-params", "fixed,65536", ...AT, NEW, "src"],
      inert: "the same archive, holes not read",
    }),
    "--files-cache": create(["--files-cache", "disabled"], { args: ["--list", ...AT, NEW, "src"] }),
    "--files-changed": changing,
    "--read-special": create(["--read-special"], {
      args: [...AT, NEW, "W/special"],
      prepare: (lab) => {
        write(lab.path("w", "special", "file"), "x");
        // Inodes in this order, in which both programs go, whichever the file system has to give.
        const special = (name: string) => lab.path("w", "special", name);
        const inode = (name: string) => lstatSync(special(name)).ino;
        let last = 0;
        do symlinkSync("/dev/null", special(`null${++last}`));
        while (inode(`null${last}`) < inode("file"));
        renameSync(special(`null${last}`), special("null"));
        for (let i = 1; i < last; i++) rmSync(special(`null${i}`));
      },
      normalise: now,
    }),
    "--checkpoint-interval": checkpoints,
  },
  "import-tar": {
    "": [
      importTar([]),
      importTar([], { args: ["REPO::one", "W/in.tar"] }),
      importTar([], { args: [NEW, "W/absent.tar"], stderr: "data" }),
    ],
    ...making(importTar),
    "--tar-filter": importTar(["--tar-filter", "gzip -dc"], {
      args: [...AT, NEW, "W/in.dat"],
      prepare: (lab) => {
        tarball(lab);
        spawnSync("sh", ["-c", `gzip -c ${lab.path("w/in.tar")} > ${lab.path("w/in.dat")}`]);
      },
    }),
    "--ignore-zeros": importTar(["--ignore-zeros"], {
      prepare: (lab) => {
        tarball(lab);
        const in2 = lab.path("w", "in2.tar");
        spawnSync("tar", ["cf", in2, "-C", lab.dir, "src/b"]);
        spawnSync("sh", ["-c", `cat ${in2} >> ${lab.path("w/in.tar")}`]);
      },
    }),
    "--checkpoint-interval": importTar(["-c", "1"], {
      args: ["--tar-filter", `sh -c 'cat; sleep 1.2'`, ...AT, NEW, "W/in.tar"],
      inert: "the archive is the same when it is done",
    }),
  },
  extract: {
    "": [
      extract([]),
      extract([], { args: ["REPO::two", "src/sub", "sh:src/*.none"] }),
      extract([], { args: ["REPO::absent"] }),
    ],
    "--list": extract(["--list"]),
    "--dry-run": extract(["-n"]),
    "--numeric-owner": extract(["--numeric-owner"]),
    "--numeric-ids": extract(["--numeric-ids"], {
      inert: "the users of the archive are those of this system",
    }),
    "--nobsdflags": extract(["--nobsdflags"], { check: flagsGone }),
    "--noflags": extract(["--noflags"], { inert: "see check", check: flagsGone }),
    "--noacls": extract(["--noacls"], { inert: "see check", check: gone(["getfacl", "-cn"], /user:1:/) }),
    "--noxattrs": extract(["--noxattrs"], {
      inert: "see check",
      check: gone(["getfattr", "-d"], /user\.note/),
    }),
    "--stdout": extract(["--stdout"], { args: ["REPO::two", "src/a", "src/new"], spawn: true }),
    "--sparse": extract(["--sparse"], {
      args: ["REPO::two", "src/holes"],
      inert: "see check",
      check: (_r, _w, lab) => {
        const blocks = () =>
          Number(spawnSync("stat", ["-c", "%b", lab.path("w/out/src/holes")]).stdout.toString());
        expect(blocks()).toBe(0);
      },
    }),
    "--strip-components": extract(["--strip-components", "1"]),
    ...patterns({ args: ["REPO::two"], writes: true, out: true }),
  },
};

function extract(option: readonly string[], more: Partial<Behaviour> = {}): Behaviour {
  return { with: option, args: ["REPO::two"], writes: true, out: true, ...more };
}

/** Something that is not restored: it is seen with a tool, on what our run has left. */
function gone(tool: readonly string[], what: RegExp): NonNullable<Behaviour["check"]> {
  return async (_run, _without, lab) => {
    const look = (dir: string) =>
      spawnSync(tool[0]!, [...tool.slice(1), "src/empty"], { cwd: dir, encoding: "utf8" }).stdout;
    expect(look(lab.path("w/out"))).not.toMatch(what);
    expect(look(lab.dir)).toMatch(what);
  };
}

async function flagsGone(_run: unknown, _without: unknown, lab: Lab): Promise<void> {
  const look = (dir: string) =>
    spawnSync("lsattr", ["src/new"], { cwd: dir, encoding: "utf8" }).stdout.split(" ")[0];
  lab.restore();
  lab.touch();
  await lab.ours({ args: ["extract", "--noflags", `${lab.path("w/repo")}::two`], cwd: lab.path("w/out") });
  expect(look(lab.path("w/out"))).not.toMatch(/d/);
  expect(look(lab.dir)).toMatch(/d/);
}

/** Times of files made now. */
function now(text: string): string {
  return text.replace(/\w{3}, 2026-1[0-2]-\d\d \d\d:\d\d:\d\d/g, "now");
}
