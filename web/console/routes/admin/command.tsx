// Holding, taking back and ending a call of others. Ending is no slip of the finger: it says what follows.

import type { TargetedEvent } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { pause, play } from "../../../shared/design/icons.ts";
import { HangUpIcon, Icon, Notice } from "../../../shared/design/parts.tsx";
import { firstName } from "../../../shared/format.ts";
import type { LiveCall } from "../../../shared/gen/LiveCall.ts";
import { h } from "../../house.ts";
import { api, may, me } from "../../state.ts";
import { t } from "../../words.ts";
import { commandsFor, give, type Command } from "./command.ts";
import type { LiveCalls } from "./live-calls.ts";
import { nameOf } from "./marks.tsx";
import { hasSound } from "./rows.ts";

/** Characters of a reason: what the server keeps of it. */
const REASON_MAX = 64;

interface Props {
  call: LiveCall;
  calls: LiveCalls;
}

/** The buttons that this person's role permits; the list shows what became of them. */
export function Commands({ call, calls }: Props) {
  const [asked, setAsked] = useState(false);
  const [refused, setRefused] = useState(false);
  const [ending, setEnding] = useState(false);
  const commands = commandsFor(call, me.value?.staffId, may);
  if (commands.length === 0) return null;
  const press = async (command: Command): Promise<void> => {
    setAsked(true);
    setRefused(!(await give(api, call.callId, command)));
    setAsked(false);
    calls.seen();
  };
  const hold = commands.find((command) => command !== "hangup");
  return (
    <>
      <section class="live-part live-do" aria-label={h("live.commands")}>
        {refused && (
          <Notice kind="notice-warn" role="alert">
            {t("notice.command_failed")}
          </Notice>
        )}
        <span class="live-commands">
          {hold && (
            <button
              class="button button-plain"
              data-testid={`live-${hold}`}
              disabled={asked}
              onClick={() => void press(hold)}
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
  const dialog = useRef<HTMLDialogElement>(null);
  const [reason, setReason] = useState("");
  const [doing, setDoing] = useState(false);
  const [refused, setRefused] = useState(false);
  useEffect(() => {
    const opened = document.activeElement as HTMLElement | null;
    dialog.current?.showModal();
    return () => opened?.focus();
  }, []);
  const names = { agent: firstName(nameOf(call, "agent")), customer: firstName(nameOf(call, "customer")) };
  const submit = async (event: Event): Promise<void> => {
    event.preventDefault();
    if (doing) return;
    setDoing(true);
    const done = await give(api, call.callId, "hangup", reason);
    setDoing(false);
    setRefused(!done);
    calls.seen();
    if (done) close();
  };
  return (
    <dialog class="dialog live-takeover" ref={dialog} aria-labelledby="end-title" onClose={close}>
      <form class="live-form" onSubmit={(event) => void submit(event)}>
        <div>
          <h2 class="title-page" id="end-title">
            {h("live.end.title", names)}
          </h2>
          <p class="muted">{h(hasSound(call) ? "live.end.hint" : "live.end.hint_waiting", names)}</p>
        </div>
        <label class="field">
          <span class="field-label">{t("takeover.reason")}</span>
          <input
            class="input"
            data-testid="end-reason"
            maxLength={REASON_MAX}
            value={reason}
            aria-describedby="end-help"
            onInput={(event: TargetedEvent<HTMLInputElement>) => setReason(event.currentTarget.value)}
          />
          <span class="field-hint" id="end-help">
            {h("live.end.reason")}
          </span>
        </label>
        {refused && (
          <Notice kind="notice-warn" role="alert">
            {t("notice.command_failed")}
          </Notice>
        )}
        <div class="dialog-actions">
          <button class="button button-quiet" type="button" onClick={close}>
            {t("cancel")}
          </button>
          <button class="button button-danger" data-testid="end-submit" disabled={doing}>
            <HangUpIcon />
            {h("live.end")}
          </button>
        </div>
      </form>
    </dialog>
  );
}
