// The right column: the customer of the call, as far as we know them.

import { user } from "../../../shared/design/icons.ts";
import { Avatar, Icon } from "../../../shared/design/parts.tsx";
import { t, timeOfDay } from "../../words.ts";
import type { Desk } from "./desk.ts";

export function Context({ desk }: { desk: Desk }) {
  const call = desk.call;
  const name = call?.customerName || t("unknown_customer");
  return (
    <aside class="column column-context" aria-label={t("customer")}>
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
            <dt>{t("recording")}</dt>
            <dd>{t(call.recorded ? "yes" : "no")}</dd>
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
    </aside>
  );
}
