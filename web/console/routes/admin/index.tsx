// /admin: what goes on now. Live calls are its first section.

import type { ComponentChildren, TargetedEvent } from "preact";
import { useLayoutEffect, useReducer, useState } from "preact/hooks";
import { browserClock } from "../../../shared/clock.ts";
import { down, gauge, globe, hash, headset, list, search, signal } from "../../../shared/design/icons.ts";
import { Icon, Notice } from "../../../shared/design/parts.tsx";
import { h } from "../../house.ts";
import { api, leave, maySet, path, query } from "../../state.ts";
import { t, timeOfDay } from "../../words.ts";
import "./admin.css";
import { Drawer } from "./drawer.tsx";
import { LiveCalls } from "./live-calls.ts";
import { NodePage } from "./node/page.tsx";
import { supervision } from "./open.ts";
import { mayRelay, RelayPage } from "./relay/page.tsx";
import { t as relayWord } from "./relay/words.ts";
import { shown, STATES, type Filter } from "./rows.ts";
import { Table } from "./table.tsx";

const NOTHING_SET: Filter = { words: "", queue: "", state: "", order: "longest" };

/** The list, as long as the page is shown. */
function useLive(): LiveCalls {
  const [calls] = useState(
    () => new LiveCalls({ api, clock: browserClock, visible: () => !document.hidden, signedOut: leave }),
  );
  const [, redraw] = useReducer<number, void>((n) => n + 1, 0);
  useLayoutEffect(() => {
    const watched = supervision();
    const offs = [
      calls.changed.subscribe(() => {
        if (!calls.stale) watched.seen(new Set(calls.calls.map(({ callId }) => callId)));
        redraw();
      }),
      watched.changed.subscribe(() => redraw()),
    ];
    const seen = (): void => void (!document.hidden && calls.seen());
    document.addEventListener("visibilitychange", seen);
    calls.open();
    return () => {
      for (const off of offs) off();
      document.removeEventListener("visibilitychange", seen);
      calls.close();
    };
  }, []);
  return calls;
}

/** The section that the path names; live calls otherwise. */
export default function AdminPage() {
  if (path.value === "/admin/relay") return <RelayPage />;
  return path.value === "/admin/node" ? <NodePage /> : <LivePage />;
}

function LivePage() {
  const calls = useLive();
  const [filter, setFilter] = useState(NOTHING_SET);
  const selected = query.value.get("call");
  const rows = shown(calls.calls, filter);
  const none = calls.asOf !== undefined && rows.length === 0;
  const unread = calls.stale && calls.asOf === undefined;
  return (
    <main class={`page live ${selected ? "has-drawer" : ""}`} data-testid="live">
      <header class="page-head">
        <h1 class="title-page">{t("live.title")}</h1>
        {calls.asOf !== undefined && <span class="count">{calls.calls.length}</span>}
        <span class="end">
          {maySet() && (
            <a class="button button-plain" href="/admin/node" data-testid="open-node">
              <Icon d={gauge} small />
              {h("node.open")}
            </a>
          )}
          {mayRelay() && (
            <a class="button button-plain" href="/admin/relay" data-testid="open-relay">
              <Icon d={globe} small />
              {relayWord("open")}
            </a>
          )}
        </span>
      </header>
      <Filters calls={calls} filter={filter} set={setFilter} />
      {calls.stale && (
        <div class="live-stale" data-testid="live-stale">
          <Notice kind="notice-warn" shape="lost" role="status">
            {unread ? t("live.unread") : t("live.stale", { time: timeOfDay(new Date(calls.asOf ?? 0).toISOString()) })}
          </Notice>
        </div>
      )}
      <div class="live-body">
        <div class="table-scroll" tabIndex={0} role="region" aria-label={t("live.title")}>
          {rows.length > 0 && <Table live={calls} rows={rows} selected={selected} supervision={supervision()} />}
          {none && <None filtered={calls.calls.length > 0} />}
        </div>
        {selected && <Drawer key={selected} calls={calls} callId={selected} supervision={supervision()} />}
      </div>
    </main>
  );
}

function None({ filtered }: { filtered: boolean }) {
  return (
    <div class="empty" role="status">
      <Icon d={headset} />
      <b class="strong">{t(filtered ? "qa.empty" : "live.empty")}</b>
      <span>{t(filtered ? "qa.empty.hint" : "live.empty.hint")}</span>
    </div>
  );
}

interface FiltersProps {
  calls: LiveCalls;
  filter: Filter;
  set: (filter: Filter) => void;
}

function Filters({ calls, filter, set }: FiltersProps) {
  const queues = [...new Set([...calls.calls.map(({ queue }) => queue), filter.queue])].filter(Boolean).sort();
  const some = filter.words || filter.queue || filter.state;
  return (
    <div class="filters" role="search">
      <span class="input-group">
        <Icon d={search} small />
        <input
          class="input"
          type="search"
          data-testid="live-search"
          placeholder={t("live.search")}
          aria-label={t("live.search")}
          value={filter.words}
          onInput={(event: TargetedEvent<HTMLInputElement>) => set({ ...filter, words: event.currentTarget.value })}
        />
      </span>
      <Choice d={hash} name={t("qa.queue_all")} value={filter.queue} set={(queue) => set({ ...filter, queue })}>
        <option value="">{t("qa.queue_all")}</option>
        {queues.map((queue) => (
          <option key={queue} value={queue}>
            {queue}
          </option>
        ))}
      </Choice>
      <Choice
        d={list}
        name={t("live.any_state")}
        value={filter.state}
        set={(state) => set({ ...filter, state: state as Filter["state"] })}
      >
        <option value="">{t("live.any_state")}</option>
        {[...STATES, "trouble" as const].map((state) => (
          <option key={state} value={state}>
            {t(`live.state.${state}`)}
          </option>
        ))}
      </Choice>
      <Choice
        d={signal}
        name={t("live.sort")}
        value={filter.order === "longest" ? "" : filter.order}
        set={(order) => set({ ...filter, order: order === "worst" ? "worst" : "longest" })}
      >
        <option value="">{t("live.sort.longest")}</option>
        <option value="worst">{t("live.sort.worst")}</option>
      </Choice>
      {some && (
        <button class="button button-quiet" onClick={() => set({ ...NOTHING_SET, order: filter.order })}>
          {t("qa.clear")}
        </button>
      )}
    </div>
  );
}

interface ChoiceProps {
  d: string;
  name: string;
  /** Empty for the choice that filters nothing. */
  value: string;
  set: (value: string) => void;
  children: ComponentChildren;
}

function Choice({ d, name, value, set, children }: ChoiceProps) {
  return (
    <span class={`filter-select ${value ? "is-set" : ""}`}>
      <Icon d={d} />
      <select
        value={value}
        aria-label={name}
        onChange={(event: TargetedEvent<HTMLSelectElement>) => set(event.currentTarget.value)}
      >
        {children}
      </select>
      <Icon d={down} />
    </span>
  );
}
