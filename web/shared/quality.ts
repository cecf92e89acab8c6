// What the browser measures of its own connection, and when that is worth a word to the person.
//
// The score is the server's model (E-model on residual loss and delay), so that both sides show the same number for the
// same line. Pure: reports and instants are handed in.

/** What one reading of `getStats()` says about the received sound; counters only grow. */
export interface Reading {
  /** Milliseconds. */
  at: number;
  packets: number;
  lost: number;
  jitterMs: number;
  /** Undefined until the first round trip was measured. */
  rttMs: number | undefined;
  /** Mean time a packet waits in the jitter buffer, milliseconds. */
  bufferMs: number | undefined;
}

/** One second of the line as the person hears it. */
export interface Second {
  /** 0 to 1. */
  loss: number;
  jitterMs: number;
  rttMs: number | undefined;
  /** 1 to 4.5. */
  mos: number;
  /** True when anything at all arrived. */
  flowing: boolean;
}

/** A row of `getStats()`, as far as we read it. */
type Row = Record<string, unknown> & { type?: string };

/** Picks our few numbers out of a stats report. */
export function read(rows: Iterable<Row>, at: number): Reading {
  let packets = 0;
  let lost = 0;
  let jitterMs = 0;
  let delay = 0;
  let emitted = 0;
  let rttMs: number | undefined;
  for (const row of rows) {
    // What a browser does not count counts as nothing.
    const of = (name: string): number => Number(row[name] ?? 0);
    if (row.type === "inbound-rtp" && row["kind"] === "audio") {
      packets += of("packetsReceived");
      lost += of("packetsLost");
      if (of("packetsReceived")) jitterMs = Math.max(jitterMs, of("jitter") * 1000);
      delay += of("jitterBufferDelay");
      emitted += of("jitterBufferEmittedCount");
    } else if (row.type === "candidate-pair" && (row["nominated"] || row["selected"])) {
      if (row["currentRoundTripTime"] !== undefined) rttMs = of("currentRoundTripTime") * 1000;
    }
  }
  return { at, packets, lost, jitterMs, rttMs, bufferMs: emitted > 0 ? (delay / emitted) * 1000 : undefined };
}

/** The second between two readings. */
export function between(before: Reading, now: Reading): Second {
  const lost = Math.max(0, now.lost - before.lost);
  const expected = lost + Math.max(0, now.packets - before.packets);
  const loss = expected > 0 ? lost / expected : 0;
  return {
    loss,
    jitterMs: now.jitterMs,
    rttMs: now.rttMs,
    mos: mos(loss, delayMs(now)),
    flowing: now.packets > before.packets,
  };
}

/** Mouth to ear, milliseconds: half the round trip, the jitter buffer, 40 ms for devices. */
function delayMs(reading: Reading): number {
  const buffer = reading.bufferMs ?? Math.min(200, Math.max(20, 2 * reading.jitterMs));
  return (reading.rttMs ?? 0) / 2 + buffer + 40;
}

/**
 * Opinion score, 1 to 4.41, of `loss` (0 to 1, after repair) and a one-way `delay` in milliseconds.
 *
 * Source: ITU-T G.107 with Ie 0 and Bpl 7.0 for Opus, as the server computes it.
 */
export function mos(loss: number, delay: number): number {
  const percent = 100 * loss;
  const r = 93.2 - delayPenalty(delay) - (95 * percent) / (percent + 7);
  return r < 6.5 ? 1 : Math.max(1, 1 + 0.035 * r + 7e-6 * r * (r - 60) * (100 - r));
}

/** G.107 `Idd`. */
export function delayPenalty(delay: number): number {
  if (delay <= 100) return 0;
  const x = Math.log2(delay / 100);
  return 25 * ((1 + x ** 6) ** (1 / 6) - 3 * (1 + (x / 3) ** 6) ** (1 / 6) + 2);
}

/** How many of four bars a score is worth, and so which word: good, fair, weak, bad. */
export function bars(score: number): 1 | 2 | 3 | 4 {
  if (score >= 4) return 4;
  if (score >= 3.5) return 3;
  return score >= 2.8 ? 2 : 1;
}

export type Warning = "delay" | "jitter" | "score" | "loss" | "silent_line";

/** Limits beyond which a second counts against the line. */
const CROSSED: Record<Warning, (second: Second) => boolean> = {
  delay: (second) => (second.rttMs ?? 0) > 400,
  jitter: (second) => second.jitterMs > 30,
  score: (second) => second.mos < 3,
  loss: (second) => second.loss > 0.01,
  silent_line: (second) => !second.flowing,
};

/** Seconds that are looked at. */
const WINDOW = 5;
/** Crossings within the window that raise a warning. */
const RAISE = 3;
/** A warning stays at least this long, milliseconds, so that it can be read. */
const HOLD_MS = 5000;

/** Seconds that are told to the server at once. */
export const TOLD_SECONDS = 10;

/** Raises a warning on 3 of 5 bad seconds, clears it on 0 of 5 and after 5 s. */
export class Monitor {
  readonly #past: Second[] = [];
  readonly #raised = new Map<Warning, number>();
  #heard: Second[] = [];

  /** The last seconds, once there are enough of them to be told; each is given out once. */
  heard(): Second[] | false {
    return this.#heard.length >= TOLD_SECONDS && this.#heard.splice(0);
  }

  push(second: Second, now: number): ReadonlySet<Warning> {
    this.#heard.push(second);
    this.#past.push(second);
    if (this.#past.length > WINDOW) this.#past.shift();
    for (const name of Object.keys(CROSSED) as Warning[]) {
      const bad = this.#past.filter(CROSSED[name]).length;
      const since = this.#raised.get(name);
      if (since === undefined && bad >= RAISE) this.#raised.set(name, now);
      else if (since !== undefined && bad === 0 && now - since >= HOLD_MS) this.#raised.delete(name);
    }
    return new Set(this.#raised.keys());
  }
}

/** Readings of a microphone level after which a standstill means that it is dead. */
const DEAD_READINGS = 10;
/** Standard deviation of the level (0 to 32767) below which nothing is heard; half a speaking voice moves far above. */
const DEAD_DEVIATION = 327.67;

/** True when the last ten levels (0 to 1, one a second) hardly move: a muted or broken microphone. */
export function isDeadMicrophone(levels: readonly number[]): boolean {
  if (levels.length < DEAD_READINGS) return false;
  const last = levels.slice(-DEAD_READINGS).map((level) => level * 32767);
  const mean = last.reduce((sum, level) => sum + level, 0) / last.length;
  const variance = last.reduce((sum, level) => sum + (level - mean) ** 2, 0) / last.length;
  return Math.sqrt(variance) < DEAD_DEVIATION;
}
