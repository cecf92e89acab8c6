// /admin/node: whether this node takes calls, how far its emptying is, and how it is begun and undone.

import type { ComponentChildren } from "preact";
import { useLayoutEffect, useReducer, useState } from "preact/hooks";
import { browserClock } from "../../../../shared/clock.ts";
import { check, clock as clockIcon, left, lock, refresh } from "../../../../shared/design/icons.ts";
import { EverySecond, Icon, Notice } from "../../../../shared/design/parts.tsx";
import { clock } from "../../../../shared/format.ts";
import type { DrainState } from "../../../../shared/gen/DrainState.ts";
import { h } from "../../../house.ts";
import { api, leave, maySet } from "../../../state.ts";
import { t, timeOfDay, wholeNumber } from "../../../words.ts";
import { Confirm } from "./confirm.tsx";
import { NodeDrain, stageOf } from "./node.ts";
import "./node.css";

/** The node, as long as the page is shown. */
function useNode(): NodeDrain {
  const [node] = useState(
    () => new NodeDrain({ api, clock: browserClock, visible: () => !document.hidden, signedOut: leave }),
  );
  const [, redraw] = useReducer<number, void>((n) => n + 1, 0);
  useLayoutEffect(() => {
    const off = node.changed.subscribe(() => redraw());
    const seen = (): void => void (!document.hidden && node.seen());
    document.addEventListener("visibilitychange", seen);
    node.open();
    return () => {
      off();
      document.removeEventListener("visibilitychange", seen);
      node.close();
    };
  }, []);
  return node;
}

export function NodePage() {
  return maySet() ? <Shown /> : <Forbidden />;
}

function Shown() {
  const node = useNode();
  const [asked, setAsked] = useState(false);
  const { state } = node;
  return (
    <main class="page node" data-testid="node" aria-busy={!state && !node.stale}>
      <header class="page-head">
        <a class="icon-button" href="/admin" aria-label={h("node.back")} title={h("node.back")}>
          <Icon d={left} />
        </a>
        <h1 class="title-page">{h("node.title")}</h1>
        {state && <span class="small muted">{state.nodeId}</span>}
        {state && <Actions node={node} state={state} ask={() => setAsked(true)} />}
      </header>
      <Notices node={node} />
      {state && <Stage node={node} state={state} />}
      {state && asked && <Confirm node={node} state={state} close={() => setAsked(false)} />}
    </main>
  );
}

function Actions({ node, state, ask }: { node: NodeDrain; state: DrainState; ask: () => void }) {
  const [doing, setDoing] = useState(false);
  const serve = async (): Promise<void> => {
    setDoing(true);
    await node.serve();
    setDoing(false);
  };
  return (
    <span class="end">
      <button class="button button-plain" data-testid="node-drain" onClick={ask}>
        <Icon d={state.draining ? clockIcon : lock} small />
        {h(state.draining ? "node.deadline" : "node.drain")}
      </button>
      {state.draining && (
        <button class="button" data-testid="node-serve" disabled={doing} onClick={() => void serve()}>
          <Icon d={refresh} small />
          {h("node.serve")}
        </button>
      )}
    </span>
  );
}

function Notices({ node: { state, stale, failed, moved, readAt } }: { node: NodeDrain }) {
  return (
    <div class="node-notices">
      <p class="small muted node-hint">{h("node.hint")}</p>
      {stale && (
        <Notice kind="notice-warn" shape="lost" role="status">
          {state ? t("live.stale", { time: timeOfDay(new Date(readAt).toISOString()) }) : h("node.unread")}
        </Notice>
      )}
      {failed && (
        <Notice kind="notice-warn" role="alert">
          {h("node.failed")}
        </Notice>
      )}
      {moved && state && (
        <Notice kind="notice-warn" role="alert">
          {h("node.moved", { node: state.nodeId })}
        </Notice>
      )}
    </div>
  );
}

const SHAPES = {
  serving: { d: check, kind: "badge-ok" },
  draining: { d: clockIcon, kind: "badge-warn" },
  drained: { d: check, kind: "badge-outline" },
} as const;

function Stage({ node, state }: { node: NodeDrain; state: DrainState }) {
  const stage = stageOf(state);
  const { d, kind } = SHAPES[stage];
  return (
    <section class="node-stage" data-testid="node-stage" data-state={stage} aria-label={h("node.state")}>
      <div role="status">
        <span class={`badge ${kind}`}>
          <Icon d={d} />
          {h(`node.${stage}`)}
        </span>
        <p class="node-hint">{h(`node.${stage}.hint`)}</p>
      </div>
      <dl class="node-figures">
        <Figure name={h(state.draining ? "node.calls_left" : "node.calls")}>{wholeNumber(state.calls)}</Figure>
        {stage === "draining" && (
          <Figure name={h("node.left")}>
            <EverySecond>{() => clock(node.secondsLeft ?? 0)}</EverySecond>
          </Figure>
        )}
        <Figure name={h("node.waiting")}>{wholeNumber(state.waiting)}</Figure>
        <Figure name={h("node.rooms")}>{wholeNumber(state.rooms)}</Figure>
        {state.rooms > 0 && <Figure name={h("node.oldest")}>{clock(state.oldestSeconds)}</Figure>}
      </dl>
    </section>
  );
}

const Figure = ({ name, children }: { name: string; children: ComponentChildren }) => (
  <div>
    <dt class="small muted">{name}</dt>
    <dd class="figure-value">{children}</dd>
  </div>
);

function Forbidden() {
  return (
    <main class="page">
      <div class="idle" role="alert">
        <div>
          <h1 class="title-page">{t("forbidden")}</h1>
          <p class="muted">{t("forbidden.settings")}</p>
        </div>
      </div>
    </main>
  );
}
