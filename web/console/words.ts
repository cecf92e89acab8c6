// The consoles' words, in the language the person chose here or the browser's.

import { signal } from "@preact/signals";
import { console as en } from "../shared/i18n/en.json";
import { pickLanguage, translator, type Language, type Values } from "../shared/i18n/index.ts";

export type Key = keyof typeof en;
type Plural<K extends string> = K extends `${infer B}.other` ? B : never;

const CHOICE_KEY = "helpline-language";

export const language = signal<Language>("en");
const table = signal(translator<Key>(en, "en"));

/** The text of a key; views that call it redraw when the language changes. */
export const t = (key: Key | Plural<Key>, values?: Values): string => table.value(key as Key, values);

export async function setLanguage(wish: Language): Promise<void> {
  const words = wish === "sw" ? (await import("../shared/i18n/sw.json")).console : en;
  table.value = translator<Key>(words, wish);
  language.value = wish;
  document.documentElement.lang = wish;
}

export function rememberLanguage(wish: Language): void {
  localStorage.setItem(CHOICE_KEY, wish);
  void setLanguage(wish);
}

export const wishedLanguage = (): Language => pickLanguage(localStorage.getItem(CHOICE_KEY), navigator.language);

/** The language as it is written where the person lives: a browser set to en-KE wants 16:40 and not 4:40 PM. */
const region = (): string =>
  (typeof navigator === "undefined" ? [] : navigator.languages).find(
    (wish) => wish.split("-")[0] === language.value && wish.includes("-"),
  ) ?? language.value;

/** 10:02 */
export const timeOfDay = (at: string): string =>
  new Intl.DateTimeFormat(region(), { hour: "2-digit", minute: "2-digit" }).format(new Date(at));

/** Mon 23 Nov, 10:02 */
export const dayAndTime = (at: string): string =>
  new Intl.DateTimeFormat(region(), {
    weekday: "short",
    day: "numeric",
    month: "short",
    year: "numeric",
    hour: "2-digit",
    minute: "2-digit",
  }).format(new Date(at));

/** A number with one digit after the point, as the language writes it. */
export const oneDigit = (value: number): string =>
  new Intl.NumberFormat(language.value, { minimumFractionDigits: 1, maximumFractionDigits: 1 }).format(value);

export const wholeNumber = (value: number): string =>
  new Intl.NumberFormat(language.value, { maximumFractionDigits: 0 }).format(value);
