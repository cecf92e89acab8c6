// The list of calls: newest first, filters in the address so that a list can be kept and shared.

import { useEffect, useState } from "preact/hooks";
import type { ComponentChildren } from "preact";
import { calendar, check, hash, headset, signal } from "../../../shared/design/icons.ts";
import { Avatar } from "../../../shared/design/parts.tsx";
import { clock } from "../../../shared/format.ts";
import type { CallPage } from "../../../shared/gen/CallPage.ts";
import type { CallRow } from "../../../shared/gen/CallRow.ts";
import type { Staff } from "../../../shared/gen/Staff.ts";
import type { StaffList } from "../../../shared/gen/StaffList.ts";
import { Choice, Nothing, Pages, Search, useAnswer } from "../../lists.tsx";
import { api, go, query } from "../../state.ts";
import { dayAndTime, oneDigit, t, timeOfDay, type Key } from "../../words.ts";
import "./list.css";
import { worst } from "./shape.ts";

/** Rows of one page. */
const PAGE = 50;
/** Time to wait after a key before searching, milliseconds. */
const SEARCH_AFTER_MS = 300;

const STATUSES = ["completed", "abandoned", "failed", "answered", "queued"] as const;
const QUALITIES = [
  { id: "4", key: "qa.quality_fair" },
  { id: "3.5", key: "qa.quality_weak" },
  { id: "2.8", key: "qa.quality_bad" },
] as const;

/** What the address says; an empty word sets no filter. */
const wish = (name: string): string => query.value.get(name) ?? "";

/** Changes the address, and starts at the newest page again unless the page itself is meant. */
function setWish(name: string, value: string): void {
  const next = new URLSearchParams(query.value);
  if (value) next.set(name, value);
  else next.delete(name);
  if (name !== "before") next.delete("before");
  const text = next.toString();
  go(text ? `/qa?${text}` : "/qa", true);
}

/** The request for what the address says. */
export function requestOf(wishes: URLSearchParams, now: Date): string {
  const out = new URLSearchParams({ limit: String(PAGE) });
  for (const name of ["status", "agent", "queue", "maxMos", "search", "before"]) {
    const value = wishes.get(name);
    if (value) out.set(name, value);
  }
  const when = wishes.get("when");
  if (when === "today" || when === "week") {
    const from = new Date(now);
    from.setHours(0, 0, 0, 0);
    if (when === "week") from.setDate(from.getDate() - 6);
    out.set("from", from.toISOString());
  }
  return `/api/support/calls?${out.toString()}`;
}

export function CallList() {
  const shown = useAnswer<CallPage>(requestOf(query.value, new Date()));
  const [queues, setQueues] = useState<string[]>([]);
  const [staff, setStaff] = useState<Staff[]>([]);
  useEffect(() => {
    void api.get<StaffList>("/api/support/staff").then((reply) => reply.ok && setStaff(reply.value.staff));
  }, []);
  useEffect(() => {
    if (shown.at !== "page") return;
    // The queues of the rows that were seen; there is no list of queues to ask for.
    const seen = shown.page.calls.map((row) => row.queue);
    setQueues((before) => [...new Set([...before, ...seen, wish("queue")])].filter(Boolean).sort());
  }, [shown]);
  const rows = shown.at === "page" ? shown.page.calls : [];
  const next = shown.at === "page" ? shown.page.next : undefined;
  return (
    <main class="page" data-testid="qa-list">
      <header class="page-head">
        <h1 class="title-page">{t("qa.title")}</h1>
      </header>
      <Filters queues={queues} staff={staff} />
      {shown.at === "failed" && (
        <p class="field-error qa-message" role="alert">
          {t("qa.error")}
        </p>
      )}
      <div class="table-scroll" tabIndex={0} role="region" aria-label={t("qa.title")}>
        {rows.length > 0 && <Table rows={rows} />}
        {shown.at === "page" && rows.length === 0 && <Nothing title={t("qa.empty")} hint={t("qa.empty.hint")} />}
      </div>
      <Pages
        newer={wish("before") ? () => setWish("before", "") : undefined}
        older={next ? () => setWish("before", next) : undefined}
      />
    </main>
  );
}

function Filters({ queues, staff }: { queues: string[]; staff: Staff[] }) {
  const some = ["when", "status", "agent", "queue", "maxMos", "search"].some((name) => wish(name));
  return (
    <div class="filters" role="search">
      <SearchBox />
      <Wish name="when" d={calendar} all={t("qa.any_time")}>
        <option value="today">{t("qa.today")}</option>
        <option value="week">{t("qa.day7")}</option>
      </Wish>
      <Wish name="status" d={check} all={t("qa.any_status")}>
        {STATUSES.map((status) => (
          <option key={status} value={status}>
            {t(`qa.status.${status}`)}
          </option>
        ))}
      </Wish>
      <Wish name="queue" d={hash} all={t("qa.queue_all")}>
        {queues.map((queue) => (
          <option key={queue} value={queue}>
            {queue}
          </option>
        ))}
      </Wish>
      {staff.length > 0 && (
        <Wish name="agent" d={headset} all={t("qa.agent_all")}>
          {staff.map((one) => (
            <option key={one.id} value={one.id}>
              {one.staffName}
            </option>
          ))}
        </Wish>
      )}
      <Wish name="maxMos" d={signal} all={t("qa.any_quality")}>
        {QUALITIES.map(({ id, key }) => (
          <option key={id} value={id}>
            {t(key)}
          </option>
        ))}
      </Wish>
      {some && (
        <button class="button button-quiet" onClick={() => go("/qa", true)}>
          {t("qa.clear")}
        </button>
      )}
    </div>
  );
}

function SearchBox() {
  const [text, setText] = useState(wish("search"));
  useEffect(() => {
    if (text === wish("search")) return;
    const id = setTimeout(() => setWish("search", text.trim()), SEARCH_AFTER_MS);
    return () => clearTimeout(id);
  }, [text]);
  const cleared = wish("search") === "";
  useEffect(() => {
    if (cleared) setText("");
  }, [cleared]);
  return <Search testId="qa-search" label={t("qa.search")} value={text} write={setText} />;
}

/** A filter whose choice is in the address. */
const Wish = (props: { name: string; d: string; all: string; children: ComponentChildren }) => (
  <Choice
    d={props.d}
    name={props.all}
    value={wish(props.name)}
    set={(value) => setWish(props.name, value)}
    testId={`qa-filter-${props.name}`}
  >
    {props.children}
  </Choice>
);

function Table({ rows }: { rows: CallRow[] }) {
  return (
    <table class="table table-roomy qa-table">
      <thead>
        <tr>
          <th>{t("qa.time")}</th>
          <th>{t("customer")}</th>
          <th>{t("agent")}</th>
          <th class="qa-queue">{t("queue")}</th>
          <th class="is-number">{t("qa.wait")}</th>
          <th class="is-number">{t("qa.length")}</th>
          <th>{t("qa.quality")}</th>
          <th>{t("qa.outcome")}</th>
        </tr>
      </thead>
      <tbody>
        {rows.map((row) => (
          <Row key={row.callId} row={row} />
        ))}
      </tbody>
    </table>
  );
}

function Row({ row }: { row: CallRow }) {
  const name = row.customerName || t("unknown_customer");
  const today = new Date(row.createdAt).toDateString() === new Date().toDateString();
  const score = worst(row);
  return (
    <tr data-testid="qa-row" data-call-id={row.callId}>
      <td class="number qa-at">{today ? timeOfDay(row.createdAt) : dayAndTime(row.createdAt)}</td>
      <td class="qa-who">
        <span class="cell-person">
          <Avatar name={name} size="avatar-small" />
          <a class="row-link clip" href={`/qa/calls/${row.callId}`}>
            {name}
          </a>
        </span>
      </td>
      <td class="qa-agent">{row.agentName ?? "–"}</td>
      <td class="muted qa-queue">{row.queue}</td>
      <td class="is-number qa-times">
        <span class="qa-word">{t("qa.wait")} </span>
        {clock(row.waitSeconds)}
      </td>
      <td class={`is-number qa-times ${row.talkSeconds == null ? "is-none" : ""}`}>
        <span class="qa-word">{t("qa.length")} </span>
        {row.talkSeconds == null ? "–" : clock(row.talkSeconds)}
      </td>
      <td class={`qa-score ${score === undefined ? "is-none" : ""}`}>
        {score === undefined ? (
          "–"
        ) : (
          <span class="mos">
            {oneDigit(score)}
            <meter
              class="meter"
              aria-label={t("qa.quality")}
              min={1}
              max={4.5}
              low={2.8}
              high={3.5}
              optimum={4.5}
              value={score}
            />
          </span>
        )}
      </td>
      <td class="qa-end">
        <Outcome row={row} />
      </td>
    </tr>
  );
}

const REASONS = [
  "agent_hangup",
  "customer_hangup",
  "customer_lost",
  "drain",
  "initiated_timeout",
  "internal",
  "media_failed",
  "media_lost",
  "node_lost",
  "queue_timeout",
  "staff_hangup",
  "too_long",
] as const;

/** Why a call ended, in words; undefined for a reason that has none. */
export function reasonText(reason: string | null | undefined): string | undefined {
  const known = REASONS.find((one) => one === reason);
  return known && t(`qa.reason.${known}`);
}

/** Ends that were nobody's wish: worth a colour. */
const BAD_ENDS: readonly string[] = ["media_lost", "media_failed", "node_lost", "internal", "initiated_timeout"];

export function Outcome({ row }: { row: Pick<CallRow, "status" | "endReason"> }) {
  const status = t(`qa.status.${row.status}` as Key);
  const reason = reasonText(row.endReason);
  const bad = row.status === "failed" || BAD_ENDS.includes(row.endReason ?? "");
  const kind = bad ? "badge-danger" : row.status === "abandoned" ? "badge-warn" : "badge-outline";
  return (
    <span class={`badge ${kind}`} title={status}>
      {bad || row.status === "abandoned" ? (reason ?? status) : status}
    </span>
  );
}
