// The geometry of a call's review: sound and quality on one axis of milliseconds. Pure, so that it can be tested.

import type { CallEvent } from "../../../shared/gen/CallEvent.ts";
import type { CallRow } from "../../../shared/gen/CallRow.ts";
import type { HeardTrack } from "../../../shared/gen/HeardTrack.ts";
import type { Part } from "../../../shared/gen/Part.ts";
import type { QualityTrack } from "../../../shared/gen/QualityTrack.ts";

/** One second of one side on the axis of the recording. */
export interface Sample {
  atMs: number;
  /** 1 to 4.5. */
  mos: number;
  /** 0 to 1. */
  loss: number;
  jitterMs: number;
  /** Undefined where it was not measured. */
  rttMs: number | undefined;
}

export interface Span {
  fromMs: number;
  toMs: number;
}

/** Limits that turn a value red; the same that the live hints use. */
export const LIMITS = { mos: 3, loss: 0.01, jitterMs: 30 } as const;
/** The lowest score there is; anything below it was not measured. */
const MOS_MIN = 1;
/** A weak second alone is no span worth a mark, milliseconds. */
const WEAK_SPAN_MIN_MS = 2000;
/** Weak spans with less calm between them are one, milliseconds. */
const WEAK_SPAN_JOIN_MS = 3000;
/** Seconds of one row of the table. */
export const ROW_SECONDS = 10;

/** What `part` sent, second by second; several legs of one part follow one another. */
export function samplesOf(tracks: readonly QualityTrack[], part: Part): Sample[] {
  const samples: Sample[] = [];
  for (const track of tracks) {
    if (track.part !== part || !track.uplink) continue;
    track.mos.forEach((mos, n) => {
      // A second without packets has no score: the line is broken there.
      if (mos < MOS_MIN) return;
      const rtt = track.rttMs[n] ?? 0;
      samples.push({
        atMs: track.startMs + n * 1000,
        mos,
        loss: track.loss[n] ?? 0,
        jitterMs: track.jitterMs[n] ?? 0,
        rttMs: rtt > 0 ? rtt : undefined,
      });
    });
  }
  return samples.sort((a, b) => a.atMs - b.atMs);
}

/** What the client of `part` says that it heard. */
export function heardOf(tracks: readonly HeardTrack[], part: Part): Sample[] {
  const track = tracks.find((one) => one.part === part);
  return (track?.mos ?? []).flatMap((mos, n) =>
    mos === null
      ? []
      : {
          atMs: n * 1000,
          mos,
          loss: track?.loss[n] ?? 0,
          jitterMs: track?.jitterMs[n] ?? 0,
          rttMs: track?.rttMs[n] ?? undefined,
        },
  );
}

/** Spans in which the score was below its limit for at least two seconds. */
export function weakSpans(samples: readonly Sample[]): Span[] {
  const spans: Span[] = [];
  for (const { atMs, mos } of samples) {
    if (mos >= LIMITS.mos) continue;
    const last = spans.at(-1);
    if (last && atMs - last.toMs <= WEAK_SPAN_JOIN_MS) last.toMs = atMs + 1000;
    else spans.push({ fromMs: atMs, toMs: atMs + 1000 });
  }
  return spans.filter(({ fromMs, toMs }) => toMs - fromMs >= WEAK_SPAN_MIN_MS);
}

export interface Row {
  fromMs: number;
  mos: number;
  loss: number;
  jitterMs: number;
  rttMs: number | undefined;
}

/** Means of ten seconds each: the words beside the drawing. */
export function rowsOf(samples: readonly Sample[]): Row[] {
  const rows = new Map<number, Sample[]>();
  for (const sample of samples) {
    // The sound stands a moment before the call counts as answered: that moment is of the first row.
    const from = Math.max(0, Math.floor(sample.atMs / 1000 / ROW_SECONDS)) * ROW_SECONDS * 1000;
    const row = rows.get(from);
    if (row) row.push(sample);
    else rows.set(from, [sample]);
  }
  return [...rows].map(([fromMs, group]) => {
    const measured = group.map((sample) => sample.rttMs).filter((rtt) => rtt !== undefined);
    return {
      fromMs,
      mos: mean(group.map((sample) => sample.mos)),
      loss: mean(group.map((sample) => sample.loss)),
      jitterMs: mean(group.map((sample) => sample.jitterMs)),
      rttMs: measured.length > 0 ? mean(measured) : undefined,
    };
  });
}

export const mean = (values: readonly number[]): number =>
  values.length === 0 ? 0 : values.reduce((sum, value) => sum + value, 0) / values.length;

/** A closed outline around `middle` of peaks, lowest and highest in turn, -128 to 127, from `left` on. */
export function outline(peaks: readonly number[], width: number, middle: number, height: number, left = 0): string {
  const points = Math.floor(peaks.length / 2);
  if (points === 0) return "";
  const scale = height / 2 / 128;
  const step = width / points;
  const y = (value: number): string => (middle - value * scale).toFixed(1);
  let upper = "";
  let lower = "";
  for (let n = 0; n < points; n++) {
    const x = (left + n * step).toFixed(1);
    // Silence stays visible as a hairline.
    upper += `${n === 0 ? "M" : "L"}${x} ${y(Math.max(0.9, peaks[2 * n + 1] ?? 0))}`;
    lower = `L${x} ${y(Math.min(-0.9, peaks[2 * n] ?? 0))}${lower}`;
  }
  return `${upper}${lower}Z`;
}

/** A line of values, broken where seconds are missing. `x` and `y` map to the drawing. */
export function polyline(
  samples: readonly Sample[],
  value: (sample: Sample) => number,
  x: (ms: number) => number,
  y: (value: number) => number,
): string {
  let d = "";
  let before = -Infinity;
  for (const sample of samples) {
    const at = `${x(sample.atMs + 500).toFixed(1)} ${y(value(sample)).toFixed(1)}`;
    d += sample.atMs - before > 2000 ? `M${at}` : `L${at}`;
    before = sample.atMs;
  }
  return d;
}

/** What was measured in the second of `ms`. */
export const nearest = (samples: readonly Sample[], ms: number): Sample | undefined =>
  samples.find(({ atMs }) => ms >= atMs && ms < atMs + 1000);

/** The parts of a line that are beyond the limit, with one second on either side so that they join. */
export function beyond(samples: readonly Sample[], bad: (sample: Sample) => boolean): Sample[][] {
  const groups: Sample[][] = [];
  let open: Sample[] | undefined;
  samples.forEach((sample, n) => {
    const near = bad(sample) || (samples[n - 1] && bad(samples[n - 1]!)) || (samples[n + 1] && bad(samples[n + 1]!));
    if (!near) {
      open = undefined;
      return;
    }
    if (!open) groups.push((open = []));
    open.push(sample);
  });
  return groups;
}

/** Steps of the time axis that leave room for their words, milliseconds. */
const TICKS_MS = [5, 10, 15, 30, 60, 120, 300, 600, 900, 1800].map((seconds) => seconds * 1000);
/** Room of one label of the axis, pixels. */
const TICK_PX = 64;

export function ticks(durationMs: number, width: number): number[] {
  const room = Math.max(1, width / TICK_PX);
  const step = TICKS_MS.find((one) => durationMs / one <= room) ?? 3_600_000;
  const list: number[] = [];
  for (let at = 0; at <= durationMs; at += step) list.push(at);
  return list;
}

/** Where an event lies on the axis that starts at `originMs`. */
export const offsetOf = (event: CallEvent, originMs: number): number => Date.parse(event.at) - originMs;

/** The least score of a call, as the list shows and filters by it; of a server of the version before, of what was sent. */
export function worst(row: CallRow): number | undefined {
  if (typeof row.mosWorst === "number") return row.mosWorst;
  const scores = [row.mosCustomer, row.mosAgent].filter((score) => typeof score === "number");
  return scores.length === 0 ? undefined : Math.min(...scores);
}

/** 1.4 MB, 320 kB. */
export function fileSize(bytes: number): string {
  return bytes >= 1_000_000 ? `${(bytes / 1_000_000).toFixed(1)} MB` : `${Math.max(1, Math.round(bytes / 1000))} kB`;
}
