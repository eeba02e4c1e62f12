// A walk told in slots, where files come as bytes, says what the same walk says in events.
import { chmodSync, linkSync, mkdirSync, rmSync, symlinkSync, unlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import {
  lookAtUnseen,
  newSlot,
  ScanReader,
  type ScanSlot,
  UNSEEN,
  XATTRS_NONE,
} from "../../../src/archive/pipeline/scan-channel.ts";
import { SlotSink, walkHere } from "../../../src/archive/pipeline/scan-events.ts";
import { inodeKey, type WalkEvent, Walker, type WalkOptions } from "../../../src/archive/walker.ts";
import { BackupRaceCondition } from "../../../src/errors.ts";
import { fs, libc, Stat, xattr } from "../../../src/runtime/index.ts";
import { PatternMatcher, parseInclExclCommand } from "../../../src/select/index.ts";
import { Sandbox } from "../../support/programs.ts";

const box = new Sandbox();
afterAll(() => box.remove());

const root = box.path("tree");
for (const dir of ["", "a", "a/b", "a/b/c", "skip", "skip/keep", "many", "tagged"])
  mkdirSync(join(root, dir));
for (const dir of ["", "a", "a/b", "a/b/c", "skip", "skip/keep"])
  for (const name of [
    "plain",
    "with space",
    "größe",
    "new\nline",
    "x".repeat(200),
    ".",
    ".hidden",
    "..x",
    "z.no",
  ])
    if (name !== ".") writeFileSync(join(root, dir, name), dir + name);
fs.mkdir(`${root}/a/bad\udcfename`, 0o755);
writeFileSync(
  Buffer.concat([Buffer.from(`${root}/a/bad`), Buffer.of(0xfe), Buffer.from("name/inside")]),
  "x",
);
writeFileSync(join(root, "tagged", "CACHEDIR.TAG"), "Signature: 8a477f597d28d172789f06886806bc55\n");
writeFileSync(join(root, "tagged", "rest"), "x");
// More than the kernel tells of in one call.
for (let i = 0; i < 5000; i++) writeFileSync(join(root, "many", `file-number-${i * 7919}`), "");
symlinkSync("nowhere", join(root, "a", "link"));
linkSync(join(root, "a", "plain"), join(root, "a", "b", "second"));
writeFileSync(join(root, "skipped"), "");
box.ok(box.run(["mkfifo", join(root, "pipe")]));
if (libc()) xattr.setXattr(join(root, "a", "plain"), "user.a", new Uint8Array(3));

function options(more: Partial<WalkOptions> = {}): WalkOptions {
  return {
    matcher: new PatternMatcher(true),
    excludeCaches: true,
    excludeIfPresent: [],
    keepExcludeTags: true,
    excludeNodump: false,
    oneFileSystem: true,
    skipInodes: new Set([inodeKey(fs.lstat(join(root, "skipped"), new Stat()))]),
    dryRun: false,
    ...more,
  };
}

function patterns(...texts: string[]): PatternMatcher {
  const matcher = new PatternMatcher(true);
  matcher.addInclExcl(texts.map((t) => parseInclExclCommand(t) as never));
  return matcher;
}

interface Told {
  path: string;
  what: unknown;
}

function events(walk: WalkOptions): Told[] {
  const told: Told[] = [];
  for (const event of new Walker(walk).walk(root)) told.push(toldOf(event));
  return told;
}

function toldOf(event: WalkEvent): Told {
  const { path } = event;
  if (event.type === "entry") return { path, what: { ...event.stat } };
  return { path, what: event.type === "status" ? event.status : event.problem.message };
}

function slots(
  walk: WalkOptions,
  looks = true,
): { told: Told[]; attributes: Map<string, number>; slots: number } {
  const told: Told[] = [];
  const attributes = new Map<string, number>();
  let count = 0;
  for (const slot of walkHere(walk, [root], looks, looks)) {
    count++;
    for (const reader = new ScanReader(slot); reader.next(); ) {
      const event = reader.event(new Stat());
      told.push(toldOf(event as WalkEvent));
      if (event.type === "entry") attributes.set(event.path, event.xattrs);
    }
  }
  return { told, attributes, slots: count };
}

/** As a walk ahead fills slots while the main thread waits: regular files are left to whoever reads them. */
function* leaving(walk: WalkOptions): Generator<ScanSlot> {
  const slot = newSlot(new ArrayBuffer(1 << 16), 0, 1 << 16);
  const sink = new SlotSink(slot, false, false);
  sink.leavesFiles = true;
  for (const event of new Walker(walk, sink).walkInto(root)) {
    if (sink.event(event)) continue;
    yield slot;
    sink.begin(slot);
    sink.again(event);
  }
  if (!sink.isEmpty) yield slot;
}

/** What is told by a walk that leaves files; `before` is called for each slot, before its files are looked at. */
function late(walk: WalkOptions, before?: (slot: ScanSlot) => void): { told: Told[]; unseen: number } {
  const told: Told[] = [];
  let unseen = 0;
  for (const slot of leaving(walk)) {
    before?.(slot);
    for (const reader = new ScanReader(slot); reader.next(); ) if (reader.xattrs === UNSEEN) unseen++;
    lookAtUnseen(slot);
    for (const reader = new ScanReader(slot); reader.next(); )
      told.push(toldOf(reader.event(new Stat()) as WalkEvent));
  }
  return { told, unseen };
}

describe.runIf(libc())("a walk that leaves files to others", () => {
  it.each<[string, () => Partial<WalkOptions>]>([
    ["everything", () => ({})],
    ["patterns", () => ({ matcher: patterns("- *.no", "! re:/skip$", "- re:/b/c/plain", "- pf:tree/a/b") })],
  ])("tells what the events tell: %s", (_, more) => {
    const { told, unseen } = late(options(more()));
    expect(told).toEqual(events(options(more())));
    expect(unseen).toBeGreaterThan(5000);
  });

  it("tells of files that are gone by then, and takes no directory for a file", () => {
    const names = ["gone", "replaced", "linked"].map((name) => join(root, "a", name));
    const [gone, replaced, linked] = names as [string, string, string];
    for (const name of names) writeFileSync(name, name);
    const { told } = late(options(), ({ bytes }) => {
      // Once: what a slot held before is in its rest.
      if (!fs.exists(gone) || !Buffer.from(bytes).includes(gone)) return;
      for (const name of names) if (fs.exists(name)) rmSync(name, { recursive: true });
      mkdirSync(replaced);
      symlinkSync("nowhere", linked);
    });
    const of = (name: string): unknown[] => told.filter(({ path }) => path === name).map(({ what }) => what);
    expect(of(gone)).toEqual([expect.stringContaining("ENOENT")]);
    expect(of(replaced)).toEqual([new BackupRaceCondition(replaced).message]);
    expect(of(linked)).toEqual([{ ...fs.lstat(linked, new Stat()) }]);
    for (const name of [replaced, linked]) rmSync(name, { recursive: true });
  });
});

describe("a walk in slots", () => {
  it.each<[string, () => Partial<WalkOptions>]>([
    ["everything", () => ({})],
    ["patterns", () => ({ matcher: patterns("- *.no", "! re:/skip$", "- re:/b/c/plain", "- pf:tree/a/b") })],
    [
      "an excluded directory with something in it that is not",
      () => ({ matcher: patterns("+ re:/keep", "- re:/skip") }),
    ],
    ["nothing", () => ({ matcher: new PatternMatcher(false) })],
    ["a trial", () => ({ dryRun: true, keepExcludeTags: false })],
    ["a look at flags", () => ({ excludeNodump: true })],
  ])("tells what the events tell: %s", (_, more) => {
    const expected = events(options(more()));
    const got = slots(options(more()));
    expect(got.told).toEqual(expected);
    expect(expected.length).toBeGreaterThan(0);
    if (expected.length > 5000) expect(got.slots).toBeGreaterThan(3);
  });

  it("tells names that cannot be looked at any more", () => {
    const gone = join(root, "a", "b", "c", "gone");
    writeFileSync(gone, "");
    const walk = slots.bind(undefined, {
      ...options(),
      matcher: new (class extends PatternMatcher {
        // Asked for each name before the look at it.
        override get isEmpty(): boolean {
          return false;
        }
        override match(path: string): boolean {
          if (path === gone && fs.exists(gone)) unlinkSync(gone);
          return true;
        }
      })(),
    });
    const { told } = walk();
    expect(told.filter(({ path }) => path === gone)).toEqual([
      { path: gone, what: expect.stringContaining("ENOENT") },
    ]);
    const paths = (all: Told[]) => all.map(({ path }) => path).filter((path) => path !== gone);
    expect(paths(told)).toEqual(paths(events(options())));
  });

  it.runIf(libc())("knows who has no attributes, with either system call", () => {
    const c = libc()!;
    const before = c.listsAt;
    const answers = [true, false].map((may) => {
      // Where the kernel has no call for it, both are the same.
      c.listsAt = may ? before : false;
      return slots(options()).attributes;
    });
    c.listsAt = before;
    expect(answers[0]).toEqual(answers[1]);
    expect(answers[0]!.get(join(root, "a", "b", "plain"))).toBe(XATTRS_NONE);
    expect(answers[0]!.get(join(root, "a", "plain"))).not.toBe(XATTRS_NONE);
    expect(answers[0]!.get(join(root, "a", "b", "second"))).not.toBe(XATTRS_NONE);
    const { attributes } = slots(options(), false);
    expect([...attributes.values()].every((a) => a !== XATTRS_NONE)).toBe(true);
  });

  it("goes on where a directory may not be read", () => {
    chmodSync(join(root, "a", "b"), 0);
    try {
      expect(slots(options()).told).toEqual(events(options()));
    } finally {
      chmodSync(join(root, "a", "b"), 0o755);
    }
  });
});
