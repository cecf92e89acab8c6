// Builds everything under `dist/` that the server embeds.
//
//   index.html               the console, for every route of it
//   demo.html                /demo
//   preflight.html           /preflight
//   assets/<name>-<hash>.*   immutable
//   widget/v1.js             loader, short-lived
//   widget/<version>/widget.mjs   immutable; beside it swahili.mjs
//   widget/integrity.json    sha384 of the widget and the loader
//   *.gz *.br                beside every text file, for the server to hand out
//
// `dist/.keep` stays: the server's build watches the folder.

import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";
import { build } from "vite";
import { prune, pruneTokens, shortenTokens, wordsOf } from "./prune.mjs";
import { checkSizes } from "./size.mjs";

const root = new URL("..", import.meta.url).pathname;
const dist = join(root, "dist");
const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
// Classic JSX saves the widget the second factory of the automatic one.
const jsx = {
  jsx: { runtime: "classic", pragma: "h", pragmaFrag: "Fragment" },
  jsxInject: 'import { h, Fragment } from "preact"',
};
/** Browsers with `light-dark()`; older ones would be given helper properties that we do not need. */
const CSS_TARGET = ["chrome123", "firefox120", "safari17.5"];
/** Custom properties that `element.tsx` reads or sets, or a host may set. */
const KEPT_TOKENS = [
  "--accent",
  "--accent-hover",
  "--accent-soft",
  "--accent-text",
  "--lane-customer",
  "--on-accent",
  "--surface",
];

/** Words of the widget's strings that are classes of the consoles only. */
const NO_CLASSES = ["avatar-customer", "count", "lane-customer", "notice-danger", "status", "tab"];

process.chdir(root);
for (const name of readdirSync(dist)) if (name !== ".keep") rmSync(join(dist, name), { recursive: true });

await build({ logLevel: "warn" });
await buildWidget();
writeLoader();
compress(dist);
process.exitCode = checkSizes() ? 0 : 1;

async function buildWidget() {
  const words = wordsOf(["widget", "shared/design"]);
  for (const word of NO_CLASSES) words.delete(word);
  const sheets = ["shared/design/tokens.css", "shared/design/components.css", "widget/widget.css"];
  const whole = sheets.map((path) => prune(readFileSync(join(root, path), "utf8"), words)).join("");
  const shorten = shortenTokens(whole, KEPT_TOKENS);
  const slim = (code) => shorten(pruneTokens(prune(code, words), whole, KEPT_TOKENS));
  const slimCss = {
    name: "prune-css",
    enforce: "pre",
    transform: (code, id) => (id.endsWith(".css?inline") ? { code: slim(code), map: null } : undefined),
  };
  await buildModule("widget/element.tsx", "widget.mjs", { oxc: jsx, plugins: [slimCss] });
  await buildModule("widget/swahili.ts", "swahili.mjs", {});
}

/** One self-contained module. Not vite's library mode, which leaves the white space in. */
async function buildModule(input, name, options) {
  await build({
    configFile: false,
    logLevel: "warn",
    ...options,
    build: {
      outDir: join(dist, "widget", version),
      rollupOptions: {
        input,
        preserveEntrySignatures: "allow-extension",
        output: { format: "es", entryFileNames: name, codeSplitting: false },
      },
      modulePreload: false,
      // Two per cent smaller than the built-in minifier, which is half a kilobyte for every visitor.
      minify: "terser",
      terserOptions: { ecma: 2020, module: true, compress: { passes: 3 }, format: { comments: false } },
      target: "es2022",
      cssTarget: CSS_TARGET,
      emptyOutDir: false,
    },
  });
}

/** The loader names the widget's exact version and its hash, so that a tampered file does not run. */
function writeLoader() {
  const folder = join(dist, "widget");
  mkdirSync(folder, { recursive: true });
  const integrity = sri(readFileSync(join(folder, version, "widget.mjs")));
  const loader = `(()=>{if(customElements.get("support-widget"))return;const s=document.createElement("script");s.type="module";s.src=new URL("${version}/widget.mjs",document.currentScript.src).href;s.crossOrigin="anonymous";s.integrity="${integrity}";document.head.append(s)})();\n`;
  writeFileSync(join(folder, "v1.js"), loader);
  const list = { version, files: { "v1.js": sri(Buffer.from(loader)), [`${version}/widget.mjs`]: integrity } };
  writeFileSync(join(folder, "integrity.json"), JSON.stringify(list, null, 2) + "\n");
}

function sri(bytes) {
  return "sha384-" + createHash("sha384").update(bytes).digest("base64");
}

function compress(folder) {
  for (const name of readdirSync(folder, { recursive: true })) {
    const path = join(folder, name);
    if (!statSync(path).isFile() || !/\.(html|js|mjs|css|json|svg)$/.test(name)) continue;
    const bytes = readFileSync(path);
    writeFileSync(path + ".gz", gzipSync(bytes, { level: 9 }));
    const params = { [constants.BROTLI_PARAM_QUALITY]: 11 };
    writeFileSync(path + ".br", brotliCompressSync(bytes, { params }));
  }
}
