// The call: who, how long, both voices as lines, how good the line is, and what can be done.

import { useSignal } from "@preact/signals";
import { useEffect, useState } from "preact/hooks";
import { headset, mic, micOff, pause, play } from "../../../shared/design/icons.ts";
import {
  Avatar,
  Bars,
  EverySecond,
  HangUpIcon,
  Icon,
  Level,
  Line,
  Notice,
  Select,
} from "../../../shared/design/parts.tsx";
import { clock, firstName, offset } from "../../../shared/format.ts";
import type { CallEvent } from "../../../shared/gen/CallEvent.ts";
import type { CallEvents } from "../../../shared/gen/CallEvents.ts";
import type { CallView } from "../../../shared/gen/CallView.ts";
import type { LegQuality } from "../../../shared/gen/LegQuality.ts";
import { bars } from "../../../shared/quality.ts";
import { eventDetail, eventIcon, eventText } from "../../events.ts";
import { api } from "../../state.ts";
import { oneDigit, t, wholeNumber, type Key } from "../../words.ts";
import { farLevel } from "./browser.ts";
import type { Desk } from "./desk.ts";

export function ActiveCall({ desk, call }: { desk: Desk; call: CallView }) {
  const [choosing, setChoosing] = useState(false);
  const talking = desk.stage.at === "talking";
  const up = desk.leg.state.at === "up";
  const held = talking && Boolean(call.heldSince);
  const name = call.customerName || t("unknown_customer");
  return (
    <main class="column column-main" aria-label={t("call.label")}>
      <header class="call-head">
        <Avatar name={name} size="avatar-large" customer />
        <div class="call-who">
          <h1 class="title-page clip" data-testid="call-customer">
            {name}
          </h1>
          <div class="call-tags">
            <span class="badge">{call.queue}</span>
            <span class="badge">{call.callId.slice(0, 8)}</span>
          </div>
        </div>
        <div class="call-clock">
          <span
            class={`timer ${talking && up ? "" : "muted"}`}
            role="timer"
            data-testid="call-timer"
            aria-label={t("call.time")}
          >
            <EverySecond>
              {() => (call.answeredAt ? clock((desk.now - Date.parse(call.answeredAt)) / 1000) : "0:00")}
            </EverySecond>
          </span>
          {call.recorded ? (
            <span class="recording" data-testid="recording">
              {t("recording")}
            </span>
          ) : (
            <span class="small muted">{t(talking ? "not_recorded" : "connecting_short")}</span>
          )}
        </div>
      </header>
      <section class="call-lines" aria-label={t("sound")}>
        <Lane
          desk={desk}
          part="customer"
          name={firstName(name)}
          role={t(held ? "on_hold" : "customer")}
          live={up && !held}
          read={farLevel}
        />
        <Lane
          desk={desk}
          part="agent"
          name={t("you")}
          role={t(desk.voice.muted ? "muted_short" : "microphone")}
          live={up && !desk.voice.muted}
          read={desk.voice.level}
        />
        <QualityRow quality={desk.voice.lastMinute("customer")} />
      </section>
      <div class="call-actions" role="toolbar" aria-label={t("call.actions")}>
        <button
          class="button button-plain button-large"
          data-testid="mute"
          aria-pressed={desk.voice.muted}
          disabled={!talking}
          onClick={() => desk.voice.mute(!desk.voice.muted)}
        >
          <Icon d={desk.voice.muted ? micOff : mic} />
          {t(desk.voice.muted ? "unmute" : "mute")} <span class="key">M</span>
        </button>
        <button
          class="button button-plain button-large"
          data-testid="hold"
          aria-pressed={held}
          disabled={!talking || desk.holding}
          onClick={() => void desk.hold(!held)}
        >
          <Icon d={held ? play : pause} />
          {t(held ? "resume" : "hold")} <span class="key">H</span>
        </button>
        <button
          class="button button-plain button-large"
          data-testid="devices"
          aria-pressed={choosing}
          onClick={() => setChoosing(!choosing)}
        >
          <Icon d={headset} />
          {t("devices")}
        </button>
        <button class="button button-danger button-large end" data-testid="hangup" onClick={() => desk.hangUp()}>
          <HangUpIcon />
          {t("hang_up")}
        </button>
      </div>
      {choosing && <Devices desk={desk} />}
      <Hints desk={desk} talking={talking} up={up} />
      {held && <Held desk={desk} name={firstName(name)} since={call.heldSince} />}
      <Story call={call} />
    </main>
  );
}

interface LaneProps {
  desk: Desk;
  part: "customer" | "agent";
  name: string;
  role: string;
  live: boolean;
  read: () => number;
}

function Lane({ desk, part, name, role, live, read }: LaneProps) {
  const quality = desk.voice.lastMinute(part);
  const count = quality ? bars(quality.mos) : undefined;
  const level = live ? read : silence;
  const customer = part === "customer";
  return (
    <div class="call-lane">
      <span class="who">
        <b class="medium clip">{name}</b>
        <span class="muted">{role}</span>
      </span>
      <LaneLine read={level} customer={customer} />
      <span class="ends">
        <Level name={name} read={level} customer={customer} />
        {count !== undefined && <Bars bars={count} word={t(`line.${count}` as Key)} />}
      </span>
    </div>
  );
}

const silence = (): number => 0;

const LaneLine = ({ read, customer }: { read: () => number; customer: boolean }) => (
  <Line
    className={customer ? "lane lane-customer" : "lane"}
    strokeClass="lane-ink"
    width={600}
    height={44}
    read={read}
  />
);

function QualityRow({ quality }: { quality: LegQuality | undefined }) {
  return (
    <div class="call-quality" data-testid="quality">
      <span>
        {t("quality.score")} <b>{quality ? oneDigit(quality.mos) : "–"}</b>
      </span>
      <span>
        {t("quality.loss")} <b>{quality ? `${oneDigit(quality.loss * 100)} %` : "–"}</b>
      </span>
      <span>
        {t("quality.jitter")} <b>{quality ? `${wholeNumber(quality.jitterMs)} ms` : "–"}</b>
      </span>
      <span>
        {t("quality.delay")} <b>{quality?.rttMs == null ? "–" : `${wholeNumber(quality.rttMs)} ms`}</b>
      </span>
      <span class="end">{t("quality.span")}</span>
    </div>
  );
}

export function Devices({ desk }: { desk: Desk }) {
  return (
    <div class="call-devices">
      {desk.voice.devices.microphones.length > 0 && (
        <Select
          label={t("microphone")}
          value={desk.voice.microphoneId}
          options={desk.voice.devices.microphones}
          onChange={(id) => void desk.voice.chooseMicrophone(id)}
        />
      )}
      {desk.voice.devices.speakers.length > 0 && (
        <Select
          label={t("speaker")}
          value={desk.voice.speakerId}
          options={desk.voice.devices.speakers}
          onChange={(id) => desk.voice.chooseSpeaker(id)}
        />
      )}
    </div>
  );
}

function Hints({ desk, talking, up }: { desk: Desk; talking: boolean; up: boolean }) {
  const lines: [kind: "" | "notice-warn", shape: "muted" | "lost" | undefined, text: Key][] = [];
  if (!talking) lines.push(["", undefined, "hint.connecting"]);
  else if (!up) lines.push(["notice-warn", "lost", "hint.sound_lost"]);
  if (desk.signal.state.at !== "open") lines.push(["notice-warn", "lost", "hint.signal_lost"]);
  if (desk.voice.muted) lines.push(["notice-warn", "muted", "hint.muted"]);
  else if (talking && desk.voice.deadMicrophone) lines.push(["notice-warn", "muted", "hint.dead_microphone"]);
  if (desk.voice.warnings.size > 0 && up) lines.push(["notice-warn", undefined, "hint.weak"]);
  if (lines.length === 0) return null;
  return (
    <div class="call-hints" data-testid="call-hints">
      {lines.map(([kind, shape, key]) => (
        <Notice key={key} kind={kind} role="status" {...(shape ? { shape } : {})}>
          {t(key)}
        </Notice>
      ))}
    </div>
  );
}

/** A customer who hears music for longer than this wants to hear a person, milliseconds. */
const HOLD_LONG_MS = 60_000;

/** Says that the customer is on hold, and after a minute that it lasts long. */
function Held({ desk, name, since }: { desk: Desk; name: string; since: string | null | undefined }) {
  const long = Boolean(since) && desk.now - Date.parse(since ?? "") > HOLD_LONG_MS;
  return (
    <div class="call-hints" data-testid="held">
      <Notice kind={long ? "notice-warn" : ""} role="status">
        {t(long ? "hint.held_long" : "hint.held", { name })}
      </Notice>
    </div>
  );
}

/** What has happened on this call so far, newest first. */
function Story({ call }: { call: CallView }) {
  const events = useSignal<CallEvent[]>([]);
  useEffect(() => {
    let gone = false;
    void api.get<CallEvents>(`/api/support/call/${call.callId}/events`).then((reply) => {
      if (reply.ok && !gone) events.value = [...reply.value.events].reverse();
    });
    return () => {
      gone = true;
    };
  }, [call]);
  if (events.value.length === 0) return <div class="call-story" />;
  const start = Date.parse(call.answeredAt ?? call.createdAt);
  return (
    <section class="call-story" aria-label={t("events")} tabIndex={0}>
      <div class="part-head">
        <h2 class="title-part">{t("events")}</h2>
      </div>
      <div class="notes">
        {events.value.map((event) => (
          <div key={String(event.seq)} class="note-line is-event">
            <time class="number muted">{offset(Date.parse(event.at) - start)}</time>
            <Icon {...eventIcon(event.kind)} />
            <span>{[eventText(event), eventDetail(event)].filter(Boolean).join(": ")}</span>
          </div>
        ))}
      </div>
    </section>
  );
}
