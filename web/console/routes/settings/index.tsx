// /admin/settings: from where on a call's sound counts as bad, which mails are asked for, and whether supervisors are announced.
// Each setting says what happens.

import type { ComponentChildren, TargetedEvent } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { alert, info } from "../../../shared/design/icons.ts";
import { Icon, Notice } from "../../../shared/design/parts.tsx";
import type { Settings } from "../../../shared/gen/Settings.ts";
import { h, type Key as HouseKey } from "../../house.ts";
import { api, query } from "../../state.ts";
import { oneDigit, t, wholeNumber, type Key } from "../../words.ts";
import {
  ANNOUNCED,
  MailForm,
  over,
  QualityForm,
  ROLES,
  SupervisionForm,
  THRESHOLDS,
  type MailNumber,
  type MailSwitch,
  type Threshold,
} from "./form.ts";
import "./settings.css";

type Tab = "quality" | "mail" | "supervision";
const TABS: readonly Tab[] = ["quality", "mail", "supervision"];

export default function SettingsPage() {
  const [settings, setSettings] = useState<Settings | "unread">();
  useEffect(() => {
    void api.get<Settings>("/api/support/settings").then((reply) => setSettings(reply.ok ? reply.value : "unread"));
  }, []);
  const tab = TABS.find((one) => one === query.value.get("tab")) ?? "quality";
  return (
    <main class="page settings" data-testid="settings">
      <header class="page-head">
        <h1 class="title-page">{h("settings.title")}</h1>
      </header>
      <nav class="tabs settings-tabs" aria-label={h("settings.title")}>
        {TABS.map((one) => (
          <a
            key={one}
            class="tab"
            href={one === "quality" ? "/admin/settings" : `/admin/settings?tab=${one}`}
            aria-current={one === tab ? "page" : undefined}
          >
            {h(`settings.${one}`)}
          </a>
        ))}
      </nav>
      {settings === "unread" && (
        <div class="settings-body">
          <Notice kind="notice-warn" role="alert">
            {h("settings.unread")}
          </Notice>
        </div>
      )}
      {typeof settings === "object" && <Part tab={tab} settings={settings} taken={setSettings} />}
    </main>
  );
}

function Part({ tab, ...rest }: PartProps & { tab: Tab }) {
  if (tab === "mail") return <Mails {...rest} />;
  return tab === "supervision" ? <Supervision {...rest} /> : <Quality {...rest} />;
}

interface PartProps {
  settings: Settings;
  taken: (settings: Settings) => void;
}

/** A form that lives as long as what the server says stays the same. */
function useForm<F>(make: () => F, source: unknown): [F, () => void] {
  const [held, setHeld] = useState(() => ({ source, form: make() }));
  const current = held.source === source ? held : { source, form: make() };
  return [current.form, () => setHeld({ ...current })];
}

function Quality({ settings, taken }: PartProps) {
  const [form, redraw] = useForm(() => new QualityForm(settings.quality), settings.quality);
  return (
    <Saving form={form} redraw={redraw} path="quality" taken={taken}>
      <p class="settings-lead muted">{h("settings.quality.lead")}</p>
      {THRESHOLDS.map((threshold) => (
        <ThresholdField key={threshold.leaf} threshold={threshold} form={form} redraw={redraw} />
      ))}
      <button
        type="button"
        class="button button-quiet settings-usual"
        data-testid="settings-usual"
        disabled={form.isUsual}
        onClick={() => {
          form.usual();
          redraw();
        }}
      >
        {h("settings.usual")}
      </button>
    </Saving>
  );
}

/** A limit as its unit is written. */
const shown = (unit: Threshold["unit"], value: number): string =>
  unit === "score" || !Number.isInteger(value) ? oneDigit(value) : wholeNumber(value);

function ThresholdField(props: { threshold: Threshold; form: QualityForm; redraw: () => void }) {
  const { form, redraw } = props;
  const { leaf, flag, unit } = props.threshold;
  const { min, usual, max } = form.settings;
  const limits = { min: shown(unit, min[leaf]), max: shown(unit, max[leaf]) };
  return (
    <NumberField
      name={leaf}
      label={t(`flag.${flag}` as Key)}
      hint={h(`settings.hint.${flag}` as HouseKey)}
      unit={h(`settings.unit.${unit}`)}
      text={form.text(leaf)}
      wrong={form.isWrong(leaf) ? h("settings.wrong", limits) : undefined}
      range={h("settings.range", { ...limits, usual: shown(unit, usual[leaf]) })}
      write={(text) => {
        form.write(leaf, text);
        redraw();
      }}
    />
  );
}

interface NumberFieldProps {
  name: string;
  label: string;
  hint: string;
  unit: string;
  text: string;
  /** What is wrong, if something is. */
  wrong: string | undefined;
  range: string;
  write: (text: string) => void;
}

function NumberField({ name, label, hint, unit, text, wrong, range, write }: NumberFieldProps) {
  return (
    <div class="setting">
      <label class="setting-text" for={`set-${name}`}>
        <span class="medium">{label}</span>
        <span class="field-hint">{hint}</span>
      </label>
      <span class="setting-value">
        <input
          id={`set-${name}`}
          class={`input input-short number ${wrong ? "is-wrong" : ""}`}
          data-testid={`set-${name}`}
          inputMode="decimal"
          autocomplete="off"
          value={text}
          aria-invalid={wrong !== undefined}
          aria-describedby={`about-${name}`}
          onInput={(event: TargetedEvent<HTMLInputElement>) => write(event.currentTarget.value)}
        />
        <span class="small muted setting-unit">{unit}</span>
      </span>
      <span id={`about-${name}`} class={wrong ? "field-error" : "field-hint"}>
        {wrong && <Icon d={alert} small />}
        {wrong ?? range}
      </span>
    </div>
  );
}

function Mails({ settings, taken }: PartProps) {
  const [form, redraw] = useForm(() => new MailForm(settings.mail), settings.mail);
  const on = form.is("notifyOnQualityAlert");
  return (
    <Saving form={form} redraw={redraw} path="mail" taken={taken}>
      <p class="settings-lead muted">{h("settings.mail.lead")}</p>
      <SwitchField form={form} redraw={redraw} name="notifyStaffOnIncomingCall" word="incoming" />
      <SwitchField form={form} redraw={redraw} name="notifyOnQualityAlert" word="alert" />
      {on && (
        <>
          <MailNumberField form={form} redraw={redraw} name="qualityAlertAfterSeconds" word="after" unit="seconds" />
          <MailNumberField form={form} redraw={redraw} name="qualityAlertQuietMinutes" word="quiet" unit="minutes" />
          <div class="setting setting-roles" role="group" aria-labelledby="set-roles">
            <span class="setting-text" id="set-roles">
              <span class="medium">{h("settings.mail.roles")}</span>
              <span class="field-hint">{h("settings.mail.roles.hint")}</span>
            </span>
            {ROLES.map((role) => (
              <label key={role} class="settings-role">
                <input
                  type="checkbox"
                  data-testid={`set-role-${role}`}
                  checked={form.tells(role)}
                  onChange={(event: TargetedEvent<HTMLInputElement>) => {
                    form.tell(role, event.currentTarget.checked);
                    redraw();
                  }}
                />
                {t(`role.${role}`)}
              </label>
            ))}
          </div>
        </>
      )}
    </Saving>
  );
}

interface MailFieldProps {
  form: MailForm;
  redraw: () => void;
}

function SwitchField({ form, redraw, name, word }: MailFieldProps & { name: MailSwitch; word: "incoming" | "alert" }) {
  return (
    <label class="setting">
      <span class="setting-text">
        <span class="medium">{h(`settings.mail.${word}`)}</span>
        <span class="field-hint">{h(`settings.mail.${word}.hint`)}</span>
      </span>
      <span class="switch setting-value">
        <input
          type="checkbox"
          role="switch"
          data-testid={`set-${name}`}
          checked={form.is(name)}
          onChange={(event: TargetedEvent<HTMLInputElement>) => {
            form.turn(name, event.currentTarget.checked);
            redraw();
          }}
        />
      </span>
    </label>
  );
}

function MailNumberField(
  props: MailFieldProps & { name: MailNumber; word: "after" | "quiet"; unit: "seconds" | "minutes" },
) {
  const { form, redraw, name, word, unit } = props;
  const { min, max } = form.limits(name);
  const limits = { min: wholeNumber(min), max: wholeNumber(max) };
  return (
    <NumberField
      name={name}
      label={h(`settings.mail.${word}`)}
      hint={h(`settings.mail.${word}.hint`)}
      unit={h(`settings.unit.${unit}`)}
      text={form.text(name)}
      wrong={form.isWrong(name) ? h("settings.wrong", limits) : undefined}
      range={h("settings.range", { ...limits, usual: wholeNumber(form.settings.usual[name]) })}
      write={(text) => {
        form.write(name, text);
        redraw();
      }}
    />
  );
}

function Supervision({ settings, taken }: PartProps) {
  const [form, redraw] = useForm(() => new SupervisionForm(settings.supervision), settings.supervision);
  return (
    <Saving form={form} redraw={redraw} path="supervision" taken={taken}>
      <p class="settings-lead muted">{h("settings.supervision.lead")}</p>
      <ChoiceField form={form} redraw={redraw} name="announce" word="announce" />
      {form.is("announce", "tone") && <ChoiceField form={form} redraw={redraw} name="announceTo" word="to" />}
    </Saving>
  );
}

function ChoiceField(props: {
  form: SupervisionForm;
  redraw: () => void;
  name: keyof typeof ANNOUNCED;
  word: "announce" | "to";
}) {
  const { form, redraw, name, word } = props;
  return (
    <div class="setting setting-roles" role="radiogroup" aria-labelledby={`set-${name}`}>
      <span class="setting-text" id={`set-${name}`}>
        <span class="medium">{h(`settings.supervision.${word}`)}</span>
        <span class="field-hint">{h(`settings.supervision.${word}.hint`)}</span>
      </span>
      {ANNOUNCED[name].map((choice) => (
        <label key={choice} class="settings-role">
          <input
            type="radio"
            name={name}
            data-testid={`set-${name}-${choice}`}
            checked={form.is(name, choice)}
            onChange={() => {
              form.choose(name, choice);
              redraw();
            }}
          />
          {h(`settings.supervision.${choice}`)}
        </label>
      ))}
    </div>
  );
}

interface SavingProps {
  form: {
    changes: number;
    savable: boolean;
    undo: () => void;
    value: object;
    settings: { version: number; value: object };
  };
  redraw: () => void;
  path: Tab;
  taken: (settings: Settings) => void;
  children: ComponentChildren;
}

/** The fields, and below them what is not saved yet. */
function Saving({ form, redraw, path, taken, children }: SavingProps) {
  const [state, setState] = useState<"" | "saving" | "saved" | "failed">("");
  // What somebody else has set since the form was filled; what was typed stands until it is decided about.
  const [theirs, setTheirs] = useState<Settings>();
  const save = async (value: object, version: number): Promise<void> => {
    setState("saving");
    const seen = { "If-Match": `"${version}"` };
    const reply = await api.request<Settings>("PUT", `/api/support/settings/${path}`, value, seen);
    if (reply.ok) {
      setTheirs(undefined);
      taken(reply.value);
      return setState("saved");
    }
    const now = reply.status === 412 ? await api.get<Settings>("/api/support/settings") : undefined;
    if (now?.ok) setTheirs(now.value);
    setState(now?.ok ? "" : "failed");
  };
  const said =
    state === "failed"
      ? h("settings.failed")
      : form.changes > 0
        ? h("settings.unsaved", { n: form.changes })
        : state === "saved"
          ? h("settings.saved")
          : "";
  return (
    <form
      class="settings-form"
      onSubmit={(event) => {
        event.preventDefault();
        if (form.savable && !theirs && state !== "saving") void save(form.value, form.settings.version);
      }}
    >
      <div class="settings-body">{children}</div>
      <footer class="settings-foot">
        {theirs && (
          <div class="settings-behind">
            <Notice kind="notice-warn" role="alert">
              {h("settings.behind")}
            </Notice>
          </div>
        )}
        <div class="bar-foot">
          <span class={`settings-said small ${state === "failed" ? "is-bad" : ""}`} role="status">
            {said && <Icon d={info} small />}
            {said}
          </span>
          {theirs ? (
            <Behind
              key="behind"
              busy={state === "saving"}
              savable={form.savable}
              show={() => {
                setTheirs(undefined);
                setState("");
                taken(theirs);
              }}
              keep={() => {
                const { value, version } = theirs[path];
                void save(over(form.value, form.settings.value, value), version);
              }}
            />
          ) : (
            <span class="end" key="usual">
              <button
                type="button"
                class="button button-quiet"
                disabled={form.changes === 0}
                onClick={() => {
                  form.undo();
                  setState("");
                  redraw();
                }}
              >
                {h("settings.undo")}
              </button>
              <button class="button" data-testid="settings-save" disabled={!form.savable || state === "saving"}>
                {h("settings.save")}
              </button>
            </span>
          )}
        </div>
      </footer>
    </form>
  );
}

/** What may be done about another's change. The harmless one has the focus: the key that saved must not overwrite. */
function Behind(props: { busy: boolean; savable: boolean; show: () => void; keep: () => void }) {
  const harmless = useRef<HTMLButtonElement>(null);
  useEffect(() => harmless.current?.focus(), []);
  return (
    <span class="end">
      <button
        type="button"
        class="button button-quiet"
        data-testid="settings-theirs"
        ref={harmless}
        disabled={props.busy}
        onClick={props.show}
      >
        {h("settings.behind.theirs")}
      </button>
      <button
        type="button"
        class="button"
        data-testid="settings-mine"
        disabled={!props.savable || props.busy}
        onClick={props.keep}
      >
        {h("settings.behind.mine")}
      </button>
    </span>
  );
}
