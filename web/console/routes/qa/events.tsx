// The call's history beside its sound: what happened when, a press plays from there.

import { offline } from "../../../shared/design/icons.ts";
import { Icon } from "../../../shared/design/parts.tsx";
import { clock, offset } from "../../../shared/format.ts";
import type { CallEvent } from "../../../shared/gen/CallEvent.ts";
import type { CallView } from "../../../shared/gen/CallView.ts";
import { eventDetail, eventIcon, eventIsBad, eventText, type EventIcon } from "../../events.ts";
import { t } from "../../words.ts";
import { SIDES, type Both } from "./charts.tsx";
import { useFollow } from "./follow.ts";
import { reasonText } from "./list.tsx";
import { offsetOf, type Span } from "./shape.ts";

interface Line {
  key: string;
  ms: number;
  icon: EventIcon;
  text: string;
  detail: string;
  bad: boolean;
}

export function Events(props: {
  call: CallView;
  events: CallEvent[];
  weak: Both<Span[]>;
  origin: number;
  positionMs: number;
  seek: ((ms: number) => void) | undefined;
}) {
  const { call, events, weak, origin, positionMs, seek } = props;
  const lines: Line[] = events.map((event) => ({
    key: String(event.seq),
    ms: offsetOf(event, origin),
    icon: eventIcon(event.kind),
    text: eventText(event),
    detail: detailOf(event, call),
    bad: eventIsBad(event),
  }));
  for (const side of SIDES) {
    for (const span of weak[side]) {
      lines.push({
        key: `weak-${side}-${span.fromMs}`,
        ms: span.fromMs,
        icon: { d: offline, turned: false },
        text: t("qa.weak_span", { who: t(side) }),
        detail: t("qa.seconds", { n: Math.round((span.toMs - span.fromMs) / 1000) }),
        bad: true,
      });
    }
  }
  lines.sort((a, b) => a.ms - b.ms);
  const now = positionMs > 0 ? lines.findLast((line) => line.ms <= positionMs)?.key : undefined;
  const list = useFollow<HTMLOListElement>(now);
  return (
    <section aria-label={t("events")}>
      <div class="part-head part-head-tight">
        <h2 class="title-part">{t("events")}</h2>
      </div>
      <ol class="events" data-testid="qa-events" tabIndex={0} ref={list}>
        {lines.map((line) => (
          <li key={line.key}>
            <button
              class={`event ${line.bad ? "event-bad" : ""} ${line.key === now ? "is-now" : ""}`}
              disabled={!seek}
              aria-current={line.key === now ? "true" : undefined}
              onClick={() => seek?.(Math.max(0, line.ms))}
            >
              <time>{offset(line.ms)}</time>
              <Icon {...line.icon} />
              <b>{line.text}</b>
              <span class="muted clip">{line.detail}</span>
            </button>
          </li>
        ))}
      </ol>
    </section>
  );
}

/** The most useful fact beside an event's name. */
function detailOf(event: CallEvent, call: CallView): string {
  if (event.kind === "call.answered" && call.enqueuedAt) {
    const waited = (Date.parse(event.at) - Date.parse(call.enqueuedAt)) / 1000;
    return t("qa.after", { time: clock(waited), queue: call.queue });
  }
  const reason = event.data["endReason"];
  return (typeof reason === "string" ? reasonText(reason) : undefined) ?? eventDetail(event);
}
