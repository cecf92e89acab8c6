// Leaves out of a style sheet the rules whose classes a bundle never names, so that the widget carries one design system
// and not all of it. A class counts as used when its name stands in a string of the bundle's sources.

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** Every word in a string of the sources: one of them may be a class. */
export function wordsOf(folders) {
  const words = new Set();
  for (const folder of folders) {
    for (const name of readdirSync(folder, { recursive: true })) {
      if (!/\.tsx?$/.test(name)) continue;
      const code = readFileSync(join(folder, name), "utf8").replace(/^\s*(\/\/|\*|\/\*).*$/gm, "");
      for (const text of code.match(/"[^"\n]*"|`[^`]*`/g) ?? []) {
        for (const word of text.match(/[a-z][a-z0-9-]*/g) ?? []) words.add(word);
      }
    }
  }
  return words;
}

/** Takes the declarations of custom properties away that no rule of `css` uses; `kept` are read from script. */
export function pruneTokens(tokens, css, kept) {
  const used = new Set([...kept, ...[...(tokens + css).matchAll(/var\((--[\w-]+)/g)].map(([, name]) => name)]);
  return tokens.replace(/(--[\w-]+):[^;}]*;/g, (whole, name) => (used.has(name) ? whole : ""));
}

/** Gives custom properties one or two letters; `kept` are read or set from script or by the host. */
export function shortenTokens(whole, kept) {
  const count = new Map();
  for (const [name] of whole.matchAll(/--[a-z][\w-]*/g)) count.set(name, (count.get(name) ?? 0) + 1);
  const names = [...count.keys()].filter((name) => !kept.includes(name)).sort((a, b) => count.get(b) - count.get(a));
  const short = new Map(names.map((name, n) => [name, `--${n.toString(36)}`]));
  return (css) => css.replace(/--[a-z][\w-]*/g, (name) => short.get(name) ?? name);
}

/** The style sheet without unused rules. Understands our own sheets: no braces or commas in strings. */
export function prune(css, words) {
  return rules(css.replace(/\/\*[\s\S]*?\*\//g, ""), words);
}

function rules(css, words) {
  let out = "";
  let at = 0;
  while (at < css.length) {
    const open = css.indexOf("{", at);
    if (open < 0) break;
    const head = css.slice(at, open).trim();
    const close = closing(css, open);
    const body = css.slice(open + 1, close);
    at = close + 1;
    if (head.startsWith("@media") || head.startsWith("@supports")) {
      const inner = rules(body, words);
      if (inner) out += `${head}{${inner}}\n`;
    } else if (head.startsWith("@")) {
      out += `${head}{${body}}\n`;
    } else {
      const kept = split(head).filter((selector) => isUsed(selector, words));
      if (kept.length > 0) out += `${kept.join(",")}{${body.trim()}}\n`;
    }
  }
  return out;
}

/** Where the block that opens at `open` closes. */
function closing(css, open) {
  let depth = 0;
  for (let at = open; at < css.length; at++) {
    if (css[at] === "{") depth++;
    if (css[at] === "}" && --depth === 0) return at;
  }
  throw new Error("a block of a style sheet never closes");
}

/** The selectors of a list; commas within brackets do not divide. */
function split(list) {
  return list.split(/,(?![^(]*\))/).map((selector) => selector.trim());
}

/** A shadow root is no document and has no forms of ours: what speaks of those never applies there. */
const FOREIGN = /^:root|^\[data-theme|^fieldset/;

/** True when every class outside of `:is(…)`, `:where(…)` and `:not(…)` is named somewhere. */
function isUsed(selector, words) {
  if (FOREIGN.test(selector)) return false;
  const plain = selector.replace(/:(is|where|not|has)\([^)]*\)/g, "");
  return [...plain.matchAll(/\.([a-z][\w-]*)/gi)].every(([, name]) => words.has(name));
}
