// One live call in detail, and everything that a supervisor may do about it.

import { wave } from "../../../shared/design/icons.ts";
import { Avatar, EverySecond, Icon, Notice } from "../../../shared/design/parts.tsx";
import { clock } from "../../../shared/format.ts";
import type { LegQuality } from "../../../shared/gen/LegQuality.ts";
import type { LiveCall } from "../../../shared/gen/LiveCall.ts";
import type { Part } from "../../../shared/gen/Part.ts";
import { FLAGS } from "../../alerts.ts";
import { Details } from "../../lists.tsx";
import { live } from "../../live.ts";
import { parked } from "../../parked.ts";
import { go, may, mayReview, me } from "../../state.ts";
import { oneDigit, t, timeOfDay, wholeNumber } from "../../words.ts";
import { Commands, Mute, Takeover } from "./command.tsx";
import type { LiveCalls } from "./live-calls.ts";
import { nameOf, Score, StateWord, VoiceMark } from "./marks.tsx";
import { hasSound, startOf, voices } from "./rows.ts";
import type { Supervision } from "./supervision.ts";
import { mayJoin, Ways } from "./table.tsx";

const shut = (): void => go("/admin", true);

interface Props {
  calls: LiveCalls;
  callId: string;
  supervision: Supervision;
}

export function Drawer({ calls, callId, supervision }: Props) {
  const call = calls.find(callId);
  if (!call) return calls.asOf === undefined ? null : <Gone />;
  const name = nameOf(call, "customer");
  return (
    <Details
      name="live"
      label={t("live.details", { name })}
      head={
        <>
          <Avatar name={name} customer />
          <span class="live-title">
            <h2 class="title-part clip">{name}</h2>
            <span class="small muted number">
              <EverySecond>{() => clock((calls.now - startOf(call)) / 1000)}</EverySecond>
            </span>
          </span>
        </>
      }
      shut={shut}
    >
      <Facts call={call} />
      {mayJoin(call) && (
        <section class="live-part live-do" aria-label={t("live.actions")}>
          <Ways call={call} supervision={supervision} names />
          {may("call.takeover") && <Takeover call={call} />}
          {live.value?.busy() && <span class="small muted">{t("supervise.busy")}</span>}
        </section>
      )}
      <Commands call={call} calls={calls} />
      {hasSound(call) && <Legs call={call} calls={calls} />}
      {call.supervisors.length > 0 && <Supervisors call={call} />}
    </Details>
  );
}

const Gone = () => (
  <Details
    name="live"
    label={t("live.gone")}
    plain
    head={
      <span class="muted" role="status">
        {t("live.gone")}
      </span>
    }
    shut={shut}
  />
);

function Facts({ call }: { call: LiveCall }) {
  return (
    <section class="live-part">
      <dl class="pairs">
        <dt>{t("live.state")}</dt>
        <dd>
          <StateWord call={call} />
        </dd>
        <dt>{t("agent")}</dt>
        <dd>{call.agentName || t("live.nobody")}</dd>
        {call.consult && (
          <>
            <dt>{t("live.partner")}</dt>
            <dd>{call.consult.staffName}</dd>
          </>
        )}
        <dt>{t("queue")}</dt>
        <dd>{call.queue}</dd>
        <dt>{t("context.called")}</dt>
        <dd class="number">{timeOfDay(call.createdAt)}</dd>
        {call.answeredAt && (
          <>
            <dt>{t("wrap.answered")}</dt>
            <dd class="number">{timeOfDay(call.answeredAt)}</dd>
          </>
        )}
        <dt>{t("recording")}</dt>
        <dd>{t(!call.recorded ? "no" : parked(call) ? "recording_paused" : "yes")}</dd>
        <dt>{t("reference")}</dt>
        <dd class="live-reference">
          {call.callId.slice(0, 8)}
          {mayReview() && (
            <a class="live-review" href={`/qa/calls/${call.callId}`}>
              <Icon d={wave} small />
              {t("live.review")}
            </a>
          )}
        </dd>
      </dl>
    </section>
  );
}

const PARTS: readonly Part[] = ["customer", "agent", "partner"];

function Legs({ call, calls }: { call: LiveCall; calls: LiveCalls }) {
  const legs = voices(call);
  return (
    <section class="live-part" aria-label={t("live.sound")}>
      <h3 class="title-small">{t("live.sound")}</h3>
      {legs.length === 0 ? (
        <p class="small muted">{t("live.not_measured")}</p>
      ) : (
        PARTS.flatMap((part) => legs.filter((leg) => leg.part === part)).map((leg) => (
          <LegRow key={leg.part} call={call} calls={calls} leg={leg} />
        ))
      )}
    </section>
  );
}

function LegRow({ call, calls, leg }: { call: LiveCall; calls: LiveCalls; leg: LegQuality }) {
  const name = nameOf(call, leg.part);
  const flags = FLAGS.filter((flag) => leg.flags.includes(flag));
  return (
    <div class="live-leg" data-testid={`leg-${leg.part}`}>
      <span class="live-name">
        <b class={`medium clip ${leg.part === "customer" ? "of-customer" : ""}`}>{name}</b>
        <VoiceMark call={call} part={leg.part} />
        {may("call.barge") && <Mute call={call} calls={calls} part={leg.part} name={name} />}
      </span>
      <dl class="live-numbers">
        <dt>{t("live.mos_up")}</dt>
        <dd>
          <Score mos={leg.mos} />
        </dd>
        <dt>{t("live.mos_down")}</dt>
        <dd>
          <Score mos={leg.mosDown} />
        </dd>
        <dt>{t("live.mos_end_to_end")}</dt>
        <dd>
          <Score mos={leg.mosEndToEnd} />
        </dd>
      </dl>
      <p class="small muted number">
        {t("quality.loss")} {oneDigit(leg.loss * 100)} %, {t("quality.jitter")} {wholeNumber(leg.jitterMs)} ms,{" "}
        {t("quality.delay")} {leg.rttMs == null ? "–" : `${wholeNumber(leg.rttMs)} ms`}
      </p>
      {leg.path && (
        <p class="small muted">
          {t("event.leg.path")}: {t(`event.path.${leg.path}`)}
        </p>
      )}
      {flags.length > 0 && <Notice kind="notice-warn">{flags.map((flag) => t(`flag.${flag}`)).join(", ")}</Notice>}
    </div>
  );
}

function Supervisors({ call }: { call: LiveCall }) {
  return (
    <section class="live-part" aria-label={t("live.supervisors")}>
      <h3 class="title-small">{t("live.supervisors")}</h3>
      <ul class="live-watchers">
        {call.supervisors.map(({ staffId, staffName, mode, since }) => (
          <li key={staffId}>
            <Avatar name={staffName} size="avatar-small" />
            <span class="clip">
              {staffName}
              {staffId === me.value?.staffId && ` (${t("live.you")})`}
            </span>
            <span class="small muted">
              {t(`supervise.${mode}`)}, {t("live.since", { time: timeOfDay(since) })}
            </span>
          </li>
        ))}
      </ul>
    </section>
  );
}
