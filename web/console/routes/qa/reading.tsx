// The reading: what was measured at the moment under the pointer or the keyboard's cursor, for both sides.

import { firstName, clock } from "../../../shared/format.ts";
import { t } from "../../words.ts";
import { milliseconds, ofFive, percent, SIDES, type Both, type Side } from "./charts.tsx";
import { LIMITS, type Sample } from "./shape.ts";

const WIDTH = 320;
const ROW = 20;
const PAD = 10;
export const READING_HEIGHT = 3 * ROW + PAD;
/** Right ends of the columns. */
const COLUMNS = [150, 196, 246, WIDTH - PAD] as const;
/** Between the line of the cursor and the box. */
const GAP = 12;
/** Longest name that fits into its column, characters. */
const NAME_CHARS_MAX = 11;

interface Cell {
  text: string;
  bad: boolean;
}

/** Quality, loss, jitter and delay of one second, with their units. */
function cells(sample: Sample | undefined): Cell[] {
  if (!sample) return COLUMNS.map(() => ({ text: "–", bad: false }));
  return [
    { text: ofFive(sample.mos), bad: sample.mos < LIMITS.mos },
    { text: percent(sample.loss), bad: sample.loss > LIMITS.loss },
    { text: milliseconds(sample.jitterMs), bad: sample.jitterMs > LIMITS.jitterMs },
    { text: sample.rttMs === undefined ? "–" : milliseconds(sample.rttMs), bad: false },
  ];
}

const heads = (): string[] => [t("qa.quality"), t("qa.loss"), t("qa.jitter"), t("quality.delay")];

/** The reading in one sentence, for those who hear it. */
export function spoken(ms: number, here: Both<Sample | undefined>, names: Both<string>): string {
  const said = SIDES.map((side) => {
    const sample = here[side];
    if (!sample) return `${names[side]}: ${t("qa.not_measured")}`;
    const values = cells(sample).map(({ text }, n) => `${heads()[n]} ${text}`);
    return `${names[side]}: ${values.join(", ")}`;
  });
  return `${clock(ms / 1000)}. ${said.join(". ")}`;
}

export function Reading(props: {
  at: number;
  ms: number;
  /** Top of the box. */
  y: number;
  /** From where to where the line goes. */
  from: number;
  to: number;
  width: number;
  here: Both<Sample | undefined>;
  names: Both<string>;
}) {
  const { at, ms, y, from, to, width, here, names } = props;
  const right = at + GAP;
  // Beside the cursor: on its right while there is room, else on its left, and never outside of the drawing.
  const left = Math.max(0, right + WIDTH <= width ? right : Math.min(width - WIDTH, at - GAP - WIDTH));
  return (
    <g class="reading" data-testid="qa-reading">
      <line class="reading-line" x1={at} x2={at} y1={from} y2={to} />
      <rect class="reading-box" x={left} y={y} width={WIDTH} height={READING_HEIGHT} rx="8" />
      <text class="reading-time" x={left + PAD} y={y + ROW}>
        {clock(ms / 1000)}
      </text>
      {heads().map((head, n) => (
        <text key={head} x={left + COLUMNS[n]!} y={y + ROW} text-anchor="end">
          {head}
        </text>
      ))}
      {SIDES.map((side, row) => (
        <Side key={side} side={side} name={names[side]} sample={here[side]} x={left} y={y + (row + 2) * ROW} />
      ))}
    </g>
  );
}

function Side(props: { side: Side; name: string; sample: Sample | undefined; x: number; y: number }) {
  const { side, sample, x, y } = props;
  const name = firstName(props.name);
  return (
    <>
      <text class={`reading-name of-${side}`} x={x + PAD} y={y}>
        {name.length > NAME_CHARS_MAX ? `${name.slice(0, NAME_CHARS_MAX - 1)}…` : name}
      </text>
      {cells(sample).map(({ text, bad }, n) => (
        <text
          key={n}
          class={bad ? "reading-value is-beyond" : "reading-value"}
          x={x + COLUMNS[n]!}
          y={y}
          text-anchor="end"
        >
          {text}
        </text>
      ))}
    </>
  );
}
