// Waiting for a state, with a deadline and words for what was seen instead.

const POLL_MS = 50;

/** Polls `probe` until it gives something other than undefined, null or false. */
export async function until<T>(
  what: string,
  probe: () => Promise<T | undefined | null | false> | T | undefined | null | false,
  limitMs = 20_000,
): Promise<T> {
  const deadline = Date.now() + limitMs;
  let seen: unknown;
  for (;;) {
    try {
      const value = await probe();
      if (value !== undefined && value !== null && value !== false) return value;
      seen = value;
    } catch (fault) {
      seen = fault;
    }
    if (Date.now() > deadline) throw new Error(`waited ${limitMs} ms for: ${what}; last seen: ${String(seen)}`);
    await pause(POLL_MS);
  }
}

/** Lets real sound pass; never used to wait for a state. */
export function pause(ms: number): Promise<void> {
  return new Promise((done) => setTimeout(done, ms));
}
