// The left column: own presence, waiting calls, my calls.

import { useEffect, useRef, useState } from "preact/hooks";
import { alert, clock as clockIcon, down } from "../../../shared/design/icons.ts";
import { Avatar, EverySecond, Icon } from "../../../shared/design/parts.tsx";
import { clock } from "../../../shared/format.ts";
import type { WaitingCall } from "../../../shared/gen/WaitingCall.ts";
import { me } from "../../state.ts";
import { t, type Key } from "../../words.ts";
import type { Desk } from "./desk.ts";

/** What a colleague would say of this agent now: a word and the shape beside it. */
function standing(desk: Desk): { word: Key; dot: string } {
  if (desk.stage.at === "connecting" || desk.stage.at === "talking") return { word: "presence.call", dot: "dot-busy" };
  if (desk.stage.at === "wrapping") return { word: "presence.wrap", dot: "dot-warn" };
  if (desk.presence === "online") return { word: "presence.online", dot: "dot-ok" };
  return desk.presence === "away"
    ? { word: "presence.away", dot: "dot-warn" }
    : { word: "presence.offline", dot: "dot-off" };
}

const CHOICES = [
  { status: "online", dot: "dot-ok" },
  { status: "away", dot: "dot-warn" },
  { status: "offline", dot: "dot-off" },
] as const;

function Presence({ desk }: { desk: Desk }) {
  const [open, setOpen] = useState(false);
  const menu = useRef<HTMLDivElement>(null);
  const { word, dot } = standing(desk);
  useEffect(() => {
    if (!open) return;
    menu.current?.querySelector<HTMLElement>("[aria-checked=true], [role=menuitemradio]")?.focus();
    const close = (event: Event): void => {
      if (!menu.current?.contains(event.target as Node)) setOpen(false);
    };
    addEventListener("pointerdown", close);
    return () => removeEventListener("pointerdown", close);
  }, [open]);
  const choose = (status: (typeof CHOICES)[number]["status"]): void => {
    setOpen(false);
    if (status === "online") void desk.goOnline();
    else void desk.setPresence(status);
  };
  const keys = (event: KeyboardEvent): void => {
    if (event.key === "Escape") {
      setOpen(false);
      menu.current?.querySelector("button")?.focus();
    }
    if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
    event.preventDefault();
    const items = [...(menu.current?.querySelectorAll<HTMLElement>("[role=menuitemradio]") ?? [])];
    const at = items.indexOf(document.activeElement as HTMLElement);
    items[(at + (event.key === "ArrowDown" ? 1 : items.length - 1)) % items.length]?.focus();
  };
  const name = me.value?.staffName ?? "";
  return (
    <div class="presence">
      <div class="presence-row">
        <Avatar name={name} />
        <span class="clip">
          <b class="strong">{name}</b>
          <br />
          <span class="small muted">{t(desk.signal.state.at === "open" ? "connected" : "connecting_line")}</span>
        </span>
        <div class="menu" ref={menu} onKeyDown={keys}>
          <button
            class="presence-button"
            data-testid="presence"
            aria-haspopup="menu"
            aria-expanded={open}
            disabled={desk.changing}
            onClick={() => setOpen(!open)}
          >
            <span class={`dot ${dot}`} />
            {t(word)}
            <Icon d={down} small />
          </button>
          {open && (
            <div class="menu-list" role="menu" aria-label={t("presence")}>
              {CHOICES.map((choice) => (
                <button
                  key={choice.status}
                  class="menu-item"
                  data-testid={`presence-${choice.status}`}
                  role="menuitemradio"
                  aria-checked={desk.presence === choice.status}
                  onClick={() => choose(choice.status)}
                >
                  <span class={`dot ${choice.dot}`} />
                  {t(`presence.${choice.status}`)}
                </button>
              ))}
            </div>
          )}
        </div>
      </div>
    </div>
  );
}

/** Shares of the queue's time-out at which a wait turns amber and red. */
const SOON = 0.4;
const LATE = 0.8;

function Waiting({ desk, call, timeout }: { desk: Desk; call: WaitingCall; timeout: number }) {
  const waited = (desk.now - Date.parse(call.enqueuedAt)) / 1000;
  const urgency = waited > timeout * LATE ? "is-late" : waited > timeout * SOON ? "is-soon" : "";
  const ringing = "offer" in desk.stage && desk.stage.offer.callId === call.callId;
  const name = call.customerName || t("unknown_customer");
  return (
    <li class={`list-item ${urgency}`} data-testid="waiting-call" data-call-id={call.callId}>
      <Avatar name={name} size="avatar-small" />
      <span class="clip">
        <span class="who">{name}</span>
        <br />
        <span class="what">
          {call.queue}
          {ringing ? `, ${t("ringing_you")}` : call.status === "ringing" ? `, ${t("ringing_other")}` : ""}
        </span>
      </span>
      <span class="when">
        {urgency && (
          <>
            <Icon d={urgency === "is-late" ? alert : clockIcon} small />
            <span class="visually-hidden">{t(urgency === "is-late" ? "wait.late" : "wait.soon")}</span>
          </>
        )}
        {clock(waited)}
      </span>
    </li>
  );
}

export function Queue({ desk }: { desk: Desk }) {
  return (
    <aside class="column column-queue" aria-label={t("queues")}>
      <Presence desk={desk} />
      <EverySecond>{() => <Lists desk={desk} />}</EverySecond>
    </aside>
  );
}

function Lists({ desk }: { desk: Desk }) {
  const waiting = desk.day.queue?.waiting ?? [];
  const timeout = desk.day.queue?.queueTimeoutSeconds ?? Infinity;
  const longest = waiting.reduce((max, one) => Math.max(max, desk.now - Date.parse(one.enqueuedAt)), 0) / 1000;
  const call = desk.call && desk.stage.at !== "wrapping" ? desk.call : undefined;
  return (
    <>
      <section class="list-part" data-testid="waiting-calls">
        <h2 class="list-head">
          {t("waiting_calls")}
          <span class="count">{waiting.length}</span>
          <span class="end">{waiting.length > 0 && t("longest", { time: clock(longest) })}</span>
        </h2>
        {waiting.length === 0 ? (
          <p class="list-none">{t("waiting_none")}</p>
        ) : (
          <ul>
            {waiting.map((one) => (
              <Waiting key={one.callId} desk={desk} call={one} timeout={timeout} />
            ))}
          </ul>
        )}
      </section>
      <section class="list-part" data-testid="my-calls">
        <h2 class="list-head">
          {t("my_calls")}
          <span class="count">{call ? 1 : 0}</span>
        </h2>
        {call ? (
          <ul>
            <li class="list-item is-selected">
              <Avatar name={call.customerName || t("unknown_customer")} size="avatar-small" customer />
              <span class="clip">
                <span class="who">{call.customerName || t("unknown_customer")}</span>
                <br />
                <span class="what">{call.queue}</span>
              </span>
              <span class="when">
                {call.answeredAt ? clock((desk.now - Date.parse(call.answeredAt)) / 1000) : t("connecting_short")}
              </span>
            </li>
          </ul>
        ) : (
          <p class="list-none">{t("my_calls_none")}</p>
        )}
      </section>
      {desk.day.today.length > 0 && (
        <section class="list-part" data-testid="calls-today">
          <h2 class="list-head">
            {t("earlier_today")}
            <span class="count">{desk.day.today.length}</span>
          </h2>
          <ul>
            {desk.day.today
              .filter((row) => row.callId !== call?.callId)
              .slice(0, EARLIER_MAX)
              .map((row) => (
                <li key={row.callId} class="list-item">
                  <Avatar name={row.customerName || t("unknown_customer")} size="avatar-small" />
                  <span class="clip">
                    <span class="who">{row.customerName || t("unknown_customer")}</span>
                    <br />
                    <span class="what">{row.queue}</span>
                  </span>
                  <span class="when">{row.talkSeconds == null ? "–" : clock(row.talkSeconds)}</span>
                </li>
              ))}
          </ul>
        </section>
      )}
    </>
  );
}

/** Calls of today that the column shows; the count says how many there were. */
const EARLIER_MAX = 6;
