// During and after the call: waiting, connecting, talking, ended, and the mini bar.

import { Component } from "preact";
import { headset, mic, micOff, phone, popout, speaker } from "../../shared/design/icons.ts";
import { Avatar, Bars, EverySecond, HangUpIcon, Icon, Level, Line, Notice } from "../../shared/design/parts.tsx";
import { clock, firstName, initials, waitRange } from "../../shared/format.ts";
import type { CallView } from "../../shared/gen/CallView.ts";
import { bars } from "../../shared/quality.ts";
import type { Session } from "../session.ts";
import type { Key, Translate } from "../words.ts";
import { DeviceChoice } from "./before.tsx";
import { Centred, Frame, HangUp, useScene } from "./frame.tsx";

const seconds = (session: Session, since: string | null | undefined): number =>
  since ? (session.now - Date.parse(since)) / 1000 : 0;

/** How long something has lasted. */
export function Elapsed({ since }: { since: string | null | undefined }) {
  return <EverySecond>{() => clock(seconds(useScene().session, since))}</EverySecond>;
}

/** A screen reader hears of a new place at most this often, milliseconds. */
const PLACE_DEBOUNCE_MS = 5000;
/** Dots drawn for the people in line; more would not be counted by eye. */
const DOTS_MAX = 8;

/** The place in the line, large; it changes at most every five seconds. */
class Place extends Component<{ place: number }, { place: number }> {
  override state = { place: this.props.place };
  #timer: ReturnType<typeof setInterval> | undefined;

  override componentDidMount(): void {
    this.#timer = setInterval(() => this.setState({ place: this.props.place }), PLACE_DEBOUNCE_MS);
  }

  override componentWillUnmount(): void {
    clearInterval(this.#timer);
  }

  override render() {
    const { t } = useScene();
    // The first number is shown at once.
    const place = this.state.place || this.props.place;
    const dots = Math.min(place, DOTS_MAX);
    return (
      <div class="place" role="status">
        <span class="widget-lead">{t(place === 1 ? "place.next" : "place")}</span>
        <span class="place-number" data-testid="queue-position">
          {place || "…"}
        </span>
        <span class="place-line" aria-hidden="true">
          {Array.from({ length: dots }, (_, n) => (
            <i key={n} class={n === dots - 1 ? "is-you" : ""} />
          ))}
        </span>
      </div>
    );
  }
}

const lineLost = (session: Session): boolean =>
  session.signal.state.at === "waiting" ||
  (session.signal.state.at === "connecting" && session.signal.state.attempt > 1);

function wait(t: Translate, estimate: number | null | undefined): string {
  if (estimate == null) return t("unknown");
  if (estimate < 45) return t("wait.short");
  return t("wait.range", waitRange(estimate));
}

function Lost({ text }: { text: string }) {
  const { t } = useScene();
  return (
    <Notice kind="notice-warn" shape="lost" role="alert">
      <b class="medium">{t("lost.title")}</b>
      <br />
      {text}
    </Notice>
  );
}

export function Waiting({ call }: { call: CallView }) {
  const { t, session } = useScene();
  const leave = (
    <button class="button button-danger-quiet button-wide" data-testid="leave-queue" onClick={() => session.hangUp()}>
      {t("queue.leave")}
    </button>
  );
  if (call.status === "ringing") {
    return <Centred busy picture={<Icon d={headset} />} title={t("ringing")} text={t("ringing.hint")} foot={leave} />;
  }
  return (
    <Frame label={t("queue.title")} title={<h2 class="title-part">{t("queue.title")}</h2>} foot={leave}>
      <Place place={call.position ?? 0} />
      <dl class="facts">
        <dt>{t("fact.wait")}</dt>
        <dd>{wait(t, call.estimatedWaitSeconds)}</dd>
        <dt>{t("fact.waited")}</dt>
        <dd>
          <Elapsed since={call.enqueuedAt ?? call.createdAt} />
        </dd>
      </dl>
      {lineLost(session) ? <Lost text={t("queue_lost.hint")} /> : <Notice>{t("queue.note")}</Notice>}
    </Frame>
  );
}

/** Placing, resuming or connecting: something is on its way. */
export function OnItsWay({ call, text }: { call?: CallView; text?: string }) {
  const { t } = useScene();
  const name = call?.agentName ?? "";
  const title = text ?? (name ? t("connecting.title", { name: firstName(name) }) : t("connecting.generic"));
  const hint = call && t("connecting.hint");
  return (
    <Centred busy picture={name ? initials(name) : <Icon d={phone} />} title={title} text={hint} foot={<HangUp />} />
  );
}

function Hints({ name }: { name: string }) {
  const { t, session, soundBlocked } = useScene();
  if (session.leg.state.at !== "up") {
    return <Lost text={t("lost.hint", { name })} />;
  }
  if (soundBlocked()) {
    return (
      <button class="button button-wide" onClick={() => session.hearAudio()}>
        <Icon d={speaker} />
        {t("hear_audio")}
      </button>
    );
  }
  const call = session.call;
  const music = call?.reconnecting?.includes("agent") ? "agent_away" : call?.heldSince && "held";
  if (music) {
    return (
      <Notice role="status">
        <span data-testid={music}>{t(music, { name })}</span>
      </Notice>
    );
  }
  if (session.muted || session.silenced) {
    return (
      <Notice kind="notice-warn" shape="muted" role="status">
        {t(session.silenced ? "muted.by_us" : session.speakingWhileMuted ? "muted.speaking" : "muted", { name })}
      </Notice>
    );
  }
  if (lineLost(session)) return <Notice role="status">{t("signal_lost")}</Notice>;
  return session.warnings.size > 0 ? (
    <Notice kind="notice-warn" role="status">
      {t("line.weak.hint")}
    </Notice>
  ) : null;
}

export class Talking extends Component<{ call: CallView }, { choosing: boolean }> {
  override state = { choosing: false };

  override render() {
    const { t, session, farLevel } = useScene();
    const { call } = this.props;
    const { choosing } = this.state;
    const setChoosing = (next: boolean): void => this.setState({ choosing: next });
    const agent = call.agentName ?? t("agent_hidden");
    const up = session.leg.state.at === "up";
    const score = session.serverScore ?? session.second?.mos;
    const count = score === undefined ? undefined : bars(score);
    return (
      <Frame
        label={t("mini", { name: agent })}
        title={
          call.recorded && !call.heldSince ? (
            <span class="recording" data-testid="recording">
              {t("recorded")}
            </span>
          ) : (
            <h2 class="title-part">{t("your_call")}</h2>
          )
        }
        foot={
          <>
            <div class="call-keys">
              <MuteKey />
              <button
                class="call-key"
                data-testid="devices"
                aria-pressed={choosing}
                onClick={() => setChoosing(!choosing)}
              >
                <Icon d={headset} />
                {t("devices")}
              </button>
            </div>
            <HangUp />
          </>
        }
      >
        {choosing ? (
          <>
            <h2 class="title-page">{t("devices.title")}</h2>
            <DeviceChoice />
            <button class="button button-plain" onClick={() => setChoosing(false)}>
              {t("devices.done")}
            </button>
          </>
        ) : (
          <>
            <div class="stage">
              <Avatar name={agent} size="avatar-large" />
              <h2 class="title-page">{agent}</h2>
              {call.queue && <span class="muted">{call.queue}</span>}
            </div>
            <Line
              className="stage-line"
              strokeClass="lane-strokes"
              width={376}
              height={72}
              read={up ? farLevel : silence}
            />
          </>
        )}
        <div class="stage">
          <span class={`timer ${up ? "" : "muted"}`} role="timer" data-testid="call-timer">
            <Elapsed since={call.answeredAt} />
          </span>
          {up && (
            <span class="stage-meta">
              {count !== undefined && <Bars bars={count} word={t(`line.${count}` as Key)} />}
              {!session.muted && !session.silenced && (
                <span class="you">
                  <span class="muted">{t("you")}</span>
                  <Level customer name={t("your_level")} read={session.level} />
                </span>
              )}
            </span>
          )}
        </div>
        <Hints name={firstName(agent)} />
      </Frame>
    );
  }
}

/** One's own switch. Whom the house has muted may close it as well, so that he is not heard when he does not expect it. */
function MuteKey({ small }: { small?: boolean }) {
  const { t, session } = useScene();
  const { muted, silenced } = session;
  const label = t(muted ? "unmute" : silenced ? "mute.stay" : "mute");
  return (
    <button
      class={small ? "icon-button" : "call-key"}
      data-testid="mute"
      aria-pressed={muted}
      aria-label={label}
      onClick={() => session.mute(!muted)}
    >
      <Icon d={muted || silenced ? micOff : mic} />
      {!small && label}
    </button>
  );
}

const silence = (): number => 0;

/** Characters of a call's id that a person can read out. */
const REFERENCE_CHARS = 8;

export function Ended() {
  const { t, session, customerName } = useScene();
  if (session.phase.at !== "ended") return null;
  const { how, agent, seconds: length, callId } = session.phase;
  const whole = Math.round(length);
  const values = { name: firstName(agent ?? t("agent_hidden")), m: Math.floor(whole / 60), s: whole % 60 };
  const name = firstName(customerName);
  const title = how === "spoke" ? (name ? t("end.thanks_name", { name }) : t("end.thanks")) : t(`end.${how}` as Key);
  const hint =
    how === "spoke" ? t(whole >= 60 ? "end.spoke.minutes" : "end.spoke.seconds", values) : t(`end.${how}.hint` as Key);
  return (
    <Frame
      label={t("end.title")}
      title={<h2 class="title-part">{t("end.title")}</h2>}
      foot={
        <>
          <button class="button button-wide" data-testid="close" onClick={() => session.home()}>
            {t("close")}
          </button>
          <button class="button button-quiet button-wide" onClick={() => void session.check()}>
            <Icon d={phone} />
            {t("another_call")}
          </button>
        </>
      }
    >
      <div class="widget-greeting" role="status" data-testid="ended" data-how={how}>
        <h3 class="title-large">{title}</h3>
        <p class="widget-lead">{hint}</p>
      </div>
      {callId && (
        <dl class="facts">
          <dt>{t("fact.reference")}</dt>
          <dd>{callId.slice(0, REFERENCE_CHARS)}</dd>
        </dl>
      )}
    </Frame>
  );
}

export function Elsewhere() {
  const { t, session } = useScene();
  return (
    <Centred
      picture={<Icon d={popout} />}
      title={t("call_in_tab.title")}
      text={t("call_in_tab.text")}
      foot={
        <button class="button button-wide" data-testid="take-over" onClick={() => void session.takeOver()}>
          {t("call_in_tab.continue")}
        </button>
      }
    />
  );
}

/** What stays when the panel is small or the page around it changed: timer, mute, hang up. */
export function Mini({ expand }: { expand: (() => void) | undefined }) {
  const { t, session, farLevel } = useScene();
  const call = session.call;
  const name = call?.agentName ?? "";
  const talking = session.phase.at === "talking";
  const label = name ? t("mini", { name: firstName(name) }) : t("your_call");
  return (
    <section class="mini" aria-label={label}>
      {name && <Avatar name={name} size="avatar-small" />}
      {expand ? (
        <button
          class="button button-quiet button-mini"
          aria-expanded="false"
          aria-controls="helpline-panel"
          onClick={expand}
        >
          <MiniText />
        </button>
      ) : (
        <MiniText />
      )}
      {talking && <Level name={name} read={farLevel} />}
      {talking && <MuteKey small />}
      <button
        class="button button-danger"
        data-testid="hangup"
        aria-label={t("hang_up")}
        onClick={() => session.hangUp()}
      >
        <HangUpIcon />
      </button>
    </section>
  );
}

function MiniText() {
  const { t, session } = useScene();
  const { phase } = session;
  if (phase.at === "talking") {
    if (session.leg.state.at !== "up") return <span class="strong">{t("lost.title")}</span>;
    return (
      <span class="timer-small" role="timer" data-testid="call-timer">
        <Elapsed since={phase.call.answeredAt} />
      </span>
    );
  }
  if (phase.at === "waiting" && phase.call.status !== "ringing" && phase.call.position) {
    return (
      <span class="strong number">
        {phase.call.position === 1 ? t("place.next") : `${t("place")} ${phase.call.position}`}
      </span>
    );
  }
  return <span class="strong">{phase.at === "waiting" ? t("ringing") : t("your_call")}</span>;
}
