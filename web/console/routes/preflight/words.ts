// The words of the line test, in the language that the visitor chose here or that his browser speaks.

import { signal } from "@preact/signals";
import { pickLanguage, translator, type Language, type Values } from "../../../shared/i18n/index.ts";
import en from "../../../shared/i18n/preflight/en.json";

export type Key = keyof typeof en;
type Plural<K extends string> = K extends `${infer B}.other` ? B : never;

export const language = signal<Language>("en");
const table = signal(translator<Key>(en, "en"));

/** The text of a key; views that call it redraw when the language changes. */
export const t = (key: Key | Plural<Key>, values?: Values): string => table.value(key as Key, values);

/** True when there are words for what was found. */
export const has = (key: string): key is Key => key in en;

export async function setLanguage(wish: Language): Promise<void> {
  const words = wish === "sw" ? (await import("../../../shared/i18n/preflight/sw.json")).default : en;
  table.value = translator<Key>(words, wish);
  language.value = wish;
  document.documentElement.lang = wish;
  document.title = t("title");
}

/** As the page was asked for, `?lang=sw`, or as the browser speaks. */
export const wishedLanguage = (): Language =>
  pickLanguage(new URLSearchParams(location.search).get("lang"), navigator.language);

/** A number as the language writes it. */
export const numeral = (value: number, digits = 0): string =>
  new Intl.NumberFormat(language.value, { minimumFractionDigits: 0, maximumFractionDigits: digits }).format(value);
