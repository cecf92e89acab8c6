// The call in one line, while the agent looks at another page of the console.

import { phone } from "../../../shared/design/icons.ts";
import { EverySecond, HangUpIcon, Icon } from "../../../shared/design/parts.tsx";
import { clock } from "../../../shared/format.ts";
import { useChanged } from "../../changed.ts";
import { t } from "../../words.ts";
import type { Desk } from "./desk.ts";

export function DeskBar({ desk }: { desk: Desk }) {
  useChanged(desk);
  const { stage } = desk;
  if (stage.at === "idle") return null;
  const talking = stage.at === "connecting" || stage.at === "talking";
  const name =
    stage.at === "wrapping"
      ? stage.wrapUp.customerName
      : "offer" in stage
        ? stage.offer.customerName
        : stage.call.customerName;
  return (
    <aside class="desk-bar" aria-label={t("my_calls")} data-testid="desk-bar" data-state={stage.at}>
      <b class="strong clip">{name || t("unknown_customer")}</b>
      <span class="number muted">
        {talking ? (
          <EverySecond>
            {() =>
              stage.call.answeredAt
                ? clock((desk.now - Date.parse(stage.call.answeredAt)) / 1000)
                : t("connecting_short")
            }
          </EverySecond>
        ) : (
          t(stage.at === "wrapping" ? "presence.wrap" : "offer.incoming")
        )}
      </span>
      <a class="button button-plain" href="/agent">
        <Icon d={phone} small />
        {t("nav.agent")}
      </a>
      {talking && (
        <button
          class="button button-danger"
          data-testid="hangup"
          aria-label={t("hang_up")}
          onClick={() => desk.hangUp()}
        >
          <HangUpIcon />
        </button>
      )}
    </aside>
  );
}
