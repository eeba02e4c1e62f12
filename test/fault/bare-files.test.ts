// Names of attributes are listed once for a file that has none, and again when its ctime or inode says that this may have
// changed: by the system calls that are made.
import {
  appendFileSync,
  chmodSync,
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it, vi } from "vitest";
import { changeTimeTellsOfAttributes } from "../../src/archive/metadata-flags.ts";
import { attributeSight } from "../../src/runtime/attribute-sight.ts";
import { xattr } from "../../src/runtime/index.ts";
import { OLD } from "./life.ts";
import { faults, hookLibc } from "./system-calls.ts";
import { World } from "./world.ts";

vi.mock("node:fs", async (original) => {
  const { hookedFs } = await import("./system-calls.ts");
  return hookedFs(await original<typeof import("node:fs")>());
});

const FILES = 200;
let dir: string;
let source: string;
let world: World;
const file = (i: number): string => join(source, `file${i}`);

beforeAll(async () => {
  hookLibc();
  dir = mkdtempSync(join(tmpdir(), "alcove-bare-"));
  source = join(dir, "source");
  mkdirSync(source);
  for (let i = 0; i < FILES; i++) writeFileSync(file(i), `${i}`);
  await newest();
  mkdirSync(join(dir, "world"));
  world = new World(join(dir, "world"), OLD);
  await world.make(1_000_000, 100);
  await world.init("none");
});
afterAll(() => {
  faults.before = undefined;
  rmSync(dir, { recursive: true, force: true });
});

/** A file of a later tick of the clock: the newest one that was read is not kept in the files cache. */
async function newest(): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, 30));
  writeFileSync(join(source, "newest"), `${Math.random()}`);
}

let archives = 0;
/** Lists of attributes that a backup asks for. */
async function lists(): Promise<number> {
  await newest();
  let n = 0;
  faults.before = (call) => {
    if (call === "llistxattr" || call === "listxattrat" || call === "flistxattr") n++;
    return undefined;
  };
  try {
    await world.create(`a${archives++}`, [source], { attributes: true });
  } finally {
    faults.before = undefined;
  }
  return n;
}

// The directory and the newest file are asked for each time.
const ALWAYS = 2;
// To learn that a file has attributes, and which.
const ATTRIBUTED = 2;

const isKnown = (): boolean =>
  attributeSight() !== undefined && changeTimeTellsOfAttributes(statSync(dir).dev, { path: dir });

it("once a file, and again for what may have changed", async ({ skip }) => {
  skip(!isKnown(), "the file system of temporary files does not keep ctime so");
  // (Whether the kernel lists relative to a directory is tried with one more.)
  expect(await lists()).toBeGreaterThanOrEqual(FILES + ALWAYS);
  expect(await lists()).toBe(ALWAYS);
  chmodSync(file(1), 0o600); // a new ctime
  appendFileSync(file(2), "longer");
  writeFileSync(join(dir, "new"), "3");
  renameSync(join(dir, "new"), file(3));
  xattr.setXattr(file(4), "user.one", Uint8Array.of(1));
  expect(await lists()).toBe(3 + ATTRIBUTED + ALWAYS);
  // Those that turned out to have none are known again. The one that has some is listed each time.
  expect(await lists()).toBe(ATTRIBUTED + ALWAYS);
  xattr.removeXattr(file(4), "user.one");
  expect(await lists()).toBe(1 + ALWAYS);
  expect(await lists()).toBe(ALWAYS);
});
