// Nothing to do is a good state and looks like one; before it stands the one button that starts the day.

import { mic, phone, signal } from "../../../shared/design/icons.ts";
import { Icon, Notice, Select, strokes } from "../../../shared/design/parts.tsx";
import { clock } from "../../../shared/format.ts";
import { oneDigit, t, timeOfDay, wholeNumber } from "../../words.ts";
import type { Desk } from "./desk.ts";

export function Idle({ desk }: { desk: Desk }) {
  const online = desk.presence === "online";
  return (
    <main class="column column-main" aria-label={t("idle.label")}>
      <div class="idle">
        <svg class="idle-line" viewBox="0 0 360 40" aria-hidden="true">
          <path d={strokes([], 60, 40)} />
        </svg>
        <div class="stage-text">
          <h1 class="title-page">
            {t(online ? "idle.online" : desk.presence === "away" ? "idle.away" : "idle.offline")}
          </h1>
          <p class="muted">{t(online ? "idle.online.hint" : "idle.offline.hint")}</p>
        </div>
        {!online && (
          <button
            class="button button-large"
            data-testid="online"
            disabled={desk.changing}
            onClick={() => void desk.goOnline()}
          >
            <Icon d={phone} />
            {t(desk.changing ? "going_online" : "go_online")}
          </button>
        )}
        {desk.signal.state.at === "closed" && (
          <Notice kind="notice-warn" shape="lost" role="alert">
            {t("line_closed")}{" "}
            <button class="button button-plain" data-testid="reconnect" onClick={() => desk.online()}>
              {t("reconnect")}
            </button>
          </Notice>
        )}
        <Today desk={desk} />
        {online && (
          <div class="call-tags">
            {desk.checkedAt !== undefined && (
              <span class="badge badge-ok" data-testid="microphone-checked">
                <Icon d={mic} />
                {t("microphone_checked", { time: timeOfDay(new Date(desk.checkedAt).toISOString()) })}
              </span>
            )}
            {desk.signal.state.at === "open" ? (
              <span class="badge badge-ok">
                <Icon d={signal} />
                {t("line_open")}
              </span>
            ) : (
              <span class="badge badge-warn">
                <Icon d={signal} />
                {t("line_lost")}
              </span>
            )}
          </div>
        )}
        {online && desk.voice.devices.microphones.length > 1 && (
          <div class="idle-check">
            <Select
              label={t("microphone")}
              value={desk.voice.microphoneId}
              options={desk.voice.devices.microphones}
              onChange={(id) => void desk.voice.chooseMicrophone(id)}
            />
          </div>
        )}
      </div>
    </main>
  );
}

/** The agent's day in three figures; nothing is shown before there is something. */
function Today({ desk }: { desk: Desk }) {
  const talked = desk.day.today.filter((row) => typeof row.talkSeconds === "number");
  if (talked.length === 0) return null;
  const mean = (values: number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;
  const scores = talked.map((row) => row.mosAgent).filter((score) => typeof score === "number");
  return (
    <div class="figures">
      <Figure value={wholeNumber(talked.length)} name={t("figure.calls")} />
      <Figure value={clock(mean(talked.map((row) => row.talkSeconds ?? 0)))} name={t("figure.average")} />
      {scores.length > 0 && <Figure value={oneDigit(mean(scores))} name={t("figure.quality")} />}
    </div>
  );
}

const Figure = ({ value, name }: { value: string; name: string }) => (
  <span>
    <span class="figure-value">{value}</span>
    <span class="small muted">{name}</span>
  </span>
);
