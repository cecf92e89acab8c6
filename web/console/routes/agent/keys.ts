// The desk's keys. Enter answers, Escape does nothing to a call on purpose.

import type { CallView } from "../../../shared/gen/CallView.ts";
import { mutedByOthers, shieldOf } from "../../whole.ts";
import type { Desk } from "./desk.ts";

/** What the page is asked to do that is no command of the desk. */
export interface Page {
  /** Opens or closes the choice of a colleague. */
  ask(): void;
}

/** The parts of a key press that are looked at. */
export type Press = Pick<KeyboardEvent, "key" | "repeat" | "ctrlKey" | "metaKey" | "altKey" | "shiftKey">;

/** Carries a key press out; false when it means nothing here. */
export function pressed(desk: Desk, page: Page, press: Press): boolean {
  if (press.repeat || press.ctrlKey || press.metaKey || press.altKey) return false;
  if (desk.stage.at === "offered" && press.key === "Enter") {
    void desk.accept();
    return true;
  }
  if (desk.stage.at !== "talking") return false;
  const act = command(desk, desk.stage.call, page, press.shiftKey ? `shift ${press.key}` : press.key);
  act?.();
  return act !== undefined;
}

function command(desk: Desk, call: CallView, page: Page, key: string): (() => unknown) | undefined {
  const { control } = desk;
  const wish = key.toLowerCase();
  if (wish === "m") return () => control.muteSelf(!control.mutedSelf);
  // The rest belongs to whoever leads the call.
  if (desk.part === "partner") return undefined;
  if (wish === "shift m") return () => control.mute("customer", !mutedByOthers(call, "customer"));
  if (wish === "k") return () => control.shield(shieldOf(call) === "off");
  const state = call.consult?.state;
  if (!state && wish === "c") return () => page.ask();
  if ((!state || state === "conference") && wish === "h") return () => control.hold(!call.heldSince);
  if (state && wish === "b") return () => control.cancel();
  if (state && state !== "ringing" && wish === "t") return () => control.complete();
  if (state === "talking" && wish === "j") return () => control.merge();
  return undefined;
}
