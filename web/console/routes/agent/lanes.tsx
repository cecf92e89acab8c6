// The voices of a call, a line each, and how good the customer's is.

import { mic, micOff } from "../../../shared/design/icons.ts";
import { Bars, Icon, Level, Line } from "../../../shared/design/parts.tsx";
import { firstName } from "../../../shared/format.ts";
import type { CallView } from "../../../shared/gen/CallView.ts";
import type { LegQuality } from "../../../shared/gen/LegQuality.ts";
import type { Part } from "../../../shared/gen/Part.ts";
import { bars } from "../../../shared/quality.ts";
import { oneDigit, t, wholeNumber, type Key } from "../../words.ts";
import { farLevel } from "./browser.ts";
import type { Desk } from "./desk.ts";
import { parked } from "../../parked.ts";
import { mutedByOthers } from "../../whole.ts";

/** Who stands beside the customer, as this desk sees them. */
function othersOf(desk: Desk, call: CallView): { part: Part; name: string; away: boolean }[] {
  if (desk.part === "partner") return [{ part: "agent", name: call.agentName ?? "", away: false }];
  if (!call.consult) return [];
  return [{ part: "partner", name: call.consult.staffName, away: call.consult.state === "ringing" }];
}

export function Lanes({ desk, call }: { desk: Desk; call: CallView }) {
  const up = desk.leg.state.at === "up";
  const away = desk.stage.at === "talking" && parked(call);
  const others = othersOf(desk, call);
  // Only who is connected himself can know of the other side.
  const gone = up && Boolean(call.reconnecting?.includes("customer"));
  const customer = call.customerName || t("unknown_customer");
  const heard: Part[] = [...(away ? [] : ["customer" as const]), ...others.filter((o) => !o.away).map((o) => o.part)];
  const levelOf = (part: Part): (() => number) => (heard.length > 1 ? () => share(desk, part, heard) : farLevel);
  const mutedSelf = desk.control.mutedSelf;
  return (
    <section class="call-lines" aria-label={t("sound")}>
      <Lane
        desk={desk}
        part="customer"
        name={firstName(customer)}
        role={t(away ? "on_hold" : gone ? "line_lost" : "customer")}
        read={levelOf("customer")}
        live={up && !away && !gone}
        lost={gone}
        call={call}
        mutable
      />
      {others.map(({ part, name, away: ringing }) => (
        <Lane
          key={part}
          desk={desk}
          part={part}
          name={firstName(name)}
          role={t(ringing ? "consult.ringing_short" : "colleague")}
          read={levelOf(part)}
          live={up && !ringing}
          call={call}
          mutable={!ringing}
        />
      ))}
      <Lane
        desk={desk}
        part={desk.part}
        name={t("you")}
        role={t(mutedSelf ? "muted_short" : "microphone")}
        read={desk.voice.level}
        live={up && !mutedSelf}
        call={call}
      />
      <QualityRow quality={desk.voice.lastMinute("customer")} />
    </section>
  );
}

interface LaneProps {
  desk: Desk;
  part: Part;
  name: string;
  role: string;
  live: boolean;
  read: () => number;
  call: CallView;
  /** Whoever leads the call may take this voice off it. */
  mutable?: boolean;
  /** Nothing comes from it, so nothing is good about its line. */
  lost?: boolean;
}

function Lane({ desk, part, name, role, live, read, call, mutable, lost }: LaneProps) {
  const quality = desk.voice.lastMinute(part);
  const count = quality && !lost ? bars(quality.mos) : undefined;
  const level = live ? read : silence;
  const customer = part === "customer";
  const own = part === desk.part;
  const muted = call.muted.includes(part);
  const speaks = live && !muted && desk.voice.legs.some((leg) => leg.part === part && leg.speaking);
  return (
    <div class={`call-lane ${speaks ? "is-speaking" : ""}`} data-testid={`lane-${part}`} data-speaking={speaks}>
      <span class="who">
        <b class="medium clip">{name}</b>
        <span class="muted clip">
          {muted && !own ? t("muted_short") : speaks ? t(own ? "speaks.you" : "speaks") : role}
        </span>
      </span>
      <LaneLine read={muted ? silence : level} customer={customer} />
      <span class="lane-switch">
        {mutable && desk.part === "agent" && desk.stage.at === "talking" && (
          <MuteOther desk={desk} call={call} part={part} name={name} />
        )}
      </span>
      <span class="ends">
        <Level name={name} read={muted ? silence : level} customer={customer} />
        {count !== undefined && <Bars bars={count} word={t(`line.${count}` as Key)} />}
      </span>
    </div>
  );
}

interface MuteProps {
  desk: Desk;
  call: CallView;
  part: Part;
  name: string;
}

/** The mute by others, which comes and goes beside the party's own, that nobody else ends. */
function MuteOther({ desk, call, part, name }: MuteProps) {
  const muted = mutedByOthers(call, part);
  const label = t(muted ? "unmute_other" : "mute_other", { name });
  const pressed = part === "customer" ? `${label} (${t("key.shift")} M)` : label;
  return (
    <button
      class="lane-mute"
      data-testid={`mute-${part}`}
      aria-pressed={muted}
      aria-label={label}
      title={call.mutedSelf?.includes(part) ? `${t("muted_own", { name })} ${pressed}` : pressed}
      disabled={desk.control.pending !== undefined}
      onClick={() => void desk.control.mute(part, !muted)}
    >
      <Icon d={call.muted.includes(part) ? micOff : mic} small />
    </button>
  );
}

const silence = (): number => 0;

/** Of several voices that arrive as one sound, how much is this one's: the server knows who was loud a second ago. */
function share(desk: Desk, part: Part, heard: readonly Part[]): number {
  const loudest = Math.max(...heard.map(desk.voice.serverLevel), 0.01);
  return farLevel() * (desk.voice.serverLevel(part) / loudest);
}

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
