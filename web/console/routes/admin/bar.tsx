// As long as somebody listens to a call of others, this bar says so: how, to whom, who hears it, and how to stop.

import { barge, close, headset, info, whisper } from "../../../shared/design/icons.ts";
import { EverySecond, Icon, Level } from "../../../shared/design/parts.tsx";
import { clock, firstName } from "../../../shared/format.ts";
import { useChanged } from "../../changed.ts";
import { may } from "../../state.ts";
import { t, type Key } from "../../words.ts";
import { callLevel, ownLevel } from "./browser.ts";
import type { Mode, Notice, Stage, Supervision } from "./supervision.ts";

export const MODES: readonly { mode: Mode; d: string; permission: string }[] = [
  { mode: "monitor", d: headset, permission: "call.monitor" },
  { mode: "whisper", d: whisper, permission: "call.whisper" },
  { mode: "barge", d: barge, permission: "call.barge" },
];

/** The ways to take part that this person's role permits. */
export const permitted = (): typeof MODES => MODES.filter(({ permission }) => may(permission));

export function SuperviseBar({ supervision }: { supervision: Supervision }) {
  useChanged(supervision);
  const { stage, notice } = supervision;
  return (
    <aside class="watch" aria-label={t("live.actions")} data-testid="supervise-bar" data-state={stage.at}>
      {notice && <Told supervision={supervision} notice={notice} />}
      {stage.at !== "idle" && <Watching supervision={supervision} stage={stage} />}
    </aside>
  );
}

const MIC: readonly string[] = ["mic_denied", "mic_missing", "mic_busy", "insecure_context", "unsupported_browser"];

function textOf({ key, code, name }: Notice): string {
  if (key === "mic") return t((MIC.includes(code) ? `mic.${code}` : "mic.mic_busy") as Key);
  if (code === "too_many_voices") return t("notice.too_many_voices");
  if (code === "other_node") return t("notice.other_node");
  return t(`supervise.${key}`, { customer: name || t("unknown_customer") });
}

function Told({ supervision, notice }: { supervision: Supervision; notice: Notice }) {
  return (
    <div
      class="watch-line watch-told"
      role={notice.key === "ended" ? "status" : "alert"}
      data-testid="supervise-notice"
    >
      <Icon d={info} />
      <span class="watch-text">{textOf(notice)}</span>
      <button class="button button-plain end" onClick={() => supervision.dismiss()}>
        {t("dismiss")}
      </button>
    </div>
  );
}

function Watching({ supervision, stage }: { supervision: Supervision; stage: Exclude<Stage, { at: "idle" }> }) {
  const { target, mode, since } = stage;
  const names = {
    agent: firstName(target.agentName) || t("agent"),
    customer: firstName(target.customerName || t("unknown_customer")),
  };
  const speaks = mode !== "monitor";
  return (
    <div class="watch-line">
      <Icon d={MODES.find((one) => one.mode === mode)?.d ?? headset} />
      <span class="watch-text" role="status">
        <b class="strong">{t(`supervise.on.${mode}`, names)}</b> <span>{t(`supervise.hint.${mode}`, names)}</span>{" "}
        <span class="watch-quiet">{t("supervise.audited")}</span>
      </span>
      <span class="watch-sound">
        <Sound supervision={supervision} stage={stage} />
        {speaks && <Level name={t("supervise.your_level")} read={ownLevel} />}
        <span class="number" role="timer" aria-label={t("call.time")}>
          <EverySecond>{() => clock((Date.now() - since) / 1000)}</EverySecond>
        </span>
      </span>
      <span class="watch-ways">
        <span class="segments" role="group" aria-label={t("supervise.mode")}>
          {permitted().map((one) => (
            <button
              key={one.mode}
              class="segment"
              data-testid={`mode-${one.mode}`}
              aria-pressed={one.mode === mode}
              onClick={() => void supervision.supervise(target, one.mode)}
            >
              {t(`supervise.${one.mode}`)}
            </button>
          ))}
        </span>
        <button class="button button-plain" data-testid="supervise-leave" onClick={() => supervision.leave()}>
          <Icon d={close} small />
          {t("supervise.leave")}
        </button>
      </span>
    </div>
  );
}

/** The call's own level, or why there is none. */
function Sound({ supervision, stage }: { supervision: Supervision; stage: Stage }) {
  const { at } = supervision.leg.state;
  if (stage.at === "joining" || at === "offering" || at === "connecting" || at === "idle")
    return <span class="watch-quiet">{t("supervise.joining")}</span>;
  if (at === "interrupted") return <span role="alert">{t("supervise.sound_lost")}</span>;
  return <Level name={t("supervise.level")} read={callLevel} customer />;
}
