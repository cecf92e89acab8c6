// The one supervision of this page; it goes on while the supervisor looks at another page of the console.

import { h } from "preact";
import type { CallView } from "../../../shared/gen/CallView.ts";
import { live, watching } from "../../live.ts";
import { api, go } from "../../state.ts";
import { SuperviseBar } from "./bar.tsx";
import { createSupervision } from "./browser.ts";
import type { Supervision } from "./supervision.ts";

let open: Supervision | undefined;

export function supervision(): Supervision {
  open ??= create();
  return open;
}

function create(): Supervision {
  const made = createSupervision();
  const shown = { Bar: () => h(SuperviseBar, { supervision: made }), close: () => made.leave() };
  made.changed.subscribe(() => {
    watching.value = made.stage.at === "idle" && !made.notice ? undefined : shown;
  });
  return made;
}

/** Makes the call this supervisor's own, then shows it at the desk; false when the server refused. */
export async function takeOver(callId: string, reason: string): Promise<boolean> {
  if (!(await supervision().takeOver(callId, reason))) return false;
  const desk = live.value;
  go("/agent");
  // A desk that opens now finds the call by itself; one that is open is told.
  const reply = desk ? await api.get<CallView>(`/api/support/call/${callId}`) : undefined;
  if (desk && reply?.ok) desk.adopt(reply.value);
  return true;
}
