// A command to the server: a button that waits for the answer, and a question before what is no slip of the finger.

import type { ComponentChildren, TargetedEvent } from "preact";
import { useEffect, useId, useRef, useState } from "preact/hooks";
import { Notice } from "../shared/design/parts.tsx";
import { t } from "./words.ts";

/** Characters of a reason: what the server keeps of it. */
const REASON_MAX = 64;

export interface Command {
  /** It is under way; another one is not begun. */
  busy: boolean;
  /** The last one was refused. */
  refused: boolean;
  /** Gives it; `undefined` when one was under way, otherwise whether the server did it. */
  give: (send: () => Promise<boolean>) => Promise<boolean | undefined>;
}

export function useCommand(): Command {
  const [state, setState] = useState<"" | "busy" | "refused">("");
  const [busy, refused] = [state === "busy", state === "refused"];
  const give: Command["give"] = async (send) => {
    if (busy) return undefined;
    setState("busy");
    const done = await send();
    setState(done ? "" : "refused");
    return done;
  };
  return { busy, refused, give };
}

/** The server refused; the same for every command that has no better words. */
export const Refused = () => (
  <Notice kind="notice-warn" role="alert">
    {t("notice.command_failed")}
  </Notice>
);

export interface ConfirmProps {
  /** Of its test ids: `${name}-reason` and `${name}-submit`. */
  name: string;
  title: string;
  /** What follows. */
  hint: string;
  reason: {
    label: string;
    hint: string;
    /** What is said to whoever gives none; without it the reason may stay empty. */
    missing?: string;
  };
  submit: { kind?: "button-danger"; icon?: ComponentChildren; label: string; busy?: string; disabled?: boolean };
  /** Sends it. */
  act: (reason: string) => Promise<boolean>;
  /** Where a refusal is told: in the dialog, which stays, or by whoever opened it, and the dialog closes. */
  refusal: "here" | "outside";
  close: () => void;
  /** More to be asked, before the reason. */
  children?: ComponentChildren;
}

/** Asks before it is done, and why. Escape and "Cancel" do nothing; the focus returns to where it was. */
export function Confirm(props: ConfirmProps) {
  const { name, title, hint, submit, act, refusal, close, children } = props;
  const dialog = useRef<HTMLDialogElement>(null);
  const [reason, setReason] = useState("");
  const [missing, setMissing] = useState(false);
  const { busy, refused, give } = useCommand();
  const id = useId();
  useEffect(() => {
    const opened = document.activeElement as HTMLElement | null;
    dialog.current?.showModal();
    return () => opened?.focus();
  }, []);
  const press = async (event: Event): Promise<void> => {
    event.preventDefault();
    const lacks = props.reason.missing !== undefined && reason.trim() === "";
    setMissing(lacks);
    // What lacks is put right there.
    if (lacks) dialog.current?.querySelector<HTMLElement>(`[data-testid="${name}-reason"]`)?.focus();
    if (lacks || submit.disabled) return;
    const done = await give(() => act(reason));
    if (done || (done === false && refusal === "outside")) close();
  };
  return (
    <dialog class="dialog confirm" ref={dialog} aria-labelledby={`${id}-title`} onClose={close}>
      <form class="confirm-form" noValidate onSubmit={(event) => void press(event)}>
        <div class="confirm-head">
          <h2 class="title-page" id={`${id}-title`}>
            {title}
          </h2>
          <p class="muted">{hint}</p>
        </div>
        {children}
        <Field
          label={props.reason.label}
          hint={props.reason.hint}
          wrong={missing ? props.reason.missing : undefined}
          testId={`${name}-reason`}
          maxLength={REASON_MAX}
          value={reason}
          write={setReason}
        />
        {refused && refusal === "here" && <Refused />}
        <div class="dialog-actions">
          <button class="button button-quiet" type="button" onClick={close}>
            {t("cancel")}
          </button>
          <button
            class={`button ${submit.kind ?? ""}`}
            data-testid={`${name}-submit`}
            disabled={busy || submit.disabled === true}
          >
            {submit.icon}
            {busy ? (submit.busy ?? submit.label) : submit.label}
          </button>
        </div>
      </form>
    </dialog>
  );
}

interface FieldProps {
  label: string;
  hint: string;
  /** What is wrong with the value, said instead of the hint. */
  wrong: string | undefined;
  testId: string;
  value: string;
  write: (value: string) => void;
  maxLength?: number;
  /** A short field for a whole number. */
  number?: boolean;
}

/** One line of text in a dialog, with what is wrong with it. */
export function Field({ label, hint, wrong, testId, value, write, maxLength, number }: FieldProps) {
  const id = useId();
  return (
    <label class="field">
      <span class="field-label">{label}</span>
      <input
        class={`input ${number ? "input-short" : ""} ${wrong ? "is-wrong" : ""}`}
        data-testid={testId}
        maxLength={maxLength}
        inputMode={number ? "numeric" : undefined}
        autocomplete="off"
        value={value}
        aria-invalid={wrong !== undefined}
        aria-describedby={id}
        onInput={(event: TargetedEvent<HTMLInputElement>) => write(event.currentTarget.value)}
      />
      <span class={wrong ? "field-error" : "field-hint"} id={id} role={wrong ? "alert" : undefined}>
        {wrong ?? hint}
      </span>
    </label>
  );
}
