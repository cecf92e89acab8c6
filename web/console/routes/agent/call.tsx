// The call: who, how long, both voices as lines, how good the line is, and what can be done.

import { useEffect, useRef } from "preact/hooks";
import { headset, lock, mic, micOff, pause, play, users } from "../../../shared/design/icons.ts";
import { Avatar, EverySecond, HangUpIcon, Icon, Select } from "../../../shared/design/parts.tsx";
import { clock, firstName } from "../../../shared/format.ts";
import type { CallView } from "../../../shared/gen/CallView.ts";
import { t } from "../../words.ts";
import type { Desk } from "./desk.ts";
import { Held, Hints } from "./hints.tsx";
import { Lanes } from "./lanes.tsx";
import { consultViews, storyViews } from "./later.ts";
import { parked } from "../../parked.ts";
import { shieldOf } from "../../whole.ts";

/** What stands open under the buttons. */
export type Drawer = "none" | "devices" | "ask";

interface Props {
  desk: Desk;
  call: CallView;
  drawer: Drawer;
  setDrawer: (drawer: Drawer) => void;
}

export function ActiveCall({ desk, call, drawer, setDrawer }: Props) {
  const talking = desk.stage.at === "talking";
  const name = call.customerName || t("unknown_customer");
  const ask = useRef<HTMLButtonElement>(null);
  const asking = drawer === "ask" && talking && !call.consult;
  const story = storyViews();
  const views = talking && (asking || call.consult) ? consultViews() : undefined;
  // Once somebody rings, the choice is made.
  useEffect(() => {
    if (drawer === "ask" && !asking) setDrawer("none");
  }, [drawer, asking]);
  return (
    <main class="column column-main" aria-label={t("call.label")}>
      <Head desk={desk} call={call} name={name} />
      <Lanes desk={desk} call={call} />
      <Buttons desk={desk} call={call} drawer={drawer} setDrawer={setDrawer} ask={ask} />
      {drawer === "devices" && <Devices desk={desk} />}
      {views && call.consult && talking && <views.Consultation desk={desk} call={call} />}
      <Hints desk={desk} call={call} />
      {talking && call.heldSince && !call.consult && <Held desk={desk} name={firstName(name)} since={call.heldSince} />}
      {views && asking && (
        <views.AskColleague
          desk={desk}
          customer={firstName(name)}
          close={() => {
            setDrawer("none");
            ask.current?.focus();
          }}
        />
      )}
      {story ? <story.Story call={call} /> : <div class="call-story" />}
    </main>
  );
}

function Head({ desk, call, name }: { desk: Desk; call: CallView; name: string }) {
  const talking = desk.stage.at === "talking";
  const up = desk.leg.state.at === "up";
  return (
    <header class="call-head">
      <Avatar name={name} size="avatar-large" customer />
      <div class="call-who">
        <h1 class="title-page clip" data-testid="call-customer">
          {name}
        </h1>
        <div class="call-tags">
          <span class="badge">{call.queue}</span>
          <span class="badge">{call.callId.slice(0, 8)}</span>
          {desk.part === "partner" && (
            <span class="badge badge-outline">{t("consult.call_of", { name: call.agentName ?? "" })}</span>
          )}
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
          <span
            class={`recording ${talking && parked(call) ? "is-paused" : ""}`}
            data-testid="recording"
            data-paused={talking && parked(call)}
          >
            {t(talking && parked(call) ? "recording_paused" : "recording")}
          </span>
        ) : (
          <span class="small muted">{t(talking ? "not_recorded" : "connecting_short")}</span>
        )}
      </div>
    </header>
  );
}

interface ButtonsProps extends Props {
  ask: { current: HTMLButtonElement | null };
}

function Buttons({ desk, call, drawer, setDrawer, ask }: ButtonsProps) {
  const { control } = desk;
  const talking = desk.stage.at === "talking";
  const leads = desk.part === "agent";
  const held = talking && Boolean(call.heldSince) && !call.consult;
  const apart = call.consult != null && call.consult.state !== "conference";
  const muted = control.mutedSelf;
  const shield = shieldOf(call);
  const shielded = shield !== "off";
  const toggle = (which: Drawer): void => setDrawer(drawer === which ? "none" : which);
  return (
    <div class="call-actions" role="toolbar" aria-label={t("call.actions")}>
      <button
        class="button button-plain button-large"
        data-testid="mute"
        aria-pressed={muted}
        disabled={!talking}
        onClick={() => void control.muteSelf(!muted)}
      >
        <Icon d={muted ? micOff : mic} />
        {t(muted ? "unmute" : "mute")} <span class="key">M</span>
      </button>
      {leads && !apart && (
        <button
          class="button button-plain button-large"
          data-testid="hold"
          aria-pressed={held}
          disabled={!talking || control.pending !== undefined}
          onClick={() => void control.hold(!held)}
        >
          <Icon d={held ? play : pause} />
          {t(held ? "resume" : "hold")} <span class="key">H</span>
        </button>
      )}
      {leads && (
        <button
          class="button button-plain button-large"
          data-testid="shield"
          aria-pressed={shielded}
          disabled={!talking || control.pending !== undefined || shield === "always"}
          aria-label={t(shielded ? "unshield" : "shield")}
          title={t(shield === "always" ? "shield.always" : "shield.what")}
          onClick={() => void control.shield(!shielded)}
        >
          <Icon d={lock} />
          <span class="when-narrow">{t(shielded ? "unshield" : "shield")}</span>
          <span class="key">K</span>
        </button>
      )}
      {leads && !call.consult && (
        <button
          class="button button-plain button-large"
          data-testid="ask-open"
          ref={ask}
          aria-expanded={drawer === "ask"}
          disabled={!talking}
          onClick={() => toggle("ask")}
        >
          <Icon d={users} />
          {t("consult.open")} <span class="key">C</span>
        </button>
      )}
      <button
        class="button button-plain button-large"
        data-testid="devices"
        aria-pressed={drawer === "devices"}
        aria-label={t("devices")}
        title={t("devices")}
        onClick={() => toggle("devices")}
      >
        <Icon d={headset} />
        <span class="when-narrow">{t("devices")}</span>
      </button>
      <button class="button button-danger button-large end" data-testid="hangup" onClick={() => desk.hangUp()}>
        <HangUpIcon />
        {t(leads ? "hang_up" : "consult.leave")}
      </button>
    </div>
  );
}

export function Devices({ desk }: { desk: Desk }) {
  const { voice } = desk;
  return (
    <div class="call-devices">
      {voice.devices.microphones.length > 0 && (
        <Select
          label={t("microphone")}
          value={voice.microphoneId}
          options={voice.devices.microphones}
          onChange={(id) => void voice.chooseMicrophone(id)}
        />
      )}
      {voice.devices.speakers.length > 0 && (
        <Select
          label={t("speaker")}
          value={voice.speakerId}
          options={voice.devices.speakers}
          onChange={(id) => voice.chooseSpeaker(id)}
        />
      )}
    </div>
  );
}
