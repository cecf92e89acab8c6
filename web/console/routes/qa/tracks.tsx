// Sound and quality on one axis: both voices as waves, below them score, loss and jitter of the chosen side.
//
// Drawn as SVG, so that colours follow the theme and nothing is drawn anew while the sound plays: only two rectangles
// and a line move.

import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { offline } from "../../../shared/design/icons.ts";
import { clock, firstName } from "../../../shared/format.ts";
import type { Waveform } from "../../../shared/gen/Waveform.ts";
import { oneDigit, t, wholeNumber } from "../../words.ts";
import { beyond, LIMITS, outline, polyline, ticks, type Sample, type Span } from "./shape.ts";

/** Heights of the drawing's rows, pixels; console.css has the same for the names beside them. */
const AXIS = 24;
const MARKS = 34;
const WAVE = 84;
const CHART = 56;
const CUSTOMER_TOP = AXIS + MARKS;
const AGENT_TOP = CUSTOMER_TOP + WAVE;
const CHARTS_TOP = AGENT_TOP + WAVE;
const HEIGHT = CHARTS_TOP + 3 * CHART;
/** Air above and below a chart's line. */
const CHART_PAD = 10;
/** Width of the label under which the playhead's time stands. */
const HEAD_WIDTH = 44;

interface Chart {
  name: string;
  value: (sample: Sample) => number;
  bad: (sample: Sample) => boolean;
  limit: number;
  /** Values at the bottom and at the top of the chart. */
  low: number;
  high: number;
  text: (sample: Sample) => string;
}

/** The three charts; their scales hold every value that is drawn. */
function charts(samples: readonly Sample[]): Chart[] {
  const top = (pick: (sample: Sample) => number, least: number): number =>
    samples.reduce((max, sample) => Math.max(max, pick(sample)), least);
  return [
    {
      name: t("qa.quality"),
      value: (sample) => sample.mos,
      bad: (sample) => sample.mos < LIMITS.mos,
      limit: LIMITS.mos,
      low: 1,
      high: 4.5,
      text: (sample) => oneDigit(sample.mos),
    },
    {
      name: t("qa.loss"),
      value: (sample) => sample.loss,
      bad: (sample) => sample.loss > LIMITS.loss,
      limit: LIMITS.loss,
      low: 0,
      high: top((sample) => sample.loss, 0.05),
      text: (sample) => `${oneDigit(sample.loss * 100)} %`,
    },
    {
      name: t("qa.jitter"),
      value: (sample) => sample.jitterMs,
      bad: (sample) => sample.jitterMs > LIMITS.jitterMs,
      limit: LIMITS.jitterMs,
      low: 0,
      high: top((sample) => sample.jitterMs, 60),
      text: (sample) => `${wholeNumber(sample.jitterMs)} ms`,
    },
  ];
}

export interface TracksProps {
  durationMs: number;
  positionMs: number;
  wave: Waveform | undefined;
  samples: Sample[];
  weak: Span[];
  customer: string;
  agent: string;
  onSeek: ((ms: number) => void) | undefined;
}

export function Tracks(props: TracksProps) {
  const { durationMs, positionMs, wave, samples, customer, agent, onSeek } = props;
  const holder = useRef<HTMLDivElement>(null);
  const [width, setWidth] = useState(0);
  useEffect(() => {
    const element = holder.current;
    if (!element) return;
    const watch = new ResizeObserver(() => setWidth(Math.round(element.clientWidth)));
    watch.observe(element);
    return () => watch.disconnect();
  }, []);
  const all = useMemo(() => charts(samples), [samples]);
  const here = nearest(samples, positionMs);
  const seek = (event: MouseEvent): void => {
    const box = holder.current?.getBoundingClientRect();
    if (box && box.width > 0) onSeek?.(Math.max(0, Math.min(1, (event.clientX - box.left) / box.width)) * durationMs);
  };
  return (
    <div class="tracks" data-testid="qa-tracks">
      <div class="track-names">
        <span class="track-name" />
        <span class="track-name" />
        <Name name={firstName(customer)} text={t("customer")} />
        <Name name={firstName(agent)} text={t("agent")} />
        {all.map((chart) => (
          <Name key={chart.name} name={chart.name} text={here ? chart.text(here) : "–"} />
        ))}
      </div>
      <div ref={holder} class="tracks-holder">
        {width > 0 && (
          <svg
            class={onSeek ? "tracks-svg" : "tracks-svg is-still"}
            viewBox={`0 0 ${width} ${HEIGHT}`}
            role="img"
            aria-label={t("qa.timeline")}
            data-testid="qa-wave"
            onClick={seek}
          >
            <Still {...props} width={width} wave={wave} all={all} />
            {onSeek && <Playhead at={(positionMs / durationMs) * width} ms={positionMs} width={width} />}
          </svg>
        )}
      </div>
    </div>
  );
}

const Name = ({ name, text }: { name: string; text: string }) => (
  <span class="track-name">
    <b class="medium clip">{name}</b>
    <span class="muted">{text}</span>
  </span>
);

function nearest(samples: readonly Sample[], ms: number): Sample | undefined {
  return samples.find((sample) => ms >= sample.atMs && ms < sample.atMs + 1000);
}

/** Everything that does not move with the sound; waves are cut into heard and ahead by two clip rectangles. */
function Still(props: TracksProps & { width: number; all: Chart[] }) {
  const { durationMs, positionMs, wave, samples, weak, width, all, onSeek } = props;
  const x = (ms: number): number => (durationMs > 0 ? (ms / durationMs) * width : 0);
  const shapes = useMemo(
    () => ({
      customer: outline(wave?.customer ?? [], width, CUSTOMER_TOP + WAVE / 2, WAVE - 12),
      agent: outline(wave?.agent ?? [], width, AGENT_TOP + WAVE / 2, WAVE - 12),
    }),
    [wave, width],
  );
  const drawn = useMemo(
    () =>
      all.map((chart, n) => (
        <ChartLines key={chart.name} chart={chart} top={CHARTS_TOP + n * CHART} samples={samples} x={x} width={width} />
      )),
    [all, samples, width, durationMs],
  );
  const head = onSeek ? x(positionMs) : width;
  return (
    <>
      <defs>
        <clipPath id="heard">
          <rect x="0" y="0" width={head} height={HEIGHT} />
        </clipPath>
        <clipPath id="ahead">
          <rect x={head} y="0" width={Math.max(0, width - head)} height={HEIGHT} />
        </clipPath>
      </defs>
      {ticks(durationMs, width).map((ms) => (
        <g key={ms}>
          <line class="tick" x1={x(ms)} x2={x(ms)} y1={AXIS} y2={HEIGHT} />
          <text x={x(ms)} y={AXIS - 9} text-anchor={ms === 0 ? "start" : x(ms) > width - 20 ? "end" : "middle"}>
            {clock(ms / 1000)}
          </text>
        </g>
      ))}
      {weak.map((span) => (
        <WeakSpan key={span.fromMs} from={x(span.fromMs)} to={x(span.toMs)} width={width} />
      ))}
      <line class="grid" x1="0" x2={width} y1={CHARTS_TOP} y2={CHARTS_TOP} />
      <g clip-path="url(#heard)">
        <path class="wave-customer" d={shapes.customer} />
        <path class="wave-agent" d={shapes.agent} />
      </g>
      <g clip-path="url(#ahead)" class="is-ahead">
        <path class="wave-customer" d={shapes.customer} />
        <path class="wave-agent" d={shapes.agent} />
      </g>
      {drawn}
    </>
  );
}

function ChartLines(props: { chart: Chart; top: number; samples: Sample[]; x: (ms: number) => number; width: number }) {
  const { chart, top, samples, x, width } = props;
  const y = (value: number): number => {
    const share = Math.max(0, Math.min(1, (value - chart.low) / (chart.high - chart.low)));
    return top + CHART - CHART_PAD - share * (CHART - 2 * CHART_PAD);
  };
  return (
    <g>
      <line class="grid" x1="0" x2={width} y1={top + CHART} y2={top + CHART} />
      <line class="limit" x1="0" x2={width} y1={y(chart.limit)} y2={y(chart.limit)} />
      <path class="plot" d={polyline(samples, chart.value, x, y)} />
      {beyond(samples, chart.bad).map((group) => (
        <path key={group[0]?.atMs} class="plot-bad" d={polyline(group, chart.value, x, y)} />
      ))}
    </g>
  );
}

function WeakSpan({ from, to, width }: { from: number; to: number; width: number }) {
  const left = Math.min(from, Math.max(0, width - 96));
  return (
    <g class="mark mark-net">
      <rect class="span-net" x={from} y={AXIS + MARKS} width={Math.max(2, to - from)} height={HEIGHT - AXIS - MARKS} />
      <rect x={left} y={AXIS + 4} width={92} height={22} rx="4" />
      <svg x={left + 6} y={AXIS + 8} width="14" height="14" viewBox="0 0 20 20">
        <path class="icon-lines" d={offline} />
      </svg>
      <text x={left + 25} y={AXIS + 19}>
        {t("qa.weak_mark")}
      </text>
    </g>
  );
}

function Playhead({ at, ms, width }: { at: number; ms: number; width: number }) {
  const left = Math.max(0, Math.min(width - HEAD_WIDTH, at - HEAD_WIDTH / 2));
  return (
    <g>
      <line class="playhead" x1={at} x2={at} y1={AXIS} y2={HEIGHT} />
      <rect class="playhead-knob" x={left} y="2" width={HEAD_WIDTH} height="20" rx="4" />
      <text class="playhead-label" x={left + HEAD_WIDTH / 2} y="16" text-anchor="middle">
        {clock(ms / 1000)}
      </text>
    </g>
  );
}
