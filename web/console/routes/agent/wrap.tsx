// After the call: a moment to write things down elsewhere, with its end in sight.

import { check } from "../../../shared/design/icons.ts";
import { Avatar, EverySecond, Icon } from "../../../shared/design/parts.tsx";
import { clock } from "../../../shared/format.ts";
import type { CallView } from "../../../shared/gen/CallView.ts";
import type { WrapUp } from "../../../shared/gen/WrapUp.ts";
import { t, timeOfDay } from "../../words.ts";
import type { Desk } from "./desk.ts";
import { Ring } from "./offer.tsx";

/** Seconds of a voice wrap-up; the ring is full at its start and after each extension. */
const WRAP_UP_SECONDS = 60;

export function Wrap({ desk, wrapUp, call }: { desk: Desk; wrapUp: WrapUp; call: CallView | undefined }) {
  const name = wrapUp.customerName || t("unknown_customer");
  // A call that goes on has gone to a colleague.
  const passedTo = call?.status === "answered" ? call.agentName : undefined;
  const seconds =
    call?.answeredAt && call.endedAt ? (Date.parse(call.endedAt) - Date.parse(call.answeredAt)) / 1000 : undefined;
  const waited =
    call?.answeredAt && call.enqueuedAt
      ? (Date.parse(call.answeredAt) - Date.parse(call.enqueuedAt)) / 1000
      : undefined;
  return (
    <main class="column column-main" data-testid="wrapup" aria-label={t("presence.wrap")}>
      <header class="call-head">
        <Avatar name={name} size="avatar-large" customer />
        <div class="call-who">
          <h1 class="title-page">
            {passedTo ? t("wrap.passed", { name, agent: passedTo }) : t("wrap.title", { name })}
          </h1>
          <span class="muted">{t("wrap.hint")}</span>
        </div>
        <EverySecond>
          {() => <Ring left={(Date.parse(wrapUp.endsAt) - desk.now) / 1000} whole={WRAP_UP_SECONDS} />}
        </EverySecond>
      </header>
      <div class="wrap">
        <div class="wrap-facts">
          <dl class="pairs">
            {seconds !== undefined && (
              <>
                <dt>{t("wrap.length")}</dt>
                <dd class="number">{clock(seconds)}</dd>
              </>
            )}
            {waited !== undefined && (
              <>
                <dt>{t("wrap.waited")}</dt>
                <dd class="number">{clock(waited)}</dd>
              </>
            )}
            {call && (
              <>
                <dt>{t("queue")}</dt>
                <dd>{call.queue}</dd>
                <dt>{t("wrap.answered")}</dt>
                <dd>{call.answeredAt ? timeOfDay(call.answeredAt) : "–"}</dd>
              </>
            )}
            <dt>{t("reference")}</dt>
            <dd>{wrapUp.callId.slice(0, 8)}</dd>
          </dl>
        </div>
      </div>
      <footer class="bar-foot">
        <span class="small muted">{t(desk.presence === "online" ? "wrap.then_online" : "wrap.then_away")}</span>
        <span class="end">
          {wrapUp.extensionsLeft > 0 && (
            <button
              class="button button-plain button-large"
              data-testid="wrapup-extend"
              onClick={() => void desk.extendWrapUp()}
            >
              {t("wrap.more")} <span class="muted">{t("wrap.left", { n: wrapUp.extensionsLeft })}</span>
            </button>
          )}
          <button class="button button-large" data-testid="wrapup-done" onClick={() => desk.finishWrapUp()}>
            <Icon d={check} />
            {t("wrap.finish")}
          </button>
        </span>
      </footer>
    </main>
  );
}
