// Which key a check takes is found out from a sample: that of most objects, without holding or reading much.
import { expect, test } from "vitest";
import { openCheckedObjects } from "../../../src/archive/check-key.ts";
import { localEnvironment } from "../../../src/cache/dirs.ts";
import { loadCore } from "../../../src/core/index.ts";
import { IntegrityError, ObjectNotFound } from "../../../src/errors.ts";
import type { Repository } from "../../../src/repository/types.ts";
import { temporaryDir } from "../crypto/support.ts";

const PLAINTEXT = 0x02;
const REPOKEY = 0x03;

/** A repository of these objects (undefined: damaged), and how many were read. */
function sample(objects: readonly (Uint8Array | undefined)[]) {
  const ids = objects.map((_, i) => new Uint8Array(32).fill(i + 1));
  let read = 0;
  const repository = {
    isRemote: false,
    get: async (id: Uint8Array) => {
      read++;
      const blob = objects[id[0]! - 1];
      if (!blob) throw id[0]! % 2 ? new IntegrityError("damaged") : new ObjectNotFound("", "");
      return blob;
    },
    loadKey: async () => new Uint8Array(0),
  } as unknown as Repository;
  const opened = openCheckedObjects(
    repository,
    ids,
    localEnvironment({ BORG_BASE_DIR: temporaryDir() }),
    loadCore(),
  );
  return { opened, read: () => read };
}

const blob = (type: number, size: number): Uint8Array => new Uint8Array(size).fill(type, 0, 1);

test("the type of most objects is believed", async () => {
  const objects = Array.from({ length: 99 }, (_, i) =>
    i % 5 === 0 ? undefined : blob(i % 3 === 0 ? REPOKEY : PLAINTEXT, i % 7 === 0 ? 20 : 300),
  );
  const { opened, read } = sample([blob(REPOKEY, 300), ...objects]);
  expect((await opened).key.name).toBe("plaintext");
  expect(read()).toBe(99);
});

test("of large objects few are read, but not one alone decides", async () => {
  const large = [blob(REPOKEY, 12 << 20), ...Array.from({ length: 60 }, () => blob(PLAINTEXT, 3 << 20))];
  const { opened, read } = sample(large);
  expect((await opened).key.name).toBe("plaintext");
  expect(read()).toBe(9);
});

test("where nothing can be read there is no key", async () => {
  await expect(sample([undefined, undefined, new Uint8Array(0)]).opened).rejects.toThrow(IntegrityError);
});
