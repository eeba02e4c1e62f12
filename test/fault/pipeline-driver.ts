// Drives the create pipeline by hand, in a process of its own (its threads run from the sources): waits for what has arrived
// already. Says "done" at the end.
import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pendingFile } from "../../src/archive/create-entry.ts";
import type { PendingFile } from "../../src/archive/pipeline/pending-file.ts";
import { CreatePipeline } from "../../src/archive/pipeline/pipeline.ts";
import { forgetfulSink, plainSetup } from "../support/pipeline-parts.ts";

const dir = mkdtempSync(join(tmpdir(), "alcove-pipeline-"));
const file = (i: number): PendingFile => {
  const path = join(dir, `file${i}`);
  writeFileSync(path, `contents ${i}`);
  const { size, ino, mode, ctimeMs } = statSync(path);
  const [sec, nsec] = [Math.floor(ctimeMs / 1000), 0];
  return pendingFile(path, { size, ino, mode, ctimeSec: sec, ctimeNsec: nsec }, false);
};
const pipeline = new CreatePipeline({
  workers: 2,
  setup: plainSetup("buzhash,10,14,12,4095", {
    filesChanged: "disabled",
    largestBlob: 1 << 20,
    bufferBytes: 4 << 20,
  }),
  sink: forgetfulSink,
  asyncSink: false,
  entryBytes: 4 << 20,
  readHere: 0,
});
try {
  // Enough for a job: the workers are started.
  for (let i = 0; i < 300; i++) await pipeline.submit(file(i));
  await pipeline.drain();
  for (let round = 0; round < 3; round++) {
    const last = file(1000 + round);
    await pipeline.submit(last);
    await pipeline.flush(false);
    // Its worker has told everything by then, and has nothing more to tell.
    await new Promise((resolve) => setTimeout(resolve, 300));
    await pipeline.flush(true);
    if (!last.done) throw new Error("what had arrived was not taken in");
  }
} finally {
  await pipeline.close();
  rmSync(dir, { recursive: true });
}
console.log("done");
