// Taking a node out of service is no slip of the finger: it says what becomes of the calls, until when, and asks why.

import { useState } from "preact/hooks";
import type { DrainState } from "../../../../shared/gen/DrainState.ts";
import { Confirm, Field } from "../../../command.tsx";
import { h } from "../../../house.ts";
import { wholeNumber } from "../../../words.ts";
import { MINUTES_MAX, MINUTES_MIN, MINUTES_USUAL, minutesOf, stageOf, type NodeDrain } from "./node.ts";

export function Ask({ node, state, close }: { node: NodeDrain; state: DrainState; close: () => void }) {
  const [text, setText] = useState(String(MINUTES_USUAL));
  // What was looked at when the dialog opened; a balancer may bring another node meanwhile.
  const [again] = useState(state.draining);
  const minutes = minutesOf(text);
  return (
    <Confirm
      name="node"
      title={h(again ? "node.ask_again" : "node.ask", { node: state.nodeId })}
      hint={
        stageOf({ ...state, draining: true }) === "drained"
          ? h("node.ask.hint_none")
          : h("node.ask.hint", { n: state.calls })
      }
      reason={{ label: h("admin.reason"), hint: h("admin.reason.hint") }}
      submit={{
        ...(again ? {} : { kind: "button-danger" }),
        label: h(again ? "node.deadline" : "node.drain"),
        disabled: minutes === undefined,
      }}
      act={async (reason) => minutes !== undefined && node.drain(minutes, reason)}
      refusal="outside"
      close={close}
    >
      <Field
        label={h("node.minutes")}
        hint={h("node.minutes.hint")}
        wrong={
          minutes === undefined ? h("settings.wrong", { min: MINUTES_MIN, max: wholeNumber(MINUTES_MAX) }) : undefined
        }
        testId="node-minutes"
        value={text}
        write={setText}
        number
      />
    </Confirm>
  );
}
