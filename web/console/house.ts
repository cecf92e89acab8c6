// The words of the pages that few of the staff open: apart, so that nobody else waits for them.

import { computed } from "@preact/signals";
import en from "../shared/i18n/house/en.json";
import sw from "../shared/i18n/house/sw.json";
import { translator, type Values } from "../shared/i18n/index.ts";
import { language } from "./words.ts";

export type Key = keyof typeof en;
type Plural<K extends string> = K extends `${infer B}.other` ? B : never;
const table = computed(() => translator<Key>(language.value === "sw" ? sw : en, language.value));

/** The text of a key; views that call it redraw when the language changes. */
export const h = (key: Key | Plural<Key>, values?: Values): string => table.value(key as Key, values);
