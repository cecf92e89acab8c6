// What the agent should know or do about the call now, a quiet line each; nothing while all is well.

import { Notice } from "../../../shared/design/parts.tsx";
import { firstName } from "../../../shared/format.ts";
import type { CallView } from "../../../shared/gen/CallView.ts";
import { alertsOf, type Alert } from "../../alerts.ts";
import { t, type Key } from "../../words.ts";
import type { Desk } from "./desk.ts";
import { parked } from "../../parked.ts";
import { mutedByOthers } from "../../whole.ts";

interface Line {
  key: string;
  kind: "" | "notice-warn";
  shape?: "muted" | "lost";
  text: string;
}

/** Alerts that are drawn with the crossed-out microphone. */
const SILENT = /\.(one_way|dead_mic)$/;

export function Hints({ desk, call }: { desk: Desk; call: CallView }) {
  const lines = [
    ...lineState(desk, call),
    ...microphone(desk, call),
    ...keys(desk, call),
    ...alerts(desk, call),
    ...watched(call),
  ];
  if (lines.length === 0) return null;
  return (
    <div class="call-hints" data-testid="call-hints">
      {lines.map(({ key, kind, shape, text }) => (
        <Notice key={key} kind={kind} role="status" {...(shape ? { shape } : {})}>
          {text}
        </Notice>
      ))}
    </div>
  );
}

const hint = (key: Key, kind: Line["kind"], shape?: Line["shape"]): Line => ({
  key,
  kind,
  text: t(key),
  ...(shape ? { shape } : {}),
});

/** Sound and line of this desk. */
function lineState(desk: Desk, call: CallView): Line[] {
  const lines: Line[] = [];
  const { at } = desk.leg.state;
  if (desk.stage.at !== "talking") lines.push(hint("hint.connecting", ""));
  else if (at === "interrupted" || at === "failed") lines.push(hint("hint.sound_lost", "notice-warn", "lost"));
  else if (at !== "up") lines.push(hint("hint.connecting_again", ""));
  // Only who is connected himself can know of the other side.
  if (at === "up" && call.reconnecting?.includes("customer"))
    lines.push(hint("hint.customer_away", "notice-warn", "lost"));
  if (desk.signal.state.at !== "open") lines.push(hint("hint.signal_lost", "notice-warn", "lost"));
  return lines;
}

function microphone(desk: Desk, call: CallView): Line[] {
  const { control } = desk;
  if (control.mutedSelf)
    return [hint(control.mutedByOther ? "hint.muted_by_other" : "hint.muted", "notice-warn", "muted")];
  const lines: Line[] = [];
  if (desk.stage.at === "talking" && desk.voice.deadMicrophone)
    lines.push(hint("hint.dead_microphone", "notice-warn", "muted"));
  const name = firstName(call.customerName || t("unknown_customer"));
  const silent = (key: "hint.muted_own" | "hint.muted_customer"): Line => ({
    key,
    kind: "",
    shape: "muted",
    text: t(key, { name }),
  });
  if (call.mutedSelf?.includes("customer")) lines.push(silent("hint.muted_own"));
  if (mutedByOthers(call, "customer")) lines.push(silent("hint.muted_customer"));
  return lines;
}

/** What is typed now is typed to nobody here. Where that is so in every call, nobody need be told in each. */
function keys(desk: Desk, call: CallView): Line[] {
  if (desk.stage.at !== "talking" || call.shielded !== "on") return [];
  const name = firstName(call.customerName || t("unknown_customer"));
  return [{ key: "shielded", kind: "", text: t("hint.shielded", { name }) }];
}

/** What the server has found, and what this browser has measured of its own line. */
function alerts(desk: Desk, call: CallView): Line[] {
  if (desk.stage.at !== "talking" || desk.leg.state.at !== "up") return [];
  const found: Alert[] = alertsOf(desk.voice.legs, { part: desk.part, muted: call.muted, parked: parked(call) })
    // Said already, and sooner, by the desk itself.
    .filter((alert) => alert !== "alert.self.dead_mic" || !desk.voice.deadMicrophone);
  if (desk.voice.warnings.size > 0 && !found.includes("alert.self.network")) found.push("alert.self.network");
  return found.map((alert) => hint(alert, "notice-warn", SILENT.test(alert) ? "muted" : undefined));
}

/** Who listens or speaks, where the house tells. */
const watched = (call: CallView): Line[] =>
  (call.supervised ?? []).map(({ staffName, mode }) => ({
    key: `supervised ${staffName}`,
    kind: "",
    text: t(`supervised.${mode === "takeover" ? "barge" : mode}`, { name: staffName }),
  }));

/** A customer who hears music for longer than this wants to hear a person, milliseconds. */
const HOLD_LONG_MS = 60_000;

/** Says that the customer is on hold, and after a minute that it lasts long. */
export function Held({ desk, name, since }: { desk: Desk; name: string; since: string }) {
  const long = desk.now - Date.parse(since) > HOLD_LONG_MS;
  return (
    <div class="call-hints" data-testid="held">
      <Notice kind={long ? "notice-warn" : ""} role="status">
        {t(long ? "hint.held_long" : "hint.held", { name })}
      </Notice>
    </div>
  );
}
