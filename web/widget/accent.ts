// A host sets one colour, `--accent`; the widget computes what goes with it.
//
// Source of the rules: WCAG 2 relative luminance and contrast.

type Rgb = number[];

/** `#abc`, `#aabbcc`, `rgb(…)`; undefined for anything else. */
export function parseColour(text: string): Rgb | undefined {
  const hex = /^\s*#(\w{6}|\w{3})\s*$/.exec(text)?.[1];
  if (hex) return hex.match(hex.length === 3 ? /./g : /../g)!.map((part) => parseInt(part.padEnd(2, part), 16));
  return text
    .match(/^\s*rgba?\((.*)\)/)?.[1]
    ?.match(/[\d.]+/g)
    ?.slice(0, 3)
    .map(Number);
}

function luminance(colour: Rgb): number {
  const linear = colour.map((value) => (value <= 10 ? value / 3294 : ((value / 255 + 0.055) / 1.055) ** 2.4));
  return 0.2126 * linear[0]! + 0.7152 * linear[1]! + 0.0722 * linear[2]!;
}

export function contrast(a: Rgb, b: Rgb): number {
  const x = luminance(a) + 0.05;
  const y = luminance(b) + 0.05;
  return x > y ? x / y : y / x;
}

const mix = (a: Rgb, b: Rgb, share: number): Rgb => a.map((value, n) => Math.round(value + (b[n]! - value) * share));
const BLACK = [0, 0, 0];
const WHITE = [255, 255, 255];

/** Roles that follow from the host's accent on a surface. */
export function accentRoles(accent: Rgb, surface: Rgb): Record<string, string> {
  const soft = mix(surface, accent, 0.1);
  const away = luminance(surface) > 0.5 ? BLACK : WHITE;
  let text = accent;
  for (let n = 0; n < 30 && Math.min(contrast(text, surface), contrast(text, soft)) < 4.5; n++)
    text = mix(text, away, 0.1);
  const css = (colour: Rgb): string => `rgb(${colour.join(" ")})`;
  return {
    "--on-accent": css(contrast(accent, WHITE) >= contrast(accent, BLACK) ? WHITE : BLACK),
    "--accent-hover": css(mix(accent, BLACK, 0.1)),
    "--accent-soft": css(soft),
    "--accent-text": css(text),
    "--lane-customer": css(text),
  };
}
