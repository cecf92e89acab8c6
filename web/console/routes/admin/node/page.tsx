// /admin/node: whether this node takes calls, how far its emptying is, and how it is begun and undone.

import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { check, clock as clockIcon, lock, refresh } from "../../../../shared/design/icons.ts";
import { EverySecond, Icon, Notice } from "../../../../shared/design/parts.tsx";
import { clock } from "../../../../shared/format.ts";
import type { DrainState } from "../../../../shared/gen/DrainState.ts";
import { useCommand } from "../../../command.tsx";
import { h } from "../../../house.ts";
import { wholeNumber } from "../../../words.ts";
import { Frame, usePolled } from "../frame.tsx";
import { Ask } from "./ask.tsx";
import { NodeDrain, stageOf } from "./node.ts";
import "./node.css";

export function NodePage() {
  const node = usePolled((env) => new NodeDrain(env));
  const [asked, setAsked] = useState(false);
  const { state } = node;
  return (
    <Frame
      name="node"
      polled={node}
      title={h("node.title")}
      about={state && <span class="small muted">{state.nodeId}</span>}
      actions={state && <Actions node={node} state={state} ask={() => setAsked(true)} />}
      hint={h("node.hint")}
      unread={h("node.unread")}
      notices={
        node.moved &&
        state && (
          <Notice kind="notice-warn" role="alert">
            {h("node.moved", { node: state.nodeId })}
          </Notice>
        )
      }
    >
      {state && <Stage node={node} state={state} />}
      {state && asked && <Ask node={node} state={state} close={() => setAsked(false)} />}
    </Frame>
  );
}

function Actions({ node, state, ask }: { node: NodeDrain; state: DrainState; ask: () => void }) {
  const { busy, give } = useCommand();
  return (
    <>
      <button class="button button-plain" data-testid="node-drain" onClick={ask}>
        <Icon d={state.draining ? clockIcon : lock} small />
        {h(state.draining ? "node.deadline" : "node.drain")}
      </button>
      {state.draining && (
        <button class="button" data-testid="node-serve" disabled={busy} onClick={() => void give(() => node.serve())}>
          <Icon d={refresh} small />
          {h("node.serve")}
        </button>
      )}
    </>
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
        <p class="admin-hint">{h(`node.${stage}.hint`)}</p>
      </div>
      <dl class="node-figures">
        <Figure name={h(state.draining ? "node.calls_left" : "node.calls", { n: state.calls })}>
          {wholeNumber(state.calls)}
        </Figure>
        {stage === "draining" && (
          <Figure name={h("node.left")}>
            <EverySecond>{() => clock(node.secondsLeft ?? 0)}</EverySecond>
          </Figure>
        )}
        <Figure name={h("node.waiting")}>{wholeNumber(state.waiting)}</Figure>
        <Figure name={h("node.rooms", { n: state.rooms })}>{wholeNumber(state.rooms)}</Figure>
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
