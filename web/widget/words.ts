// The widget's words. English comes with it; Swahili is a file of its own, fetched when somebody wants it, and until it is
// there (or when it cannot be had) the words are English.

import { widget as en } from "../shared/i18n/en.json";
import { fill, type Language, type Values } from "../shared/i18n/index.ts";

export type Key = keyof typeof en;
export type Translate = (key: Key, values?: Values) => string;

let swahili: Record<Key, string> | undefined;

/** Loads the words of a language; true when the page should be drawn again. */
export async function loadWords(language: Language): Promise<boolean> {
  if (language !== "sw" || swahili) return false;
  try {
    // A file beside this one, named at run time so that the bundler adds no helper for it.
    const url = new URL(/* @vite-ignore */ "swahili.mjs", import.meta.url).href;
    swahili = ((await import(/* @vite-ignore */ url)) as typeof import("./swahili.ts")).words;
    return true;
  } catch {
    return false;
  }
}

export const words =
  (language: Language): Translate =>
  (key, values) =>
    fill((language === "sw" && swahili ? swahili : en)[key], values);
