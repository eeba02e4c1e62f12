import { availableParallelism } from "node:os";
import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    exclude: ["**/node_modules/**"],
    testTimeout: 120_000,
    hookTimeout: 120_000,
    pool: "forks",
    // The default is one less than there are processors: one on two. Many tests wait for a program or a timer.
    maxWorkers: Math.max(3, availableParallelism()),
  },
});
