// What has happened on this call so far, newest first.

import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { Icon } from "../../../shared/design/parts.tsx";
import { offset } from "../../../shared/format.ts";
import type { CallEvent } from "../../../shared/gen/CallEvent.ts";
import type { CallEvents } from "../../../shared/gen/CallEvents.ts";
import type { CallView } from "../../../shared/gen/CallView.ts";
import { eventDetail, eventIcon, eventText } from "../../events.ts";
import { api } from "../../state.ts";
import { t } from "../../words.ts";

export function Story({ call }: { call: CallView }) {
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
