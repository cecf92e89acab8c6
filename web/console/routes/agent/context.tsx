// The right column: the customer of the call, as far as we know them.

import { user } from "../../../shared/design/icons.ts";
import { Avatar, Icon } from "../../../shared/design/parts.tsx";
import { parked } from "../../parked.ts";
import { maySeeTests } from "../../state.ts";
import { t, timeOfDay } from "../../words.ts";
import type { Desk } from "./desk.ts";
import { linkViews } from "./later.ts";

/** `alone`: a narrow screen shows nothing else. */
export function Context({ desk, alone }: { desk: Desk; alone: boolean }) {
  const call = desk.call;
  const links = maySeeTests() ? linkViews() : undefined;
  const name = call?.customerName || t("unknown_customer");
  return (
    <div class="column column-context" role={alone ? "main" : "complementary"} aria-label={t("customer")}>
      {alone && <h1 class="visually-hidden">{t("customer")}</h1>}
      {call ? (
        <section class="context-part">
          <div class="cell-person">
            <Avatar name={name} customer />
            <span class="clip">
              <b class="strong">{name}</b>
              <br />
              <span class="small muted">{call.customerEmail || t("no_email")}</span>
            </span>
          </div>
          <dl class="pairs">
            <dt>{t("queue")}</dt>
            <dd>{call.queue}</dd>
            <dt>{t("context.called")}</dt>
            <dd class="number">{timeOfDay(call.createdAt)}</dd>
            {call.answeredAt && (
              <>
                <dt>{t("wrap.answered")}</dt>
                <dd class="number">{timeOfDay(call.answeredAt)}</dd>
              </>
            )}
            {/* Of a call that is over nobody can say it here: it is a matter of now. */}
            {call.status === "answered" && (
              <>
                <dt>{t("recording")}</dt>
                <dd>{t(!call.recorded ? "no" : parked(call) ? "recording_paused" : "yes")}</dd>
              </>
            )}
            <dt>{t("reference")}</dt>
            <dd>{call.callId.slice(0, 8)}</dd>
          </dl>
        </section>
      ) : (
        <div class="empty">
          <Icon d={user} />
          <span>{t("context.empty")}</span>
        </div>
      )}
      {links && <links.LinkPart />}
    </div>
  );
}
