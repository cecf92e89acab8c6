// Fails when a bundle has outgrown its limit. Sizes are gzip, what a visitor's line carries.

import { existsSync, readdirSync, readFileSync } from "node:fs";
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
  // The first view of the console is its page, the styles and every script the page or the agent's route needs.
  const assets = readdirSync(join(dist, "assets")).filter((name) => /\.(js|css)$/.test(name));
  const first = assets.filter((name) => !/^(qa|demo|call|admin|preflight|consult|story|events)[-.]/.test(name));
  const consoleBytes = first.reduce(
    (sum, name) => sum + gzip(join(dist, "assets", name)),
    gzip(join(dist, "index.html")),
  );
  return [
    report("widget", widget, WIDGET_BYTES_MAX),
    report("console, first route", consoleBytes, CONSOLE_BYTES_MAX),
  ].every(Boolean);
}

function report(name, bytes, max) {
  const fits = bytes > 0 && bytes <= max;
  console.log(`${fits ? "ok " : "BAD"} ${name}: ${(bytes / 1000).toFixed(1)} kB gzip of ${max / 1000}`);
  return fits;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) process.exitCode = checkSizes() ? 0 : 1;
