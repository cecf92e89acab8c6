// Numbers and names as people read them.

/** 4:12, 1:04:12; never 00:04:12. */
export function clock(seconds: number): string {
  const whole = Math.max(0, Math.floor(seconds));
  const two = (n: number): string => String(n).padStart(2, "0");
  const h = Math.floor(whole / 3600);
  const m = Math.floor((whole % 3600) / 60);
  return h > 0 ? `${h}:${two(m)}:${two(whole % 60)}` : `${m}:${two(whole % 60)}`;
}

/** A moment before or after another: −2:16, 0:00, 4:12. */
export function offset(ms: number): string {
  const seconds = Math.trunc(ms / 1000);
  return seconds < 0 ? `−${clock(-seconds)}` : clock(seconds);
}

/** Up to two initials. */
export function initials(name: string): string {
  const words = name.trim().split(/\s+/u).filter(Boolean);
  const letters = [words[0], words.length > 1 ? words[words.length - 1] : undefined];
  return letters
    .map((word) => (word ? [...word][0] : ""))
    .join("")
    .toUpperCase();
}

/** The first word of a name. */
export const firstName = (name: string): string => name.trim().split(/\s+/u)[0] ?? "";

/** Minutes between which an estimated wait lies; a range, because an estimate is no promise. */
export function waitRange(seconds: number): { from: number; to: number } {
  const from = Math.floor((seconds * 0.7) / 60);
  return { from, to: Math.max(from + 1, Math.ceil((seconds * 1.3) / 60)) };
}
