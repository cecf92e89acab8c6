// Words by key. A message is a text with `{names}`; a message with `one` and `other` forms is chosen by `{n}`.

export const LANGUAGES = ["en", "sw"] as const;
export type Language = (typeof LANGUAGES)[number];
export type Values = Record<string, string | number>;

/** The language to use for what a host or browser asks for (`sw-KE`), English when we do not speak it. */
export function pickLanguage(...wishes: (string | null | undefined)[]): Language {
  for (const wish of wishes) {
    const short = wish?.toLowerCase().split("-")[0];
    const known = LANGUAGES.find((language) => language === short);
    if (known) return known;
  }
  return "en";
}

export type Words = Record<string, string>;

/** Puts values into a text's `{names}`. */
export const fill = (text: string, values: Values = {}): string =>
  text.replace(/\{(\w+)\}/g, (whole, name: string) => String(values[name] ?? whole));

/** A function that turns a key of `words` into text; an unknown key shows itself, so a test finds it. */
export function translator<K extends string>(words: Record<K, string>, language: Language) {
  const plural = new Intl.PluralRules(language);
  return (key: K | Base<K>, values: Values = {}): string => {
    const table = words as Words;
    const n = values["n"];
    const form = typeof n === "number" ? (table[`${key}.${plural.select(n)}`] ?? table[`${key}.other`]) : undefined;
    return fill(table[key] ?? form ?? key, values);
  };
}

/** `wait` for the keys `wait.one` and `wait.other`. */
type Base<K extends string> = K extends `${infer B}.other` ? B : never;
