// What the create pipeline's parts need to run by themselves: nothing is encrypted, compressed or stored.
import type { EngineSetup } from "../../src/archive/pipeline/engine-setup.ts";
import type { ChunkSink } from "../../src/archive/pipeline/intake.ts";
import { parseChunkerParams } from "../../src/chunker/index.ts";
import { choose } from "../../src/core/choose.ts";
import { HashIndex } from "../../src/core/hashindex.ts";
import { plaintextMaterial } from "../../src/crypto/material.ts";

export function plainSetup(
  chunker: string,
  more: Pick<EngineSetup, "filesChanged" | "largestBlob" | "bufferBytes">,
): EngineSetup {
  return {
    material: plaintextMaterial(),
    compression: { name: "none" },
    chunker: parseChunkerParams(chunker),
    index: HashIndex.create(3, 0, true).share(),
    sparse: false,
    choice: choose(),
    pieceBytes: 0,
    ...more,
  };
}

/** Takes everything as new, and forgets it. */
export const forgetfulSink: ChunkSink = {
  count: () => -1,
  expect: () => {},
  store: async () => {},
  newIndex: () => undefined,
  reserveNonces: async () => 0,
  release: async () => {},
};
