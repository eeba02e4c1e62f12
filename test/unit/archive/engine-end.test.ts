// Where a file ends that is read while it grows or shrinks: by its status where a device's sizes are true, else by a read that
// gives nothing more.
import { expect, it } from "vitest";
import { pendingFile } from "../../../src/archive/create-entry.ts";
import { Channel } from "../../../src/archive/pipeline/channel.ts";
import { Engine } from "../../../src/archive/pipeline/engine.ts";
import type { FileSource } from "../../../src/archive/pipeline/engine-setup.ts";
import { Intake } from "../../../src/archive/pipeline/intake.ts";
import { CHANGED, JobWriter, readJob } from "../../../src/archive/pipeline/messages.ts";
import type { PendingFile } from "../../../src/archive/pipeline/pending-file.ts";
import { Core, coreModule } from "../../../src/core/index.ts";
import { Stat } from "../../../src/runtime/index.ts";
import { forgetfulSink, plainSetup } from "../../support/pipeline-parts.ts";

const SIZE = 5000;

interface Life {
  trueSizes: boolean;
  /** What its status says, where that is not what there is. */
  told?: number;
  /** Called before each call, by what has been called: the size from then on. */
  size?: (calls: string[]) => number;
}

async function back(life: Life): Promise<{ file: PendingFile; calls: string[]; bytes: number }> {
  const core = new Core(coreModule());
  const calls: string[] = [];
  let size = SIZE;
  let changes = 0;
  let position = 0;
  const call = (name: string): void => {
    const now = life.size?.(calls) ?? size;
    if (now !== size) changes++;
    size = now;
    calls.push(name);
  };
  const files: FileSource = {
    open: () => {
      call("open");
      return 7;
    },
    fstat: () => {
      call("fstat");
      const told = life.told ?? size;
      return Object.assign(new Stat(), { mode: 0o100644, size: told, ino: 9, dev: 3, ctimeNsec: changes });
    },
    endsAtSize: (dev) => dev === 3 && life.trueSizes,
    read: (_fd, at, n) => {
      call("read");
      const got = Math.max(0, Math.min(n, size - position));
      core.u8.fill(65, at, at + got);
      position += got;
      return got;
    },
    close: () => call("close"),
    ranges: () => undefined,
    seek: () => {},
  };
  const sizes = { largestBlob: 9 << 20, bufferBytes: 17 << 20 };
  const setup = plainSetup("buzhash,19,23,21,4095", { filesChanged: "ctime", ...sizes });
  const engine = new Engine(core, files, setup);
  const channel = Channel.create(10 << 20, new SharedArrayBuffer(4));
  engine.batch.slot = {
    entries: channel.entries[0]!,
    view: channel.recordViews[0]!,
    entryPos: 0,
    recordPos: 0,
  };
  const request = { size: life.told ?? SIZE, ino: 9, mode: 0o100644, ctimeSec: 0, ctimeNsec: 0 };
  const file = pendingFile("a", request, false);
  const job = new JobWriter(channel.jobs[0]!);
  job.add(file.request);
  for (const need of engine.run(readJob(channel.jobs[0]!))) expect(need).toBe("nothing");
  const { entries, view, entryPos, recordPos } = engine.batch.slot;
  await new Intake(forgetfulSink).take([file], entries.subarray(0, entryPos), view, recordPos);
  expect(file.done).toBe(true);
  return { file, calls, bytes: file.chunks.reduce((sum, chunk) => sum + chunk.size, 0) };
}

it("one that stays as it is is not read once more, where its size is true", async () => {
  const { file, calls, bytes } = await back({ trueSizes: true });
  expect(calls).toEqual(["open", "fstat", "read", "fstat", "close"]);
  expect(bytes).toBe(SIZE);
  expect(file.flags & CHANGED).toBe(0);
});

it("elsewhere it is, whatever its size says", async () => {
  const { calls, bytes } = await back({ trueSizes: false });
  expect(calls).toEqual(["open", "fstat", "read", "read", "fstat", "close"]);
  expect(bytes).toBe(SIZE);
  const lied = await back({ trueSizes: false, told: SIZE - 1000 });
  expect(lied.bytes).toBe(SIZE);
});

it.each([true, false])(
  "one that grows once it was read is read on (sizes are true: %s)",
  async (trueSizes) => {
    const size = (calls: string[]): number => (calls.includes("read") ? SIZE + 300 : SIZE);
    const { file, bytes } = await back({ trueSizes, size });
    expect(bytes).toBe(SIZE + 300);
    expect(file.flags & CHANGED).toBe(CHANGED);
  },
);

it("one that grows at every call until it is large is read to where it ends", async () => {
  const size = (calls: string[]): number => SIZE + 1000 * Math.min(calls.length, 12);
  const { file, bytes } = await back({ trueSizes: true, size });
  expect(bytes).toBe(SIZE + 12_000);
  expect(file.flags & CHANGED).toBe(CHANGED);
});

it("one that has become shorter ends there", async () => {
  const size = (calls: string[]): number => (calls.length > 1 ? SIZE - 77 : SIZE);
  const { file, bytes } = await back({ trueSizes: true, size });
  expect(bytes).toBe(SIZE - 77);
  expect(file.flags & CHANGED).toBe(CHANGED);
});
