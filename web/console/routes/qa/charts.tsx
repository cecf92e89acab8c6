// The charts under the waves: what they show, and their lines. Each side keeps its colour; trouble is red.

import type { ComponentChildren } from "preact";
import { firstName } from "../../../shared/format.ts";
import { oneDigit, t, wholeNumber } from "../../words.ts";
import { beyond, LIMITS, nearest, polyline, type Sample } from "./shape.ts";

export type Side = "customer" | "agent";
export const SIDES: readonly Side[] = ["customer", "agent"];
/** The same thing for each side of the call. */
export type Both<T> = Record<Side, T>;

/** Height of one chart, pixels; console.css has the same for the names beside them. */
export const CHART = 48;
/** Air above and below a chart's line. */
const CHART_PAD = 9;

export interface Metric {
  name: string;
  value: (sample: Sample) => number;
  bad: (sample: Sample) => boolean;
  limit: number;
  /** True when a good line is at the top, so that the name inside has room below it. */
  goodIsHigh: boolean;
  /** Values at the bottom and at the top of the chart. */
  low: number;
  high: number;
  text: (value: number) => string;
}

/** One row of the drawing: a metric of one side, or of both. */
export interface Chart {
  metric: Metric;
  sides: readonly Side[];
  /** What is drawn; a chart of another source has its own. */
  samples: Both<Sample[]>;
  /** What stands under the name, for a moment of the call. */
  label: (ms: number) => ComponentChildren;
}

export const percent = (share: number): string => `${oneDigit(share * 100)} %`;
export const milliseconds = (ms: number): string => `${wholeNumber(ms)} ms`;
export const ofFive = (mos: number): string => t("qa.of_five", { n: oneDigit(mos) });

/**
 * The charts of a call; their scales hold every value that is drawn. `heard`: what the clients say, in a row of its own,
 * for it is another view and not a better one.
 */
export function charts(samples: Both<Sample[]>, heard: Both<Sample[]>, names: Both<string>): Chart[] {
  const top = (pick: (sample: Sample) => number, least: number): number =>
    SIDES.flatMap((side) => samples[side]).reduce((max, sample) => Math.max(max, pick(sample)), least);
  const mos: Metric = {
    name: t("qa.quality"),
    value: (sample) => sample.mos,
    bad: (sample) => sample.mos < LIMITS.mos,
    limit: LIMITS.mos,
    goodIsHigh: true,
    low: 1,
    high: 4.5,
    text: ofFive,
  };
  const loss: Metric = {
    name: t("qa.loss"),
    value: (sample) => sample.loss,
    bad: (sample) => sample.loss > LIMITS.loss,
    limit: LIMITS.loss,
    goodIsHigh: false,
    low: 0,
    high: top((sample) => sample.loss, 0.05),
    text: percent,
  };
  const jitter: Metric = {
    name: t("qa.jitter"),
    value: (sample) => sample.jitterMs,
    bad: (sample) => sample.jitterMs > LIMITS.jitterMs,
    limit: LIMITS.jitterMs,
    goodIsHigh: false,
    low: 0,
    high: top((sample) => sample.jitterMs, 60),
    text: milliseconds,
  };
  return [
    ...SIDES.map((side) => ({
      metric: { ...mos, name: `${mos.name}, ${firstName(names[side])}` },
      sides: [side],
      samples,
      label: (ms: number) => value(mos, nearest(samples[side], ms)),
    })),
    ...[loss, jitter].map((metric) => both(metric, samples)),
    ...(SIDES.some((side) => heard[side].length > 0) ? [both({ ...mos, name: t("qa.heard") }, heard)] : []),
  ];
}

/** A chart of both sides. */
const both = (metric: Metric, samples: Both<Sample[]>): Chart => ({
  metric,
  sides: SIDES,
  samples,
  label: (ms) => (
    <>
      <span class="of-customer">{value(metric, nearest(samples.customer, ms))}</span>
      {" · "}
      <span class="of-agent">{value(metric, nearest(samples.agent, ms))}</span>
    </>
  ),
});

const value = (metric: Metric, sample: Sample | undefined): string =>
  sample ? metric.text(metric.value(sample)) : "–";

/** The lines of one chart, its limit, and the name that narrow screens show inside of it. */
export function ChartLines(props: { chart: Chart; top: number; x: (ms: number) => number; width: number }) {
  const { chart, top, x, width } = props;
  const { metric, samples } = chart;
  const y = (value: number): number => {
    const share = Math.max(0, Math.min(1, (value - metric.low) / (metric.high - metric.low)));
    return top + CHART - CHART_PAD - share * (CHART - 2 * CHART_PAD);
  };
  return (
    <g>
      <line class="grid" x1="0" x2={width} y1={top + CHART} y2={top + CHART} />
      <line class="limit" x1="0" x2={width} y1={y(metric.limit)} y2={y(metric.limit)} />
      {chart.sides.map((side) => (
        <g key={side}>
          <path class={`plot plot-${side}`} d={polyline(samples[side], metric.value, x, y)} />
          {beyond(samples[side], metric.bad).map((group) => (
            <path key={group[0]?.atMs} class="plot-bad" d={polyline(group, metric.value, x, y)} />
          ))}
        </g>
      ))}
      <text class="row-label" x="0" y={metric.goodIsHigh ? top + CHART - 6 : top + 14}>
        {metric.name}
      </text>
    </g>
  );
}
