// Whoever waits for a worker does not wait for one that has nothing to tell: a backup whose queue was full when its last file
// came back did so for ever.
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { alcoveCommand, root, Sandbox } from "../support/programs.ts";

const box = new Sandbox();
afterAll(() => box.remove());

it("a full queue of which everything has arrived", () => {
  const [node] = alcoveCommand("node26");
  const driver = join(root, "test", "fault", "pipeline-driver.ts");
  expect(box.ok(box.run([node!, driver], { timeout: 30_000 })).stdout).toBe("done\n");
});
