// Asking a colleague during a call: whom, then how it stands, and the three ways out of it.

import type { TargetedEvent } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { phone, search, transfer, users } from "../../../shared/design/icons.ts";
import { Avatar, EverySecond, Icon } from "../../../shared/design/parts.tsx";
import { clock, firstName } from "../../../shared/format.ts";
import type { CallView } from "../../../shared/gen/CallView.ts";
import type { AvailableStaff } from "../../../shared/gen/AvailableStaff.ts";
import { t } from "../../words.ts";
import { LISTED_MAX, matching } from "./colleagues.ts";
import type { Desk } from "./desk.ts";

/** The choice of a colleague, beside the call and not over it: hanging up stays in reach. */
export function AskColleague({ desk, customer, close }: { desk: Desk; customer: string; close: () => void }) {
  const [words, setWords] = useState("");
  const field = useRef<HTMLInputElement>(null);
  const { control } = desk;
  useEffect(() => {
    field.current?.focus();
    void control.readColleagues();
  }, []);
  const all = control.colleagues;
  const found = matching(all ?? [], words);
  const keys = (event: KeyboardEvent): void => {
    if (event.key !== "Escape") return;
    event.stopPropagation();
    close();
  };
  return (
    <section class="ask" data-testid="ask" aria-label={t("consult.ask")} onKeyDown={keys}>
      <div class="part-head">
        <h2 class="title-part">{t("consult.ask")}</h2>
        <span class="small muted clip">{t("consult.ask.hint", { name: customer })}</span>
        <span class="end">
          <button class="button button-quiet" onClick={close}>
            {t("cancel")}
          </button>
        </span>
      </div>
      <span class="input-group">
        <Icon d={search} small />
        <input
          class="input"
          type="search"
          data-testid="ask-search"
          ref={field}
          placeholder={t("consult.search")}
          aria-label={t("consult.search")}
          value={words}
          onInput={(event: TargetedEvent<HTMLInputElement>) => setWords(event.currentTarget.value)}
        />
      </span>
      {found.length > 0 ? (
        <ul class="ask-list">
          {found.slice(0, LISTED_MAX).map((one) => (
            <Row key={one.staffId} colleague={one} desk={desk} />
          ))}
          {found.length > LISTED_MAX && (
            <li class="list-none">{t("consult.more", { n: found.length - LISTED_MAX })}</li>
          )}
        </ul>
      ) : (
        <p class="list-none" role="status">
          {t(
            control.unread ? "consult.unread" : !all ? "loading" : all.length > 0 ? "consult.no_match" : "consult.none",
          )}
        </p>
      )}
    </section>
  );
}

function Row({ colleague, desk }: { colleague: AvailableStaff; desk: Desk }) {
  const { name, role, free, staffId } = colleague;
  return (
    <li class="ask-row">
      <span class="cell-person">
        <Avatar name={name} size="avatar-small" />
        <span class="medium clip">{name}</span>
        <span class="small muted nowrap">{t(`role.${role}`)}</span>
      </span>
      <span class="status small">
        <span class={`dot ${free ? "dot-ok" : "dot-busy"}`} />
        {t(free ? "consult.free" : "consult.busy")}
      </span>
      <button
        class="button button-plain"
        data-testid="ask-ring"
        disabled={!free || desk.control.pending !== undefined}
        aria-label={t("consult.ring_name", { name })}
        onClick={() => void desk.control.consult(staffId)}
      >
        <Icon d={phone} small />
        {t("consult.ring")}
      </button>
    </li>
  );
}

/** How the consultation stands, and what can be done about it. */
export function Consultation({ desk, call }: { desk: Desk; call: CallView }) {
  const { consult } = call;
  if (!consult) return null;
  const partner = desk.part === "partner";
  const colleague = partner ? (call.agentName ?? "") : consult.staffName;
  const names = { name: firstName(colleague), customer: firstName(call.customerName || t("unknown_customer")) };
  const { state } = consult;
  return (
    <section class="consult" data-testid="consult" data-state={state} aria-label={t("consult.label")}>
      <div class="consult-who">
        <Avatar name={colleague} />
        <span class="consult-text" role="status">
          <b class="strong">{t(`${partner ? "consult.asked" : "consult"}.${state}`, names)}</b>
          <span class="muted">{t(state === "conference" ? "consult.all_hear" : "consult.music", names)}</span>
        </span>
        <span class="timer-small" role="timer" aria-label={t("consult.time")}>
          <EverySecond>{() => clock((desk.now - Date.parse(consult.since)) / 1000)}</EverySecond>
        </span>
      </div>
      {!partner && <Ways desk={desk} state={state} names={names} />}
    </section>
  );
}

interface WaysProps {
  desk: Desk;
  state: NonNullable<CallView["consult"]>["state"];
  names: { name: string; customer: string };
}

function Ways({ desk, state, names }: WaysProps) {
  const { control } = desk;
  const busy = control.pending !== undefined;
  const conference = state === "conference";
  return (
    <div class="consult-ways" role="toolbar" aria-label={t("consult.label")}>
      {state !== "ringing" && (
        <button
          class="button is-main"
          data-testid="consult-complete"
          disabled={busy}
          onClick={() => void control.complete()}
        >
          <Icon d={transfer} small />
          {t(conference ? "consult.leave_to" : "consult.pass_on", names)} <span class="key">T</span>
        </button>
      )}
      {state === "talking" && (
        <button
          class="button button-plain"
          data-testid="consult-merge"
          disabled={busy}
          onClick={() => void control.merge()}
        >
          <Icon d={users} small />
          {t("consult.bring_in", names)} <span class="key">J</span>
        </button>
      )}
      <button
        class="button button-plain"
        data-testid="consult-cancel"
        disabled={busy}
        onClick={() => void control.cancel()}
      >
        {t(state === "ringing" ? "consult.stop_ringing" : conference ? "consult.take_off" : "consult.back", names)}{" "}
        <span class="key">B</span>
      </button>
    </div>
  );
}
