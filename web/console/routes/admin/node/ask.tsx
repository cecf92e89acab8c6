// Taking a node out of service is no slip of the finger: it says what becomes of the calls, until when, and asks why.

import type { TargetedEvent } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import type { DrainState } from "../../../../shared/gen/DrainState.ts";
import { h } from "../../../house.ts";
import { t, wholeNumber } from "../../../words.ts";
import { MINUTES_MAX, MINUTES_MIN, MINUTES_USUAL, minutesOf, type NodeDrain } from "./node.ts";

/** Characters of a reason: what the server keeps of it. */
const REASON_MAX = 64;

export function Confirm({ node, state, close }: { node: NodeDrain; state: DrainState; close: () => void }) {
  const dialog = useRef<HTMLDialogElement>(null);
  const [text, setText] = useState(String(MINUTES_USUAL));
  const [reason, setReason] = useState("");
  const [doing, setDoing] = useState(false);
  // What was looked at when the dialog opened; a balancer may bring another node meanwhile.
  const [again] = useState(state.draining);
  useEffect(() => {
    const opened = document.activeElement as HTMLElement | null;
    dialog.current?.showModal();
    return () => opened?.focus();
  }, []);
  const minutes = minutesOf(text);
  const submit = async (event: Event): Promise<void> => {
    event.preventDefault();
    if (doing || minutes === undefined) return;
    setDoing(true);
    // A refusal is told by the page.
    await node.drain(minutes, reason);
    close();
  };
  return (
    <dialog class="dialog live-takeover" ref={dialog} aria-labelledby="node-ask" onClose={close}>
      <form class="live-form" noValidate onSubmit={(event) => void submit(event)}>
        <div>
          <h2 class="title-page" id="node-ask">
            {h(again ? "node.ask_again" : "node.ask", { node: state.nodeId })}
          </h2>
          <p class="muted">{h("node.ask.hint", { n: state.calls })}</p>
        </div>
        <label class="field">
          <span class="field-label">{h("node.minutes")}</span>
          <input
            class={`input input-short ${minutes === undefined ? "is-wrong" : ""}`}
            data-testid="node-minutes"
            inputMode="numeric"
            value={text}
            aria-invalid={minutes === undefined}
            aria-describedby="node-minutes-hint"
            onInput={(event: TargetedEvent<HTMLInputElement>) => setText(event.currentTarget.value)}
          />
          <span
            class={minutes === undefined ? "field-error" : "field-hint"}
            id="node-minutes-hint"
            role={minutes === undefined ? "alert" : undefined}
          >
            {minutes === undefined
              ? h("settings.wrong", { min: MINUTES_MIN, max: wholeNumber(MINUTES_MAX) })
              : h("node.minutes.hint")}
          </span>
        </label>
        <label class="field">
          <span class="field-label">{h("node.reason")}</span>
          <input
            class="input"
            data-testid="node-reason"
            maxLength={REASON_MAX}
            value={reason}
            aria-describedby="node-reason-hint"
            onInput={(event: TargetedEvent<HTMLInputElement>) => setReason(event.currentTarget.value)}
          />
          <span class="field-hint" id="node-reason-hint">
            {h("node.reason.hint")}
          </span>
        </label>
        <div class="dialog-actions">
          <button class="button button-quiet" type="button" onClick={close}>
            {t("cancel")}
          </button>
          <button
            class={`button ${again ? "" : "button-danger"}`}
            data-testid="node-submit"
            disabled={doing || minutes === undefined}
          >
            {h(again ? "node.deadline" : "node.drain")}
          </button>
        </div>
      </form>
    </dialog>
  );
}
