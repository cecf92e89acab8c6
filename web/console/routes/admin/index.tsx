// /admin: what goes on now. Live calls are its first section.

import { useLayoutEffect, useState } from "preact/hooks";
import { gauge, globe, hash, headset, list, signal } from "../../../shared/design/icons.ts";
import { Icon } from "../../../shared/design/parts.tsx";
import { useChanged } from "../../changed.ts";
import { h } from "../../house.ts";
import { Choice, Nothing, Search } from "../../lists.tsx";
import { maySet, path, query } from "../../state.ts";
import { t } from "../../words.ts";
import "./admin.css";
import { Drawer } from "./drawer.tsx";
import { Stale, usePolled } from "./frame.tsx";
import { LiveCalls } from "./live-calls.ts";
import { NodePage } from "./node/page.tsx";
import { supervision } from "./open.ts";
import { RelayPage } from "./relay/page.tsx";
import { t as relayWord } from "./relay/words.ts";
import { shown, STATES, type Filter } from "./rows.ts";
import { Table } from "./table.tsx";

const NOTHING_SET: Filter = { words: "", queue: "", state: "", order: "longest" };

/** The list, as long as the page is shown. */
function useLive(): LiveCalls {
  const calls = usePolled((env) => new LiveCalls(env));
  const watched = supervision();
  useChanged(watched);
  useLayoutEffect(
    () =>
      calls.changed.subscribe(() => {
        if (!calls.stale) watched.seen(new Set(calls.calls.map(({ callId }) => callId)));
      }),
    [],
  );
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
  return (
    <main class={`page live ${selected ? "has-drawer" : ""}`} data-testid="live">
      <header class="page-head">
        <h1 class="title-page">{t("live.title")}</h1>
        {calls.asOf !== undefined && <span class="count">{calls.calls.length}</span>}
        <span class="end">
          {maySet() && (
            <>
              <a class="button button-plain" href="/admin/node" data-testid="open-node">
                <Icon d={gauge} small />
                {h("node.open")}
              </a>
              <a class="button button-plain" href="/admin/relay" data-testid="open-relay">
                <Icon d={globe} small />
                {relayWord("open")}
              </a>
            </>
          )}
        </span>
      </header>
      <Filters calls={calls} filter={filter} set={setFilter} />
      {calls.stale && (
        <div class="live-stale" data-testid="live-stale">
          <Stale polled={calls} unread={t("live.unread")} />
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

const None = ({ filtered }: { filtered: boolean }) => (
  <Nothing
    d={headset}
    title={t(filtered ? "qa.empty" : "live.empty")}
    hint={t(filtered ? "qa.empty.hint" : "live.empty.hint")}
  />
);

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
      <Search
        testId="live-search"
        label={t("live.search")}
        value={filter.words}
        write={(words) => set({ ...filter, words })}
      />
      <Choice d={hash} name={t("qa.queue_all")} value={filter.queue} set={(queue) => set({ ...filter, queue })}>
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
        {[...STATES, "trouble" as const].map((state) => (
          <option key={state} value={state}>
            {t(`live.state.${state}`)}
          </option>
        ))}
      </Choice>
      <Choice
        d={signal}
        name={t("live.sort")}
        usual={t("live.sort.longest")}
        value={filter.order === "longest" ? "" : filter.order}
        set={(order) => set({ ...filter, order: order === "worst" ? "worst" : "longest" })}
      >
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
