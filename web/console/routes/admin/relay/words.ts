// The words of the relay's page, in the language of the consoles: apart, because few people need them.

import { computed } from "@preact/signals";
import en from "../../../../shared/i18n/relay/en.json";
import sw from "../../../../shared/i18n/relay/sw.json";
import { translator, type Values } from "../../../../shared/i18n/index.ts";
import { language } from "../../../words.ts";

export type Key = keyof typeof en;

const table = computed(() => translator<Key>(language.value === "sw" ? sw : en, language.value));

/** The text of a key; views that call it redraw when the language changes. */
export const t = (key: Key, values?: Values): string => table.value(key, values);
