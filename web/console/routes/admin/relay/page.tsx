// /admin/relay: who reaches us through the relay now, and what whoever runs it may do about it.

import { useState } from "preact/hooks";
import { globe, lock, refresh } from "../../../../shared/design/icons.ts";
import { Avatar, Icon, Notice } from "../../../../shared/design/parts.tsx";
import { clock } from "../../../../shared/format.ts";
import type { RelayAllocation } from "../../../../shared/gen/RelayAllocation.ts";
import type { RelayState } from "../../../../shared/gen/RelayState.ts";
import { Confirm, useCommand } from "../../../command.tsx";
import { h } from "../../../house.ts";
import { Nothing } from "../../../lists.tsx";
import { timeOfDay, wholeNumber } from "../../../words.ts";
import { Frame, usePolled } from "../frame.tsx";
import { Relay } from "./relay.ts";
import "./relay.css";
import { t } from "./words.ts";

/** What is done only after a question. */
type Asked = { kind: "kill"; id: string; name: string } | { kind: "drain" | "rotate" };

export function RelayPage() {
  const relay = usePolled((env) => new Relay(env));
  const [asked, setAsked] = useState<Asked>();
  const { state } = relay;
  return (
    <Frame
      name="relay"
      polled={relay}
      title={t("title")}
      about={
        state && (
          <>
            {state.on && <span class="count">{state.total}</span>}
            <span class="small muted relay-node">{t("node", { node: state.nodeId })}</span>
          </>
        )
      }
      actions={state?.on && <Actions relay={relay} state={state} ask={setAsked} />}
      hint={state?.on && t("hint")}
      unread={t("unread")}
      refused={relay.wait === undefined ? undefined : t("too_soon", { n: wholeNumber(relay.wait) })}
      notices={state && <Notices state={state} />}
    >
      {state &&
        (state.on ? (
          <Rows state={state} ask={setAsked} />
        ) : (
          <Nothing d={globe} title={t("off")} hint={t("off.hint")} />
        ))}
      {asked && <Ask relay={relay} asked={asked} close={() => setAsked(undefined)} />}
    </Frame>
  );
}

function Ask({ relay, asked, close }: { relay: Relay; asked: Asked; close: () => void }) {
  const { kind } = asked;
  return (
    <Confirm
      name="relay"
      title={t(`${kind}.title`, { name: asked.kind === "kill" ? asked.name : "" })}
      hint={t(`${kind}.hint`)}
      reason={{ label: h("admin.reason"), hint: h("admin.reason.hint") }}
      submit={{ label: t(`${kind}.submit`), ...(kind === "kill" ? { kind: "button-danger" } : {}) }}
      act={(reason) => relay.perform(asked, reason)}
      refusal="outside"
      close={close}
    />
  );
}

function Actions({ relay, state, ask }: { relay: Relay; state: RelayState; ask: (asked: Asked) => void }) {
  const { busy, give } = useCommand();
  return (
    <>
      <button class="button button-plain" data-testid="relay-rotate" onClick={() => ask({ kind: "rotate" })}>
        <Icon d={refresh} small />
        {t("rotate")}
      </button>
      {state.draining ? (
        <button
          class="button"
          data-testid="relay-serve"
          disabled={busy}
          onClick={() => void give(() => relay.perform({ kind: "serve" }))}
        >
          <Icon d={globe} small />
          {t("serve")}
        </button>
      ) : (
        <button class="button button-plain" data-testid="relay-drain" onClick={() => ask({ kind: "drain" })}>
          <Icon d={lock} small />
          {t("drain")}
        </button>
      )}
    </>
  );
}

const Notices = ({ state }: { state: RelayState }) => (
  <>
    {state.draining && (
      <Notice kind="notice-warn" role="status">
        {t("draining")}
      </Notice>
    )}
    {state.rotatedAt && <Notice role="status">{t("rotated", { time: timeOfDay(state.rotatedAt) })}</Notice>}
  </>
);

function Rows({ state, ask }: { state: RelayState; ask: (asked: Asked) => void }) {
  if (state.allocations.length === 0) return <Nothing d={globe} title={t("empty")} hint={t("empty.hint")} />;
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
