// How a line test went, as a word, a shape and a colour.

import { alert, check, clock, close } from "../../../shared/design/icons.ts";
import { Icon } from "../../../shared/design/parts.tsx";
import type { PreflightResult } from "../../../shared/gen/PreflightResult.ts";
import { h } from "../../house.ts";

const SHAPES = {
  ok: { d: check, kind: "badge-ok" },
  warn: { d: alert, kind: "badge-warn" },
  failed: { d: close, kind: "badge-danger" },
  skipped: { d: clock, kind: "badge-outline" },
} as const;

/** A visitor may never have sent his report. */
export function Verdict({ result }: { result: PreflightResult | null | undefined }) {
  const { d, kind } = SHAPES[result ?? "skipped"];
  return (
    <span class={`badge ${kind}`}>
      <Icon d={d} />
      {h(result && result !== "skipped" ? `tests.verdict.${result}` : "tests.verdict.none")}
    </span>
  );
}
