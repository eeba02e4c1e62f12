// Archives made of entries by the library: every kind of entry, what is refused, progress and cancellation. borg lists
// and extracts what was made.
import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  AlcoveError,
  type ArchiveItem,
  type Entry,
  type ProgressEvent,
  Repository,
} from "../../../src/index.ts";
import { alcoveCommand, Sandbox } from "../../support/programs.ts";

const box = new Sandbox();
const location = box.path("repo");
const options = { passphrase: "correct horse", env: box.env };
let repository: Repository;
beforeAll(async () => {
  repository = await Repository.init(location, { ...options, encryption: "repokey" });
});
afterAll(async () => {
  await repository.close();
  box.remove();
});

const items = async (name: string): Promise<ArchiveItem[]> => {
  const out: ArchiveItem[] = [];
  for await (const item of (await repository.archive(name)).items()) out.push(item);
  return out;
};
const text = async (name: string, path: string): Promise<string> =>
  new Response((await repository.archive(name)).stream(path)).text();

describe("entries", () => {
  async function* all(): AsyncGenerator<Entry> {
    yield { path: "d", type: "directory", mode: 0o700, uid: 1000, gid: 100, user: "me", group: "us" };
    yield { path: "d/text", content: "text\n", mtime: 1_234_567_890_123_456_789n };
    yield {
      path: "d/bytes",
      content: Uint8Array.of(0, 255),
      xattrs: new Map([["user.k", Uint8Array.of(1)]]),
    };
    yield { path: "d/pieces", content: [Uint8Array.of(1), Uint8Array.of(2, 3)] };
    yield { path: "d/stream", content: new Blob(["streamed"]).stream() as ReadableStream<Uint8Array> };
    yield { path: "d/first", content: "shared", linked: true, mode: 0o600 };
    yield { path: "d/second", type: "hard-link", target: "d/first" };
    yield { path: "d/link", type: "symlink", target: "text" };
    yield { path: "d/fifo", type: "fifo" };
    yield { path: "d/null", type: "char-device", device: { major: 1, minor: 3 }, mode: 0o666 };
    yield { path: "d/disk", type: "block-device", device: { major: 259, minor: 70000 } };
  }

  it("become items", async () => {
    const stats = await repository.create("all", all(), { comment: "made", compression: "zstd,3" });
    expect(stats.files).toBe(5);
    const made = new Map((await items("all")).map((i) => [i.path, i]));
    expect([...made.keys()].length).toBe(11);
    expect(made.get("d")).toMatchObject({ type: "directory", mode: 0o700, uid: 1000, group: "us" });
    expect(made.get("d/text")).toMatchObject({ size: 5, mtime: 1_234_567_890_123_456_789n, mode: 0o644 });
    expect(made.get("d/bytes")!.xattrs!.get("user.k")).toEqual(Uint8Array.of(1));
    expect(made.get("d/second")).toMatchObject({ type: "file", hardlinkOf: "d/first", mode: 0o600 });
    expect(made.get("d/link")).toMatchObject({ type: "symlink", target: "text" });
    expect(made.get("d/fifo")!.type).toBe("fifo");
    expect(made.get("d/null")).toMatchObject({ type: "char-device", device: { major: 1, minor: 3 } });
    expect(made.get("d/disk")).toMatchObject({ type: "block-device", device: { major: 259, minor: 70000 } });
    expect(await text("all", "d/stream")).toBe("streamed");
    expect(await text("all", "d/second")).toBe("shared");
    expect((await repository.archive("all")).info.comment).toBe("made");
  });

  it("are what borg reads", async () => {
    await repository.close();
    box.ok(box.borg(["check", "--verify-data", "repo"]));
    mkdirSync(box.path("out"));
    // As a user who may not make devices, borg warns of them.
    box.ok(box.borg(["extract", "../repo::all"], { cwd: box.path("out") }), [0, 1]);
    const r = box.ok(
      box.run(["stat", "-c", "%n %F %a %h %t:%T", ...readdirSync(box.path("out/d")).sort()], {
        cwd: box.path("out/d"),
      }),
    );
    expect(r.stdout).toContain("first regular file 600 2 ");
    expect(r.stdout).toContain("second regular file 600 2 ");
    expect(r.stdout).toContain("fifo fifo 644 1 ");
    if (process.getuid!() === 0) {
      expect(r.stdout).toContain("null character special file 666 1 1:3\n");
      expect(r.stdout).toContain("disk block special file 644 1 103:11170\n");
    }
    // One name of two alone is a file.
    mkdirSync(box.path("one"));
    box.ok(box.borg(["extract", "../repo::all", "d/second"], { cwd: box.path("one") }));
    expect(readdirSync(join(box.path("one"), "d"))).toEqual(["second"]);
    repository = await Repository.open(location, { ...options, mode: "write" });
  });

  it.each<[string, unknown]>([
    ["a path that names nothing", { path: "", content: "" }],
    ["a type that is none", { path: "x", type: "door" }],
    ["a hard link to nothing", { path: "x", type: "hard-link", target: "nowhere" }],
    ["a device without numbers", { path: "x", type: "char-device" }],
    ["a device that cannot be", { path: "x", type: "block-device", device: { major: 4096, minor: 0 } }],
  ])("are refused: %s", async (_, entry) => {
    const making = repository.create("refused", [{ path: "before", content: "x" }, entry as Entry]);
    await expect(making).rejects.toBeInstanceOf(AlcoveError);
    expect((await repository.archives()).map((a) => a.name)).toEqual(["all"]);
  });
});

describe("progress and cancellation", () => {
  async function* endless(onStep?: (i: number) => void): AsyncGenerator<Entry> {
    for (let i = 0; ; i++) {
      onStep?.(i);
      yield { path: `f${i}`, content: `content ${i}\n`.repeat(1000) };
    }
  }

  it("tells of each entry", async () => {
    const events: ProgressEvent[] = [];
    const three: Entry[] = ["a", "b", "c"].map((path) => ({ path, content: path.repeat(10) }));
    await repository.create("three", three, { onProgress: (e) => events.push(e) });
    const own = events.filter((e) => e.operation === "create");
    // More than one where a file is large.
    expect([...new Set(own.flatMap((e) => e.path ?? []))]).toEqual(["a", "b", "c"]);
    expect([...new Set(own.map((e) => e.current))].filter((n) => n > 0)).toEqual([10, 20, 30]);
    expect(own.at(-1)!.stats).toMatchObject({ files: 3, originalSize: 30 });
    await repository.delete("three", { onProgress: (e) => expect(e.operation).toBe("delete") });
  });

  it("ends a create that would not end, and leaves nothing", async () => {
    const control = new AbortController();
    const reason = new Error("enough");
    const making = repository.create(
      "endless",
      endless((i) => i === 5 && control.abort(reason)),
      { signal: control.signal },
    );
    await expect(making).rejects.toBe(reason);
    expect((await repository.archives()).map((a) => a.name)).toEqual(["all"]);
    await repository.create("after", [{ path: "x", content: "x" }]);
    await repository.delete("after");
  });

  it("ends a create whose source hangs", async () => {
    const signal = AbortSignal.timeout(50);
    const hanging: AsyncIterable<Entry> = {
      [Symbol.asyncIterator]: () => ({ next: () => new Promise(() => {}) }),
    };
    await expect(repository.create("hangs", hanging, { signal })).rejects.toMatchObject({
      name: "TimeoutError",
    });
    const content: AsyncIterable<Uint8Array> = {
      [Symbol.asyncIterator]: () => ({ next: () => new Promise(() => {}) }),
    };
    const again = repository.create("hangs", [{ path: "x", content }], { signal: AbortSignal.timeout(50) });
    await expect(again).rejects.toMatchObject({ name: "TimeoutError" });
  });

  it("ends backup, extract, check and the reading of items", async () => {
    const aborted = AbortSignal.abort(new Error("before"));
    mkdirSync(box.path("target"), { recursive: true });
    const archive = await repository.archive("all");
    await expect(repository.backup("b", [box.path("out")], { signal: aborted })).rejects.toThrow("before");
    await expect(repository.check({ signal: aborted })).rejects.toThrow("before");
    await expect(archive.extract(box.path("target"), { signal: aborted })).rejects.toThrow("before");
    await expect(archive.items({ signal: aborted }).next()).rejects.toThrow("before");
    await expect(archive.read("d/text", { signal: aborted }).next()).rejects.toThrow("before");
    expect((await repository.archives()).map((a) => a.name)).toEqual(["all"]);
  });

  it("fails with the source's own error", async () => {
    async function* failing(): AsyncGenerator<Entry> {
      yield { path: "x", content: "x" };
      throw new RangeError("the source is broken");
    }
    await expect(repository.create("fails", failing())).rejects.toThrow("the source is broken");
    expect(await repository.check()).toBe(true);
  });
});

it("does all of it behind a connection", async () => {
  // In place of ssh: runs here what would be run there.
  const rsh = box.path("rsh");
  writeFileSync(rsh, '#!/bin/sh\nwhile [ "$1" != there ]; do shift; done\nshift\nexec sh -c "$*"\n', {
    mode: 0o755,
  });
  const remotePath = alcoveCommand()
    .map((w) => `'${w}'`)
    .join(" ");
  const away = { ...options, rsh, remotePath };
  const address = `ssh://there${box.path("away")}`;
  const far = await Repository.init(address, { ...away, encryption: "repokey-blake2" });
  try {
    await far.create("one", [{ path: "x", content: "far away" }], { compression: "zstd" });
    await far.create("two", [{ path: "x", content: "further" }]);
    await far.delete("two");
    await far.compact();
    expect(await far.check()).toBe(true);
  } finally {
    await far.close();
  }
  const reading = await Repository.open(address, away);
  try {
    expect((await reading.archives()).map((a) => a.name)).toEqual(["one"]);
    expect(await new Response((await reading.archive("one")).stream("x")).text()).toBe("far away");
  } finally {
    await reading.close();
  }
  box.ok(box.borg(["check", "--verify-data", "away"]));
});
