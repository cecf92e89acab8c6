// What changes the relay is no slip of the finger: it says what follows, and asks why, which the audit log keeps.

import type { TargetedEvent } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import type { Relay } from "./relay.ts";
import { t } from "./words.ts";

/** Characters of a reason: what the server keeps of it. */
const REASON_MAX = 64;

export type Asked = { kind: "kill"; id: string; name: string } | { kind: "drain" | "rotate" };

export function Confirm({ relay, asked, close }: { relay: Relay; asked: Asked; close: () => void }) {
  const dialog = useRef<HTMLDialogElement>(null);
  const [reason, setReason] = useState("");
  const [doing, setDoing] = useState(false);
  useEffect(() => {
    const opened = document.activeElement as HTMLElement | null;
    dialog.current?.showModal();
    return () => opened?.focus();
  }, []);
  const name = asked.kind === "kill" ? asked.name : "";
  const submit = async (event: Event): Promise<void> => {
    event.preventDefault();
    if (doing) return;
    setDoing(true);
    // A refusal is told by the page.
    await relay.change(asked, reason);
    close();
  };
  return (
    <dialog class="dialog live-takeover" ref={dialog} aria-labelledby="relay-ask" onClose={close}>
      <form class="live-form" onSubmit={(event) => void submit(event)}>
        <div>
          <h2 class="title-page" id="relay-ask">
            {t(`${asked.kind}.title`, { name })}
          </h2>
          <p class="muted">{t(`${asked.kind}.hint`)}</p>
        </div>
        <label class="field">
          <span class="field-label">{t("reason")}</span>
          <input
            class="input"
            data-testid="relay-reason"
            maxLength={REASON_MAX}
            value={reason}
            aria-describedby="relay-reason-hint"
            onInput={(event: TargetedEvent<HTMLInputElement>) => setReason(event.currentTarget.value)}
          />
          <span class="field-hint" id="relay-reason-hint">
            {t("reason.hint")}
          </span>
        </label>
        <div class="dialog-actions">
          <button class="button button-quiet" type="button" onClick={close}>
            {t("cancel")}
          </button>
          <button
            class={`button ${asked.kind === "kill" ? "button-danger" : ""}`}
            data-testid="relay-submit"
            disabled={doing}
          >
            {t(`${asked.kind}.submit`)}
          </button>
        </div>
      </form>
    </dialog>
  );
}
