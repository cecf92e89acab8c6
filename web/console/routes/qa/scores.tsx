// How well each was heard: both lines of every participant, what came of them from mouth to ear, and the worst minute.

import { clock } from "../../../shared/format.ts";
import type { Quality } from "../../../shared/gen/Quality.ts";
import { oneDigit, t } from "../../words.ts";
import type { Both } from "./charts.tsx";
import { LIMITS } from "./shape.ts";

/** One line of the table. */
export interface ScoreRow {
  text: string;
  mos: number;
  worst: number | undefined;
  /** What a twentieth of its seconds lie below; undefined for what was heard over both ways. */
  low: number | undefined;
  /** How long it was judged; undefined for a line, which was judged all the time. */
  seconds: number | undefined;
}

/** Who a leg is, by name. Of several agents each has a number, in the order in which they came. */
function namesOf(tracks: Quality["tracks"], names: Both<string>): (part: string, leg: string) => string {
  const agents = tracks.filter((track) => track.part === "agent").sort((a, b) => a.startMs - b.startMs);
  const legs = [...new Set(agents.map((track) => track.legId))];
  return (part, leg) => {
    if (part === "customer") return names.customer;
    if (part !== "agent") return t("colleague");
    return legs.length > 1 ? `${t("agent")} ${legs.indexOf(leg) + 1}` : names.agent;
  };
}

/** Who heard whom how well, before the lines that it was made of; a supervisor's own line is nobody's trouble. */
export function scoreRows({ tracks, endToEnd = [] }: Quality, names: Both<string>): ScoreRow[] {
  const name = namesOf(tracks, names);
  const heard = endToEnd.map((one) => ({
    text: t("qa.heard_by", {
      listener: name(one.listener, one.listenerLegId),
      speaker: name(one.speaker, one.speakerLegId),
    }),
    mos: one.mos,
    worst: one.mosWorstMinute,
    low: undefined,
    seconds: one.seconds,
  }));
  const lines = tracks.flatMap((track) => {
    const { part, legId, uplink, mosMean, mosWorstMinute, mosLow } = track;
    if (typeof mosMean !== "number" || part === "supervisor") return [];
    return {
      text: t(uplink ? "qa.line_from" : "qa.line_to", { name: name(part, legId) }),
      mos: mosMean,
      worst: mosWorstMinute ?? undefined,
      low: mosLow ?? undefined,
      seconds: undefined,
    };
  });
  return [...heard, ...lines];
}

const Score = ({ mos }: { mos: number | undefined }) => (
  <td class={mos !== undefined && mos < LIMITS.mos ? "is-number is-bad" : "is-number"}>
    {mos === undefined ? "–" : oneDigit(mos)}
  </td>
);

export function Scores({ quality, names }: { quality: Quality; names: Both<string> }) {
  const rows = scoreRows(quality, names);
  if (rows.length === 0) return null;
  return (
    <section class="qa-scores" data-testid="qa-scores">
      <div class="part-head part-head-tight">
        <h2 class="title-part">{t("qa.scores")}</h2>
      </div>
      <div class="table-holder" tabIndex={0} role="region" aria-label={t("qa.scores")}>
        <table class="table table-short">
          <thead>
            <tr>
              <th>{t("qa.way")}</th>
              <th class="is-number">{t("qa.quality")}</th>
              <th class="is-number">{t("qa.worst_minute")}</th>
              <th class="is-number">{t("qa.low")}</th>
              <th class="is-number">{t("qa.speech")}</th>
            </tr>
          </thead>
          <tbody>
            {rows.map((row, n) => (
              <tr key={n}>
                <td>{row.text}</td>
                <Score mos={row.mos} />
                <Score mos={row.worst} />
                <Score mos={row.low} />
                <td class="is-number">{row.seconds === undefined ? "–" : clock(row.seconds)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}
