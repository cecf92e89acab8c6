// The ways to the relay in one row: a mark, the way's name and a word each. The visitor's page and support's show the same.

import { check, close, minus } from "../../../shared/design/icons.ts";
import { Icon } from "../../../shared/design/parts.tsx";
import type { PreflightRelay } from "../../../shared/gen/PreflightRelay.ts";
import { WAYS } from "./relay.ts";
import type { Key } from "./words.ts";
import "./ways.css";

const MARKS = { ok: check, failed: close, not_offered: minus } as const;

/** `say`: the words of the page that shows it. */
export function Ways({ ways, say }: { ways: PreflightRelay; say: (key: Key) => string }) {
  return (
    <ul class="ways" data-testid="ways">
      {WAYS.map((way) => (
        <li key={way} class={`way is-${ways[way]}`} data-testid={`way-${way}`} data-way={ways[way]}>
          <Icon d={MARKS[ways[way]]} small />
          <span>
            <span class="medium">{say(`path.${way}`)}</span> {say(`way.${ways[way]}`)}
          </span>
        </li>
      ))}
    </ul>
  );
}
