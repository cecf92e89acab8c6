// Sound and quality on one axis of time: both waves, each side's quality, loss and jitter, and a reading of any moment.

import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { offline } from "../../../shared/design/icons.ts";
import { clock, firstName } from "../../../shared/format.ts";
import { t } from "../../words.ts";
import { CHART, ChartLines, charts, SIDES, type Both, type Chart, type Side } from "./charts.tsx";
import { Reading, READING_HEIGHT, spoken } from "./reading.tsx";
import { nearest, outline, ticks, type Sample, type Span } from "./shape.ts";
import type { Wave } from "./wave.ts";

/** Heights of the drawing's rows, pixels; console.css has the same for the names beside them. */
const AXIS = 24;
const MARKS = 34;
const WAVE = 84;
/** Width of the label under which the playhead's time stands. */
const HEAD_WIDTH = 44;
/** Width of a mark; one that would cover its neighbour is left out. */
const MARK_WIDTH = 92;
/** Steps of the cursor by key, milliseconds. */
const KEYS: Record<string, number> = {
  ArrowRight: 1000,
  ArrowUp: 1000,
  ArrowLeft: -1000,
  ArrowDown: -1000,
  PageUp: 10_000,
  PageDown: -10_000,
  Home: -Infinity,
  End: Infinity,
};

/** Where the rows begin. A call without sound has no waves. */
interface Rows {
  wave: Both<number>;
  charts: number;
  end: number;
}

function rowsOf(sounds: boolean, charts: number): Rows {
  const first = AXIS + MARKS;
  const wave = sounds ? WAVE : 0;
  const below = first + 2 * wave;
  return { wave: { customer: first, agent: first + wave }, charts: below, end: below + charts * CHART };
}

export interface TracksProps {
  durationMs: number;
  positionMs: number;
  /** True when there is a recording, or one is being written. */
  sounds: boolean;
  wave: Wave;
  samples: Both<Sample[]>;
  /** What the clients say that they heard. */
  heard: Both<Sample[]>;
  weak: Both<Span[]>;
  names: Both<string>;
  onSeek: ((ms: number) => void) | undefined;
}

/** Where the cursor is, and whether it is among the charts. */
interface Cursor {
  ms: number;
  low: boolean;
}

export function Tracks(props: TracksProps) {
  const { durationMs, positionMs, samples, heard, names, onSeek } = props;
  const holder = useRef<HTMLDivElement>(null);
  const width = useWidth(holder);
  const [cursor, setCursor] = useState<Cursor>();
  const all = useMemo(() => charts(samples, heard, names), [samples, heard, names.customer, names.agent]);
  const rows = rowsOf(props.sounds, all.length);
  const readMs = cursor?.ms ?? positionMs;
  const here = { customer: nearest(samples.customer, readMs), agent: nearest(samples.agent, readMs) };
  const x = (ms: number): number => (durationMs > 0 ? (ms / durationMs) * width : 0);

  const under = (event: MouseEvent): Cursor | undefined => {
    const box = holder.current?.getBoundingClientRect();
    if (!box || box.width === 0) return undefined;
    const share = Math.max(0, Math.min(1, (event.clientX - box.left) / box.width));
    return { ms: share * durationMs, low: event.clientY - box.top > rows.charts };
  };
  const keys = (event: KeyboardEvent): void => {
    const step = KEYS[event.key];
    if (event.key === "Enter" && onSeek) onSeek(readMs);
    else if (event.key === "Escape") setCursor(undefined);
    else if (step !== undefined) setCursor({ ms: Math.max(0, Math.min(durationMs, readMs + step)), low: true });
    else return;
    event.preventDefault();
  };
  return (
    <div class="tracks" data-testid="qa-tracks">
      <Names all={all} ms={readMs} names={names} sounds={props.sounds} />
      <div
        ref={holder}
        class={onSeek ? "tracks-holder" : "tracks-holder is-still"}
        role="slider"
        tabIndex={0}
        data-testid="qa-axis"
        aria-label={t("qa.timeline")}
        aria-valuemin={0}
        aria-valuemax={Math.round(durationMs / 1000)}
        aria-valuenow={Math.round(readMs / 1000)}
        aria-valuetext={spoken(readMs, here, names)}
        onKeyDown={keys}
        onBlur={() => setCursor(undefined)}
        onPointerMove={(event) => setCursor(under(event))}
        onPointerLeave={() => setCursor(undefined)}
        onClick={(event) => {
          const at = under(event);
          if (at) onSeek?.(at.ms);
        }}
      >
        {width > 0 && (
          <svg class="tracks-svg" viewBox={`0 0 ${width} ${rows.end + AXIS}`} aria-hidden="true" data-testid="qa-wave">
            <Still {...props} x={x} width={width} all={all} rows={rows} />
            {onSeek && <Playhead at={x(positionMs)} ms={positionMs} width={width} to={rows.end} />}
            {cursor && (
              <Reading
                at={x(cursor.ms)}
                ms={cursor.ms}
                // Never over the row that is being read.
                y={cursor.low ? Math.max(AXIS, rows.charts - READING_HEIGHT - 8) : rows.charts + 8}
                from={AXIS}
                to={rows.end}
                width={width}
                here={here}
                names={names}
              />
            )}
          </svg>
        )}
      </div>
      <span class="visually-hidden" role="status" data-testid="qa-drawing">
        {props.wave.at === "drawing" && t("qa.wave_drawing")}
      </span>
    </div>
  );
}

function useWidth(holder: { current: HTMLElement | null }): number {
  const [width, setWidth] = useState(0);
  useEffect(() => {
    const element = holder.current;
    if (!element) return;
    const watch = new ResizeObserver(() => setWidth(Math.round(element.clientWidth)));
    watch.observe(element);
    return () => watch.disconnect();
  }, []);
  return width;
}

function Names(props: { all: Chart[]; ms: number; names: Both<string>; sounds: boolean }) {
  return (
    <div class={props.sounds ? "track-names" : "track-names is-silent"}>
      <span />
      <span />
      {props.sounds &&
        SIDES.map((side) => (
          <span key={side} class="track-name">
            <b class="medium clip">{firstName(props.names[side])}</b>
            <span class="muted">{t(side)}</span>
          </span>
        ))}
      {props.all.map((chart) => (
        <span key={chart.metric.name} class="track-name">
          <b class="medium clip">{chart.metric.name}</b>
          <span class="muted clip">{chart.label(props.ms)}</span>
        </span>
      ))}
    </div>
  );
}

interface StillProps extends TracksProps {
  x: (ms: number) => number;
  width: number;
  all: Chart[];
  rows: Rows;
}

/** Everything that does not move with the sound; waves are cut into heard and ahead by two clip rectangles. */
function Still(props: StillProps) {
  const { durationMs, positionMs, samples, weak, names, width, all, onSeek, x, rows, sounds } = props;
  const drawn = useMemo(
    () =>
      all.map((chart, n) => (
        <ChartLines key={chart.metric.name} chart={chart} top={rows.charts + n * CHART} x={x} width={width} />
      )),
    [all, samples, width, durationMs, rows.charts],
  );
  const marks = SIDES.flatMap((side) => weak[side]).sort((a, b) => a.fromMs - b.fromMs);
  return (
    <>
      <Axis durationMs={durationMs} width={width} x={x} end={rows.end} head={onSeek ? x(positionMs) : undefined} />
      {SIDES.map((side, n) => (
        <Weak key={side} side={side} spans={weak[side]} chart={rows.charts + n * CHART} {...props} />
      ))}
      {marks.map((span, n) => {
        const before = marks[n - 1];
        const covered = before && x(span.fromMs) - x(before.fromMs) < MARK_WIDTH;
        return !covered && <WeakMark key={`${span.fromMs}-${n}`} at={x(span.fromMs)} width={width} />;
      })}
      <line class="grid" x1="0" x2={width} y1={rows.charts} y2={rows.charts} />
      {sounds && <Waves {...props} head={onSeek ? x(positionMs) : width} />}
      {drawn}
      {sounds &&
        SIDES.map((side) => (
          <text key={side} class="row-label" x="0" y={rows.wave[side] + 13}>
            {firstName(names[side])}
          </text>
        ))}
    </>
  );
}

/** Lines of time through all rows, with their words at both ends; under the playhead's own time there are none. */
function Axis(props: {
  durationMs: number;
  width: number;
  x: (ms: number) => number;
  end: number;
  head: number | undefined;
}) {
  const { durationMs, width, x, end, head } = props;
  return (
    <>
      {ticks(durationMs, width).map((ms) => {
        const covered = head !== undefined && Math.abs(x(ms) - head) < HEAD_WIDTH;
        const anchor = ms === 0 ? "start" : x(ms) > width - 20 ? "end" : "middle";
        return (
          <g key={ms}>
            <line class="tick" x1={x(ms)} x2={x(ms)} y1={AXIS} y2={end} />
            {(covered ? [end + 16] : [AXIS - 9, end + 16]).map((y) => (
              <text key={y} x={x(ms)} y={y} text-anchor={anchor}>
                {clock(ms / 1000)}
              </text>
            ))}
          </g>
        );
      })}
    </>
  );
}

function Waves({ wave, width, rows, head }: StillProps & { head: number }) {
  const drawn = wave.at === "drawn" ? wave.wave : undefined;
  const shapes = useMemo(
    () => ({
      customer: outline(drawn?.customer ?? [], width, rows.wave.customer + WAVE / 2, WAVE - 12),
      agent: outline(drawn?.agent ?? [], width, rows.wave.agent + WAVE / 2, WAVE - 12),
    }),
    [drawn, width],
  );
  if (wave.at === "drawing") return <BeingDrawn percent={wave.percent} width={width} rows={rows} />;
  const paths = SIDES.map((side) => <path key={side} class={`wave-${side}`} d={shapes[side]} />);
  return (
    <>
      <defs>
        <clipPath id="heard">
          <rect x="0" y="0" width={head} height={rows.end} />
        </clipPath>
        <clipPath id="ahead">
          <rect x={head} y="0" width={Math.max(0, width - head)} height={rows.end} />
        </clipPath>
      </defs>
      <g clip-path="url(#heard)">{paths}</g>
      <g clip-path="url(#ahead)" class="is-ahead">
        {paths}
      </g>
    </>
  );
}

/** Where the waves will be: the line of silence, what is going on, and how much of it is done. */
function BeingDrawn({ percent, width, rows }: { percent: number; width: number; rows: Rows }) {
  const done = (width * percent) / 100;
  return (
    <>
      {SIDES.map((side) => {
        const y = rows.wave[side] + WAVE / 2;
        return (
          <g key={side}>
            <line class="grid" x1="0" x2={width} y1={y} y2={y} />
            <line class={`wave-done-${side}`} x1="0" x2={done} y1={y} y2={y} />
          </g>
        );
      })}
      <text class="wave-note" x={width / 2} y={rows.wave.agent + 4} text-anchor="middle">
        {t("qa.wave_drawing")} {percent > 0 && `${percent} %`}
      </text>
    </>
  );
}

/** Behind the wave and the quality of the side whose line was weak. */
function Weak(props: StillProps & { side: Side; spans: Span[]; chart: number }) {
  const { side, spans, chart, rows, sounds, x } = props;
  return (
    <>
      {spans.map(({ fromMs, toMs }) => {
        const place = { x: x(fromMs), width: Math.max(2, x(toMs) - x(fromMs)) };
        return (
          <g key={fromMs}>
            {sounds && <rect class="span-net" {...place} y={rows.wave[side]} height={WAVE} />}
            <rect class="span-net" {...place} y={chart} height={CHART} />
          </g>
        );
      })}
    </>
  );
}

function WeakMark({ at, width }: { at: number; width: number }) {
  const left = Math.min(at, Math.max(0, width - MARK_WIDTH));
  return (
    <g class="mark mark-net">
      <rect x={left} y={AXIS + 4} width={MARK_WIDTH} height={22} rx="4" />
      <svg x={left + 6} y={AXIS + 8} width="14" height="14" viewBox="0 0 20 20">
        <path class="icon-lines" d={offline} />
      </svg>
      <text x={left + 25} y={AXIS + 19}>
        {t("qa.weak_mark")}
      </text>
    </g>
  );
}

function Playhead({ at, ms, width, to }: { at: number; ms: number; width: number; to: number }) {
  const left = Math.max(0, Math.min(width - HEAD_WIDTH, at - HEAD_WIDTH / 2));
  return (
    <g>
      <line class="playhead" x1={at} x2={at} y1={AXIS} y2={to} />
      <rect class="playhead-knob" x={left} y="2" width={HEAD_WIDTH} height="20" rx="4" />
      <text class="playhead-label" x={left + HEAD_WIDTH / 2} y="16" text-anchor="middle">
        {clock(ms / 1000)}
      </text>
    </g>
  );
}
