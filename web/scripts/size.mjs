// Fails when a bundle has outgrown its limit. Sizes are gzip, what a visitor's line carries.

import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { gzipSync } from "node:zlib";

const dist = new URL("../dist", import.meta.url).pathname;

/** Bytes of the widget: a host page loads it for every visitor. */
export const WIDGET_BYTES_MAX = 25_000;
/** Bytes of the console until its first view: a second on a slow line. */
export const CONSOLE_BYTES_MAX = 60_000;

const gzip = (path) => gzipSync(readFileSync(path), { level: 9 }).length;

/** Prints every size; false when one is too large. */
export function checkSizes() {
  const widgets = readdirSync(join(dist, "widget")).map((name) => join(dist, "widget", name, "widget.mjs"));
  const widget = widgets.filter(existsSync).reduce((sum, path) => sum + gzip(path), 0);
  const consoleBytes = firstView().reduce((sum, path) => sum + gzip(path), gzip(join(dist, "index.html")));
  return [
    report("widget", widget, WIDGET_BYTES_MAX),
    report("console, first route", consoleBytes, CONSOLE_BYTES_MAX),
  ].every(Boolean);
}

/**
 * Files of the console's first view: what its page names and the agent's route, with everything that those import at
 * once, and the words of the longer language.
 */
function firstView() {
  const assets = join(dist, "assets");
  const names = readdirSync(assets).filter((name) => /\.(js|css)$/.test(name));
  const page = readFileSync(join(dist, "index.html"), "utf8");
  const words = names.filter((name) => /^sw-/.test(name)).sort((a, b) => bytes(b) - bytes(a));
  const waiting = [
    ...names.filter((name) => page.includes(`/assets/${name}`) || /^agent-/.test(name)),
    ...words.slice(0, 1),
  ];
  const first = new Set();
  for (let name = waiting.pop(); name; name = waiting.pop()) {
    if (first.has(name)) continue;
    first.add(name);
    if (!name.endsWith(".js")) continue;
    const text = readFileSync(join(assets, name), "utf8");
    for (const [, other] of text.matchAll(/(?:from|import)\s*["']\.\/([\w.-]+\.js)["']/g)) waiting.push(other);
  }
  return [...first].map((name) => join(assets, name));

  function bytes(name) {
    return statSync(join(assets, name)).size;
  }
}

function report(name, bytes, max) {
  const fits = bytes > 0 && bytes <= max;
  console.log(`${fits ? "ok " : "BAD"} ${name}: ${(bytes / 1000).toFixed(1)} kB gzip of ${max / 1000}`);
  return fits;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) process.exitCode = checkSizes() ? 0 : 1;
