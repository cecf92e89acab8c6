// The words of the visitor's own page, so that support reads what he reads.

import { computed } from "@preact/signals";
import { translator, type Values } from "../../../shared/i18n/index.ts";
import en from "../../../shared/i18n/preflight/en.json";
import sw from "../../../shared/i18n/preflight/sw.json";
import { language } from "../../words.ts";

type Key = keyof typeof en;
const table = computed(() => translator<Key>(language.value === "sw" ? sw : en, language.value));

export const said = (key: Key, values?: Values): string => table.value(key, values);

/** One sentence that says what to do about what was found. */
export function advice(code: string | null | undefined): string {
  const key = `advice.${code ?? ""}`;
  return said(key in en ? (key as Key) : "advice.generic");
}
