// What a supervisor does to a call of others, as buttons: hold, take back, end, take over, take a voice off.

import { useState } from "preact/hooks";
import { mic, micOff, pause, play, transfer } from "../../../shared/design/icons.ts";
import { HangUpIcon, Icon } from "../../../shared/design/parts.tsx";
import { firstName } from "../../../shared/format.ts";
import type { CallView } from "../../../shared/gen/CallView.ts";
import type { LiveCall } from "../../../shared/gen/LiveCall.ts";
import type { Part } from "../../../shared/gen/Part.ts";
import { Confirm, Refused, useCommand } from "../../command.tsx";
import { h } from "../../house.ts";
import { live } from "../../live.ts";
import { api, may, me } from "../../state.ts";
import { mutedByOthers } from "../../whole.ts";
import { t } from "../../words.ts";
import { commandsFor, give } from "./command.ts";
import type { LiveCalls } from "./live-calls.ts";
import { nameOf } from "./marks.tsx";
import { takeOver } from "./open.ts";
import { hasSound } from "./rows.ts";

interface Props {
  call: LiveCall;
  calls: LiveCalls;
}

const namesOf = (call: LiveCall) => ({
  agent: firstName(nameOf(call, "agent")),
  customer: firstName(nameOf(call, "customer")),
});

/** The buttons that this person's role permits; the list shows what became of them. */
export function Commands({ call, calls }: Props) {
  const { busy, refused, give: press } = useCommand();
  const [ending, setEnding] = useState(false);
  const commands = commandsFor(call, me.value?.staffId, may);
  if (commands.length === 0) return null;
  const hold = commands.find((command) => command !== "hangup");
  return (
    <>
      <section class="live-part live-do" aria-label={h("live.commands")}>
        {refused && <Refused />}
        <span class="live-commands">
          {hold && (
            <button
              class="button button-plain"
              data-testid={`live-${hold}`}
              disabled={busy}
              onClick={() => void press(() => give(api, call.callId, hold)).then(() => calls.seen())}
            >
              <Icon d={hold === "resume" ? play : pause} small />
              {h(`live.${hold}`)}
            </button>
          )}
          {commands.includes("hangup") && (
            <button class="button button-danger-quiet" data-testid="live-end" onClick={() => setEnding(true)}>
              <HangUpIcon />
              {h("live.end")}
            </button>
          )}
        </span>
      </section>
      {ending && <End call={call} calls={calls} close={() => setEnding(false)} />}
    </>
  );
}

function End({ call, calls, close }: Props & { close: () => void }) {
  const names = namesOf(call);
  const act = async (reason: string): Promise<boolean> => {
    const done = await give(api, call.callId, "hangup", reason);
    calls.seen();
    return done;
  };
  return (
    <Confirm
      name="end"
      title={h("live.end.title", names)}
      hint={h(hasSound(call) ? "live.end.hint" : "live.end.hint_waiting", names)}
      reason={{ label: t("takeover.reason"), hint: h("live.end.reason") }}
      submit={{ kind: "button-danger", icon: <HangUpIcon />, label: h("live.end") }}
      act={act}
      refusal="here"
      close={close}
    />
  );
}

/** Makes the call this supervisor's own: the desk is shown then, and a refusal is told by the bar of the supervision. */
export function Takeover({ call }: { call: LiveCall }) {
  const [asked, setAsked] = useState(false);
  const names = namesOf(call);
  return (
    <>
      <button
        class="button button-plain"
        data-testid="takeover"
        disabled={live.value?.busy() ?? false}
        onClick={() => setAsked(true)}
      >
        <Icon d={transfer} small />
        {t("supervise.takeover")}
      </button>
      {asked && (
        <Confirm
          name="takeover"
          title={t("takeover.title", names)}
          hint={t("takeover.hint", names)}
          reason={{ label: t("takeover.reason"), hint: t("takeover.reason.hint"), missing: t("takeover.missing") }}
          submit={{ icon: <Icon d={transfer} small />, label: t("takeover.submit"), busy: t("takeover.doing") }}
          act={(reason) => takeOver(call.callId, reason.trim())}
          refusal="outside"
          close={() => setAsked(false)}
        />
      )}
    </>
  );
}

/** Takes a voice off the call, or gives it back. */
export function Mute({ call, calls, part, name }: Props & { part: Part; name: string }) {
  const { busy, refused, give: press } = useCommand();
  // The mute by others, which comes and goes beside the party's own, that nobody else ends.
  const muted = mutedByOthers(call, part);
  const label = t(muted ? "unmute_other" : "mute_other", { name });
  const send = async (): Promise<boolean> => {
    const path = `/api/support/call/${call.callId}/${muted ? "unmute" : "mute"}`;
    return (await api.post<CallView>(path, { part })).ok;
  };
  return (
    <>
      {refused && (
        <span class="small is-bad" role="alert">
          {t("notice.command_failed")}
        </span>
      )}
      <button
        class="lane-mute"
        data-testid={`live-mute-${part}`}
        aria-pressed={muted}
        aria-label={label}
        title={call.mutedSelf?.includes(part) ? `${t("muted_own", { name })} ${label}` : label}
        disabled={busy}
        onClick={() => void press(send).then(() => calls.seen())}
      >
        <Icon d={call.muted.includes(part) ? micOff : mic} small />
      </button>
    </>
  );
}
