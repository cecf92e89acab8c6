// The live calls, a row each.

import { headset } from "../../../shared/design/icons.ts";
import { Avatar, EverySecond, Icon } from "../../../shared/design/parts.tsx";
import { clock } from "../../../shared/format.ts";
import type { LiveCall } from "../../../shared/gen/LiveCall.ts";
import { live } from "../../live.ts";
import { me } from "../../state.ts";
import { t } from "../../words.ts";
import { permitted } from "./bar.tsx";
import type { LiveCalls } from "./live-calls.ts";
import { LegLevel, nameOf, Score, StateWord, VoiceMark } from "./marks.tsx";
import { flagsOf, hasSound, legOf, startOf, worstOf } from "./rows.ts";
import type { Supervision, Target } from "./supervision.ts";

export const targetOf = (call: LiveCall): Target => ({
  callId: call.callId,
  customerName: call.customerName,
  agentName: call.agentName ?? "",
});

/** Whether this person may take part in a call now: it has sound, and it is not his own. */
export const mayJoin = (call: LiveCall): boolean => hasSound(call) && call.agentId !== me.value?.staffId;

interface TableProps {
  live: LiveCalls;
  rows: LiveCall[];
  selected: string | null;
  supervision: Supervision;
}

export function Table({ live: calls, rows, selected, supervision }: TableProps) {
  return (
    <table class="table table-roomy live-table">
      <thead>
        <tr>
          <th scope="col">{t("customer")}</th>
          <th scope="col">{t("agent")}</th>
          <th scope="col" class="live-queue">
            {t("queue")}
          </th>
          <th scope="col">{t("live.state")}</th>
          <th scope="col" class="is-number">
            {t("qa.time")}
          </th>
          <th scope="col" class="live-voices">
            {t("live.voices")}
          </th>
          <th scope="col">{t("live.sound")}</th>
          <th scope="col" class="live-ways">
            <span class="visually-hidden">{t("live.actions")}</span>
          </th>
        </tr>
      </thead>
      <tbody>
        {rows.map((call) => (
          <Row
            key={call.callId}
            call={call}
            calls={calls}
            chosen={call.callId === selected}
            supervision={supervision}
          />
        ))}
      </tbody>
    </table>
  );
}

interface RowProps {
  call: LiveCall;
  calls: LiveCalls;
  chosen: boolean;
  supervision: Supervision;
}

function Row({ call, calls, chosen, supervision }: RowProps) {
  const heard = supervision.modeOf(call.callId) !== undefined;
  const customer = nameOf(call, "customer");
  return (
    <tr
      class={chosen || heard ? "is-selected" : ""}
      data-testid="live-row"
      data-call-id={call.callId}
      aria-current={chosen ? "true" : undefined}
    >
      <td class="live-customer">
        <span class="cell-person">
          <Avatar name={customer} size="avatar-small" />
          <a
            class="row-link clip"
            href={`/admin?call=${call.callId}`}
            aria-label={t("live.details", { name: customer })}
          >
            {customer}
          </a>
          <VoiceMark call={call} part="customer" />
        </span>
      </td>
      <td class="live-agent">
        <span class="live-name">
          <span class={`clip ${call.agentName ? "" : "muted"}`}>{call.agentName || t("live.nobody")}</span>
          <VoiceMark call={call} part="agent" />
          <Watchers call={call} />
        </span>
      </td>
      <td class="muted live-queue">{call.queue}</td>
      <td class="live-state">
        <StateWord call={call} />
      </td>
      <td class="is-number live-time">
        <EverySecond>{() => clock((calls.now - startOf(call)) / 1000)}</EverySecond>
      </td>
      <td class="live-voices">
        {hasSound(call) && (
          <span class="levels">
            <LegLevel leg={legOf(call, "customer")} name={customer} customer />
            <LegLevel leg={legOf(call, "agent")} name={nameOf(call, "agent")} />
          </span>
        )}
      </td>
      <td class={`live-sound ${worstOf(call) === undefined ? "is-none" : ""}`}>
        <Quality call={call} />
      </td>
      <td class="is-number live-ways">
        {mayJoin(call) && <Ways call={call} supervision={supervision} names={false} />}
      </td>
    </tr>
  );
}

/** The worst of both sides, and what is wrong. */
function Quality({ call }: { call: LiveCall }) {
  const flags = flagsOf(call);
  const [first] = flags;
  return (
    <span class="live-quality">
      <Score mos={worstOf(call)} />
      {first && (
        <span class="live-flag">
          {t(`flag.${first}`)}
          {flags.length > 1 && ` +${flags.length - 1}`}
        </span>
      )}
    </span>
  );
}

/** Who else listens. */
function Watchers({ call }: { call: LiveCall }) {
  const others = call.supervisors.filter(({ staffId }) => staffId !== me.value?.staffId);
  if (others.length === 0) return null;
  const names = others.map(({ staffName }) => staffName).join(", ");
  return (
    <span class="badge" title={`${t("live.supervisors")} ${names}`}>
      <Icon d={headset} />
      {others.length}
      <span class="visually-hidden">
        {t("live.supervisors")} {names}
      </span>
    </span>
  );
}

/** The ways to take part, as buttons: with words, or for a row as icons beside the first. */
export function Ways(props: { call: LiveCall; supervision: Supervision; names: boolean }) {
  const { call, supervision, names } = props;
  const now = supervision.modeOf(call.callId);
  const busy = live.value?.busy() ?? false;
  return (
    <span class="row-actions">
      {permitted().map(({ mode, d }) => (
        <button
          key={mode}
          class={`button ${names ? "button-plain" : "button-quiet"}`}
          data-testid={`${names ? "drawer" : "row"}-${mode}`}
          aria-pressed={now === mode}
          disabled={busy}
          title={busy ? t("supervise.busy") : t(`supervise.${mode}`)}
          aria-label={`${t(`supervise.${mode}`)}: ${nameOf(call, "customer")}`}
          onClick={() => void supervision.supervise(targetOf(call), mode)}
        >
          <Icon d={d} small />
          <span class={names || mode === "monitor" ? "" : "live-way-word"}>{t(`supervise.${mode}`)}</span>
        </button>
      ))}
    </span>
  );
}
