// A link to the line test that is handed to a visitor. It opens in its place and covers nothing: a call may ring meanwhile.

import type { TargetedEvent } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { check, signal } from "../../../shared/design/icons.ts";
import { Icon, Notice } from "../../../shared/design/parts.tsx";
import { useChanged } from "../../changed.ts";
import { h } from "../../house.ts";
import { api, leave } from "../../state.ts";
import { dayAndTime } from "../../words.ts";
import "./link.css";
import { LineLink, NOTE_MAX } from "./link.ts";

/** Pages without a secure context have no clipboard at all. */
const write = async (text: string): Promise<void> => navigator.clipboard.writeText(text);

export function LinkButton({ open, toggle }: { open: boolean; toggle: () => void }) {
  return (
    <button class="button button-plain" data-testid="link-open" aria-expanded={open} onClick={toggle}>
      <Icon d={signal} small />
      {h("link.open")}
    </button>
  );
}

/** Button and form, one below the other. */
export function LinkPart() {
  const [open, setOpen] = useState(false);
  return (
    <section class="context-part link-part" aria-label={h("link.open")}>
      <LinkButton open={open} toggle={() => setOpen(!open)} />
      {open && <LinkForm />}
    </section>
  );
}

export function LinkForm() {
  const [link] = useState(() => new LineLink({ api, origin: location.origin, write, signedOut: leave }));
  useChanged(link);
  return link.made ? <Made link={link} made={link.made} /> : <Wish link={link} />;
}

function Wish({ link }: { link: LineLink }) {
  const [note, setNote] = useState("");
  const field = useRef<HTMLInputElement>(null);
  useEffect(() => field.current?.focus(), []);
  const submit = (event: Event): void => {
    event.preventDefault();
    void link.make(note);
  };
  return (
    <form class="link-form" onSubmit={submit}>
      <p class="small muted">{h("link.hint")}</p>
      <label class="field">
        <span class="field-label">{h("link.note")}</span>
        <input
          class="input"
          ref={field}
          data-testid="link-note"
          maxLength={NOTE_MAX}
          autocomplete="off"
          value={note}
          aria-describedby="link-note-hint"
          onInput={(event: TargetedEvent<HTMLInputElement>) => setNote(event.currentTarget.value)}
        />
        <span class="field-hint" id="link-note-hint">
          {h("link.note.hint")}
        </span>
      </label>
      {link.failed && (
        <Notice kind="notice-warn" role="alert">
          {h("link.failed")}
        </Notice>
      )}
      <button class="button" data-testid="link-make" disabled={link.making}>
        {h(link.making ? "link.making" : "link.make")}
      </button>
    </form>
  );
}

function Made({ link, made }: { link: LineLink; made: NonNullable<LineLink["made"]> }) {
  const field = useRef<HTMLInputElement>(null);
  const press = useRef<HTMLButtonElement>(null);
  useEffect(() => press.current?.focus(), []);
  useEffect(() => {
    // By hand it is one key as well.
    if (link.copied === false) field.current?.select();
  }, [link.copied]);
  return (
    <div class="link-form">
      <label class="field">
        <span class="field-label">{h("link.address")}</span>
        <input class="input" ref={field} data-testid="link-address" readOnly value={made.address} />
      </label>
      <p class="small muted" role="status">
        {h("link.until", { time: dayAndTime(made.expiresAt) })}
      </p>
      {link.copied === false && (
        <Notice kind="notice-warn" role="alert">
          {h("link.uncopied")}
        </Notice>
      )}
      <div class="link-ways">
        <button class="button" ref={press} data-testid="link-copy" onClick={() => void link.copy()}>
          {link.copied && <Icon d={check} small />}
          <span aria-live="polite">{h(link.copied ? "link.copied" : "link.copy")}</span>
        </button>
        <button class="button button-quiet" data-testid="link-again" onClick={() => link.again()}>
          {h("link.again")}
        </button>
      </div>
    </div>
  );
}
