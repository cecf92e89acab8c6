// Before the call: home, the microphone check, what stands in the way.

import { Component } from "preact";
import { phone, refresh, right, speaker } from "../../shared/design/icons.ts";
import { Icon, Line, Notice, Select } from "../../shared/design/parts.tsx";
import { firstName } from "../../shared/format.ts";
import { LANGUAGES } from "../../shared/i18n/index.ts";
import type { Key } from "../words.ts";
import { Frame, useScene } from "./frame.tsx";

const NAMES = { en: "English", sw: "Kiswahili" } as const;

export function Home() {
  const { t, session, language, setLanguage, customerName } = useScene();
  const name = firstName(customerName);
  return (
    <Frame
      label={t("help")}
      title={
        <div class="segments" role="group" aria-label={t("language")}>
          {LANGUAGES.map((one) => (
            <button
              key={one}
              class="segment"
              aria-pressed={one === language}
              lang={one}
              onClick={() => setLanguage(one)}
            >
              {NAMES[one]}
            </button>
          ))}
        </div>
      }
      foot={<p class="widget-small">{t("recorded.foot")}</p>}
    >
      <div class="widget-greeting">
        <p class="widget-lead">{name ? t("greeting_name", { name }) : t("greeting")}</p>
        <h2 class="title-large">{t("home.title")}</h2>
      </div>
      <div class="reach">
        <button class="reach-item reach-first" data-testid="call-us" onClick={() => void session.check()}>
          <span class="reach-icon">
            <Icon d={phone} />
          </span>
          <span>
            <b>{t("call_us")}</b>
            <span class="small">{t("call_us.hint")}</span>
          </span>
          <Icon d={right} />
        </button>
      </div>
      <Steps className="home-steps" keys={["home.step1", "home.step2", "home.step3"]} />
    </Frame>
  );
}

function Steps({ keys, className = "" }: { keys: Key[]; className?: string }) {
  const { t } = useScene();
  return (
    <ol class={`steps ${className}`}>
      {keys.map((key) => (
        <li key={key}>
          <span>{t(key)}</span>
        </li>
      ))}
    </ol>
  );
}

/** Loudness that counts as having been heard. */
const HEARD_LEVEL = 0.35;
/** Seconds of silence after which we ask about the device. */
const SILENT_SECONDS = 6;

export class Check extends Component<{ open: boolean }, { heard: boolean; waited: number }> {
  override state = { heard: false, waited: 0 };
  #timer: ReturnType<typeof setInterval> | undefined;

  override componentDidMount(): void {
    this.#timer = setInterval(() => this.props.open && this.setState(({ waited }) => ({ waited: waited + 1 })), 1000);
  }

  override componentWillUnmount(): void {
    clearInterval(this.#timer);
  }

  #read = (): number => {
    const level = useScene().session.level();
    if (level > HEARD_LEVEL && !this.state.heard) this.setState({ heard: true });
    return level;
  };

  override render() {
    const { t, session } = useScene();
    const { open } = this.props;
    const { heard, waited } = this.state;
    return (
      <Frame
        label={t("check.title")}
        title={<h2 class="title-part">{t("check.title")}</h2>}
        back={() => session.home()}
        foot={
          <>
            <button
              class="button button-wide"
              data-testid="call-now"
              disabled={!open}
              onClick={() => void session.start()}
            >
              <Icon d={phone} />
              {t("call_now")}
            </button>
            <p class="widget-small">{t("recorded.will")}</p>
          </>
        }
      >
        <p class="widget-lead">{t(open ? "check.say" : "check.asking")}</p>
        <Line
          className="stage-line"
          strokeClass="lane-strokes lane-strokes-you"
          width={376}
          height={72}
          read={this.#read}
        />
        {open && (
          <>
            <div role="status">
              {heard ? (
                <Notice kind="notice-ok">{t("check.heard")}</Notice>
              ) : (
                waited >= SILENT_SECONDS && <Notice kind="notice-warn">{t("check.silent")}</Notice>
              )}
            </div>
            <DeviceChoice />
            <button class="button button-quiet" onClick={() => session.testSound()}>
              <Icon d={speaker} />
              {t("test_sound")}
            </button>
          </>
        )}
      </Frame>
    );
  }
}

/** Microphone and, where the browser lets us choose, speaker. */
export function DeviceChoice() {
  const { t, session } = useScene();
  const { microphones, speakers } = session.devices;
  return (
    <>
      {microphones.length > 0 && (
        <Select
          label={t("microphone")}
          value={session.microphoneId}
          options={microphones}
          onChange={(id) => void session.chooseMicrophone(id)}
        />
      )}
      {speakers.length > 1 && (
        <Select
          label={t("speaker")}
          value={session.speakerId}
          options={speakers}
          onChange={(id) => session.chooseSpeaker(id)}
        />
      )}
    </>
  );
}

/** Codes that have words of their own; the rest share `generic`. */
const KNOWN = [
  "closed_hours",
  "draining",
  "ice_failed",
  "insecure_context",
  "mic_busy",
  "mic_denied",
  "mic_missing",
  "offline",
  "rate_limited",
  "unauthenticated",
  "unsupported_browser",
  "ws_unreachable",
] as const;

export function Problem({ code }: { code: string }) {
  const { t, session } = useScene();
  // Whatever keeps our side from taking calls, the customer can only come back later.
  const known = code === "recording_required" ? "draining" : (KNOWN.find((one) => one === code) ?? "generic");
  return (
    <Frame
      label={t("your_call")}
      title={<h2 class="title-part">{t("your_call")}</h2>}
      back={() => session.home()}
      foot={
        <>
          <button class="button button-wide" data-testid="again" onClick={() => void session.check()}>
            <Icon d={refresh} />
            {t("again")}
          </button>
          <p class="widget-small">{t("code", { code })}</p>
        </>
      }
    >
      <div class="widget-greeting" role="alert" data-testid="problem" data-code={code}>
        <h3 class="title-page">{t(`problem.${known}`)}</h3>
        <p class="widget-lead">{t(`problem.${known}.hint` as Key)}</p>
      </div>
      {known === "mic_denied" && (
        <Steps keys={["problem.mic_denied.step1", "problem.mic_denied.step2", "problem.mic_denied.step3"]} />
      )}
    </Frame>
  );
}
