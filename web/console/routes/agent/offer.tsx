// The incoming call: who, from where, how long they have waited, and the ring that is the offer's deadline.

import { useEffect, useRef } from "preact/hooks";
import { clock as clockIcon, hash, phone } from "../../../shared/design/icons.ts";
import { Avatar, EverySecond, Icon } from "../../../shared/design/parts.tsx";
import { clock } from "../../../shared/format.ts";
import type { Offer } from "../../../shared/gen/Offer.ts";
import { t } from "../../words.ts";
import type { Desk } from "./desk.ts";

/** Seconds left from which the ring turns red. */
const LATE_SECONDS = 5;

export function Ring({ left, whole }: { left: number; whole: number }) {
  const share = whole > 0 ? Math.max(0, Math.min(100, (left / whole) * 100)) : 0;
  return (
    <span
      class={`ring ${left <= LATE_SECONDS ? "is-late" : ""}`}
      role="timer"
      data-testid="countdown"
      aria-label={t("seconds_left", { n: Math.ceil(left) })}
    >
      <svg viewBox="0 0 56 56" aria-hidden="true">
        <circle class="ring-track" cx="28" cy="28" r="26" />
        <circle
          class="ring-value"
          cx="28"
          cy="28"
          r="26"
          pathLength={100}
          stroke-dasharray={`${share.toFixed(1)} 100`}
        />
      </svg>
      <span class="ring-label">{Math.max(0, Math.ceil(left))}</span>
    </span>
  );
}

/** Who calls, or who asks about whom. */
export function offerTitle({ kind, customerName, fromName }: Offer): string {
  const customer = customerName || t("unknown_customer");
  return kind === "consult"
    ? t("offer.title_asks", { name: fromName || t("colleague"), customer })
    : t("offer.title", { name: customer });
}

export function OfferCard({ desk, offer }: { desk: Desk; offer: Offer }) {
  const card = useRef<HTMLElement>(null);
  const accepting = desk.stage.at === "accepting";
  const customer = offer.customerName || t("unknown_customer");
  const asked = offer.kind === "consult";
  // A colleague who asks is the caller; the customer is what it is about.
  const name = asked ? offer.fromName || t("colleague") : customer;
  const whole = (Date.parse(offer.expiresAt) - Date.parse(offer.offeredAt)) / 1000;
  useEffect(() => {
    // Focus on the card, not on a button: Enter answers by the page's key, and nothing is pressed by accident.
    card.current?.focus();
  }, []);
  return (
    <section
      class="offer"
      data-testid="offer"
      data-offer-id={offer.offerId}
      role="alertdialog"
      aria-label={offerTitle(offer)}
      tabIndex={-1}
      ref={card}
    >
      <div class="offer-head">
        <Avatar name={name} size="avatar-large" customer={!asked} />
        <div class="call-who">
          <h2 class="title-page clip">{name}</h2>
          <span class="muted">{asked ? t("offer.asks", { name: customer }) : t("offer.incoming")}</span>
        </div>
        <EverySecond>{() => <Ring left={(Date.parse(offer.expiresAt) - desk.now) / 1000} whole={whole} />}</EverySecond>
      </div>
      <ul class="offer-why">
        <li>
          <Icon d={hash} />
          {offer.queue}
        </li>
        <li>
          <Icon d={clockIcon} />
          <EverySecond>
            {() =>
              t(asked ? "offer.customer_waits" : "offer.waited", {
                time: clock((desk.now - Date.parse(asked ? offer.offeredAt : offer.enqueuedAt)) / 1000),
              })
            }
          </EverySecond>
        </li>
      </ul>
      <div class="offer-actions">
        <button
          class="button button-large"
          data-testid="offer-accept"
          disabled={accepting}
          onClick={() => void desk.accept()}
        >
          <Icon d={phone} />
          {t(accepting ? "offer.accepting" : "offer.answer")} <span class="key">Enter</span>
        </button>
        <button
          class="button button-plain button-large"
          data-testid="offer-reject"
          disabled={accepting}
          onClick={() => void desk.reject()}
        >
          {t("offer.decline")}
        </button>
      </div>
    </section>
  );
}
