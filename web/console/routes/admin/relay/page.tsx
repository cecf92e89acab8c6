// /admin/relay: who reaches us through the relay now, and what whoever runs it may do about it.

import { useLayoutEffect, useReducer, useState } from "preact/hooks";
import { browserClock } from "../../../../shared/clock.ts";
import { globe, left, lock, refresh } from "../../../../shared/design/icons.ts";
import { Avatar, Icon, Notice } from "../../../../shared/design/parts.tsx";
import { clock } from "../../../../shared/format.ts";
import type { RelayAllocation } from "../../../../shared/gen/RelayAllocation.ts";
import type { RelayState } from "../../../../shared/gen/RelayState.ts";
import { api, leave, may } from "../../../state.ts";
import { timeOfDay, wholeNumber } from "../../../words.ts";
import { Confirm, type Asked } from "./confirm.tsx";
import { Relay } from "./relay.ts";
import "./relay.css";
import { t } from "./words.ts";

/** The relay, as long as the page is shown. */
function useRelay(): Relay {
  const [relay] = useState(
    () => new Relay({ api, clock: browserClock, visible: () => !document.hidden, signedOut: leave }),
  );
  const [, redraw] = useReducer<number, void>((n) => n + 1, 0);
  useLayoutEffect(() => {
    const off = relay.changed.subscribe(() => redraw());
    const seen = (): void => void (!document.hidden && relay.seen());
    document.addEventListener("visibilitychange", seen);
    relay.open();
    return () => {
      off();
      document.removeEventListener("visibilitychange", seen);
      relay.close();
    };
  }, []);
  return relay;
}

/** Whether this person may see the relay. */
export const mayRelay = (): boolean => may("settings.write");

export function RelayPage() {
  return mayRelay() ? <Shown /> : <Forbidden />;
}

function Shown() {
  const relay = useRelay();
  const [asked, setAsked] = useState<Asked>();
  const { state } = relay;
  return (
    <main class="page relay" data-testid="relay" aria-busy={!state && !relay.stale}>
      <header class="page-head">
        <a class="icon-button" href="/admin" aria-label={t("back")} title={t("back")}>
          <Icon d={left} />
        </a>
        <h1 class="title-page">{t("title")}</h1>
        {state?.on && <span class="count">{state.total}</span>}
        {state && <span class="small muted relay-node">{t("node", { node: state.nodeId })}</span>}
        {state?.on && <Actions relay={relay} state={state} ask={setAsked} />}
      </header>
      <Notices relay={relay} />
      {state && (state.on ? <Rows state={state} ask={setAsked} /> : <Message title={t("off")} hint={t("off.hint")} />)}
      {asked && <Confirm relay={relay} asked={asked} close={() => setAsked(undefined)} />}
    </main>
  );
}

function Actions({ relay, state, ask }: { relay: Relay; state: RelayState; ask: (asked: Asked) => void }) {
  return (
    <span class="end">
      <button class="button button-plain" data-testid="relay-rotate" onClick={() => ask({ kind: "rotate" })}>
        <Icon d={refresh} small />
        {t("rotate")}
      </button>
      {state.draining ? (
        <button class="button" data-testid="relay-serve" onClick={() => void relay.change({ kind: "serve" })}>
          <Icon d={globe} small />
          {t("serve")}
        </button>
      ) : (
        <button class="button button-plain" data-testid="relay-drain" onClick={() => ask({ kind: "drain" })}>
          <Icon d={lock} small />
          {t("drain")}
        </button>
      )}
    </span>
  );
}

function Notices({ relay: { state, stale, failed } }: { relay: Relay }) {
  const time = state ? timeOfDay(state.serverTime) : "";
  return (
    <div class="relay-notices">
      {state?.on && <p class="small muted relay-hint">{t("hint")}</p>}
      {stale && (
        <Notice kind="notice-warn" shape="lost" role="status">
          {state ? t("stale", { time }) : t("unread")}
        </Notice>
      )}
      {failed && (
        <Notice kind="notice-warn" role="alert">
          {t("failed")}
        </Notice>
      )}
      {state?.draining && (
        <Notice kind="notice-warn" role="status">
          {t("draining")}
        </Notice>
      )}
      {state?.rotatedAt && <Notice role="status">{t("rotated", { time: timeOfDay(state.rotatedAt) })}</Notice>}
    </div>
  );
}

function Message({ title, hint }: { title: string; hint: string }) {
  return (
    <div class="empty" role="status">
      <Icon d={globe} />
      <b class="strong">{title}</b>
      <span>{hint}</span>
    </div>
  );
}

function Forbidden() {
  return (
    <main class="page">
      <div class="idle" role="alert">
        <div>
          <h1 class="title-page">{t("forbidden")}</h1>
          <p class="muted">{t("forbidden.hint")}</p>
        </div>
      </div>
    </main>
  );
}

function Rows({ state, ask }: { state: RelayState; ask: (asked: Asked) => void }) {
  if (state.allocations.length === 0) return <Message title={t("empty")} hint={t("empty.hint")} />;
  return (
    <div class="table-scroll" tabIndex={0} role="region" aria-label={t("title")}>
      <table class="table table-roomy relay-table">
        <thead>
          <tr>
            <th scope="col">{t("who")}</th>
            <th scope="col">{t("via")}</th>
            <th scope="col" class="is-number">
              {t("age")}
            </th>
            <th scope="col" class="is-number">
              {t("up")}
            </th>
            <th scope="col" class="is-number">
              {t("down")}
            </th>
            <th scope="col" class="is-number">
              {t("dropped")}
            </th>
            <th scope="col">{t("call")}</th>
            <th scope="col">
              <span class="visually-hidden">{t("actions")}</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {state.allocations.map((one) => (
            <Row key={one.id} one={one} ask={ask} />
          ))}
        </tbody>
      </table>
      {state.total > state.allocations.length && (
        <p class="small muted relay-more">
          {t("more", { shown: wholeNumber(state.allocations.length), n: wholeNumber(state.total) })}
        </p>
      )}
    </div>
  );
}

const PERCENT = 100;
/** A share of dropped packets that earns colour: what a listener begins to hear. */
const DROPPED_BAD = 0.01;

function Row({ one, ask }: { one: RelayAllocation; ask: (asked: Asked) => void }) {
  const part = one.part ? t(`part.${one.part}`) : t("line_test");
  const name = one.name || part;
  const all = one.packetsUp + one.packetsDown + one.dropped;
  const bad = all > 0 && one.dropped / all > DROPPED_BAD;
  return (
    <tr data-testid="relay-row">
      <td class="relay-who">
        <span class="cell-person">
          <Avatar name={name} size="avatar-small" customer={one.part === "customer"} />
          <span class="relay-name">
            <span class="clip">{name}</span>
            {one.name && <span class="small muted">{part}</span>}
          </span>
        </span>
      </td>
      <td class="relay-via">
        <span class={`badge ${one.via === "udp" ? "" : "badge-accent"}`}>{one.via.toUpperCase()}</span>
      </td>
      <td class="is-number relay-age">{clock(one.ageSeconds)}</td>
      <Packets n={one.packetsUp} label={t("up")} />
      <Packets n={one.packetsDown} label={t("down")} />
      <td class={`is-number relay-dropped ${bad ? "is-bad" : one.dropped === 0 ? "muted" : ""}`}>
        <span class="relay-label">{t("dropped")} </span>
        {wholeNumber(one.dropped)}
        {bad && ` (${wholeNumber((one.dropped / all) * PERCENT)} %)`}
      </td>
      <td class="relay-call">
        <span class="relay-label">{t("call")} </span>
        {one.callId ? (
          <a class="number" href={`/admin?call=${one.callId}`}>
            {one.callId.slice(0, 8)}
          </a>
        ) : (
          <span class="muted">–</span>
        )}
      </td>
      <td class="is-number relay-end">
        <button
          class="button button-quiet"
          data-testid="relay-kill"
          aria-label={t("kill.of", { name })}
          onClick={() => ask({ kind: "kill", id: one.id, name })}
        >
          {t("kill")}
        </button>
      </td>
    </tr>
  );
}

const Packets = ({ n, label }: { n: number; label: string }) => (
  <td class="is-number relay-packets">
    <span class="relay-label">{label} </span>
    {wholeNumber(n)}
  </td>
);
