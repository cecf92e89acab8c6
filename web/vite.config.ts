// The console, the demo page and the line test: one HTML each, hashed assets beside them. The widget is built by `scripts/build.mjs`.
import { defineConfig } from "vite";

export default defineConfig({
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  build: {
    outDir: "dist",
    emptyOutDir: false,
    // `modulepreload` needs its helper only in browsers that are too old for us.
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0,
    cssTarget: ["chrome123", "firefox120", "safari17.5"],
    rollupOptions: { input: ["index.html", "demo.html", "preflight.html"] },
  },
});
