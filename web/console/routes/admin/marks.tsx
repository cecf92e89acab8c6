// The small signs of a live call that its row and its details share.

import { micOff, speaker } from "../../../shared/design/icons.ts";
import { Bars, Icon } from "../../../shared/design/parts.tsx";
import { firstName } from "../../../shared/format.ts";
import type { LegQuality } from "../../../shared/gen/LegQuality.ts";
import type { LiveCall } from "../../../shared/gen/LiveCall.ts";
import type { Part } from "../../../shared/gen/Part.ts";
import { bars } from "../../../shared/quality.ts";
import { t, type Key } from "../../words.ts";
import { legOf, stateOf, type State } from "./rows.ts";

const DOTS: Record<State, string> = {
  talking: "dot-busy",
  conference: "dot-busy",
  held: "dot-warn",
  consult: "dot-warn",
  connecting: "dot-off",
  ringing: "dot-off",
  waiting: "dot-off",
};

export function StateWord({ call }: { call: LiveCall }) {
  const state = stateOf(call);
  return (
    <span class="status">
      <span class={`dot ${DOTS[state]}`} />
      {t(`live.state.${state}`)}
    </span>
  );
}

/** Who somebody is to the call, by name where there is one. */
export function nameOf(call: LiveCall, part: Part): string {
  switch (part) {
    case "customer":
      return call.customerName || t("unknown_customer");
    case "agent":
      return call.agentName || t("agent");
    case "partner":
      return call.consult?.staffName || t("live.partner");
    case "supervisor":
    case "preflight":
      return t("live.supervisor");
  }
}

/** A crossed-out microphone beside whoever is muted, a loudspeaker beside whoever speaks. */
export function VoiceMark({ call, part }: { call: LiveCall; part: Part }) {
  if (call.muted.includes(part)) return <Mark d={micOff} word={t("muted_short")} />;
  return legOf(call, part)?.speaking ? <Mark d={speaker} word={t("speaks")} customer={part === "customer"} /> : null;
}

function Mark({ d, word, customer }: { d: string; word: string; customer?: boolean }) {
  return (
    <span class={`live-mark ${customer ? "of-customer" : ""}`} title={word}>
      <Icon d={d} small />
      <span class="visually-hidden">{word}</span>
    </span>
  );
}

const TEN = Array.from({ length: 10 });

/** How loud a leg was in its last second. */
export function LegLevel({ leg, name, customer }: { leg: LegQuality | undefined; name: string; customer?: boolean }) {
  return (
    <span
      class={`level ${customer ? "level-customer" : ""}`}
      data-level={leg ? Math.round((leg.level / 127) * 10) : 0}
      role="img"
      aria-label={t(leg?.speaking ? "live.speaks" : "live.silent", { name: firstName(name) })}
    >
      {TEN.map((_, n) => (
        <i key={n} />
      ))}
    </span>
  );
}

export function Score({ mos }: { mos: number | null | undefined }) {
  if (mos == null) return <span class="muted">–</span>;
  const count = bars(mos);
  return <Bars bars={count} word={t(`line.${count}` as Key)} />;
}
