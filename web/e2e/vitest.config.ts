import { defineConfig } from "vitest/config";

// One scenario at a time: two browsers and a server on two cores are tight, and a starved processor looks like loss.
export default defineConfig({
  test: {
    include: ["e2e/**/*.e2e.ts"],
    fileParallelism: false,
    testTimeout: 180_000,
    hookTimeout: 180_000,
    maxWorkers: 1,
    // A scenario is one story: after a broken step the next ones say nothing.
    bail: 1,
  },
});
