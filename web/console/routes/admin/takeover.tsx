// Taking a call over is no slip of the finger: it says what follows and asks why.

import type { TargetedEvent } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { transfer } from "../../../shared/design/icons.ts";
import { Icon } from "../../../shared/design/parts.tsx";
import { firstName } from "../../../shared/format.ts";
import type { LiveCall } from "../../../shared/gen/LiveCall.ts";
import { t } from "../../words.ts";
import { nameOf } from "./marks.tsx";
import { takeOver } from "./open.ts";

/** Characters of a reason: what the server keeps of it. */
const REASON_MAX = 64;

export function Takeover({ call, close }: { call: LiveCall; close: () => void }) {
  const dialog = useRef<HTMLDialogElement>(null);
  const [reason, setReason] = useState("");
  const [missing, setMissing] = useState(false);
  const [doing, setDoing] = useState(false);
  useEffect(() => {
    const opened = document.activeElement as HTMLElement | null;
    dialog.current?.showModal();
    return () => opened?.focus();
  }, []);
  const names = { agent: firstName(nameOf(call, "agent")), customer: firstName(nameOf(call, "customer")) };
  const submit = async (event: Event): Promise<void> => {
    event.preventDefault();
    if (doing) return;
    const why = reason.trim();
    setMissing(why === "");
    if (why === "") return;
    setDoing(true);
    // On success the desk is shown; a refusal is told by the bar.
    if (!(await takeOver(call.callId, why))) close();
  };
  return (
    <dialog class="dialog live-takeover" ref={dialog} aria-labelledby="takeover-title" onClose={close}>
      <form class="live-form" onSubmit={(event) => void submit(event)}>
        <div>
          <h2 class="title-page" id="takeover-title">
            {t("takeover.title", names)}
          </h2>
          <p class="muted">{t("takeover.hint", names)}</p>
        </div>
        <label class="field">
          <span class="field-label">{t("takeover.reason")}</span>
          <input
            class={`input ${missing ? "is-wrong" : ""}`}
            data-testid="takeover-reason"
            maxLength={REASON_MAX}
            value={reason}
            aria-invalid={missing}
            aria-describedby="takeover-help"
            onInput={(event: TargetedEvent<HTMLInputElement>) => setReason(event.currentTarget.value)}
          />
          <span class={missing ? "field-error" : "field-hint"} id="takeover-help" role={missing ? "alert" : undefined}>
            {t(missing ? "takeover.missing" : "takeover.reason.hint")}
          </span>
        </label>
        <div class="dialog-actions">
          <button class="button button-quiet" type="button" onClick={close}>
            {t("cancel")}
          </button>
          <button class="button" data-testid="takeover-submit" disabled={doing}>
            <Icon d={transfer} small />
            {t(doing ? "takeover.doing" : "takeover.submit")}
          </button>
        </div>
      </form>
    </dialog>
  );
}
