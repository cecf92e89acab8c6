// One line test in detail: what the visitor saw, and the figures of both sides apart.

import { alert, check, clock as clockIcon, close } from "../../../shared/design/icons.ts";
import { Icon, Notice } from "../../../shared/design/parts.tsx";
import type { Preflight } from "../../../shared/gen/Preflight.ts";
import { h } from "../../house.ts";
import { Details } from "../../lists.tsx";
import { dayAndTime, oneDigit, wholeNumber } from "../../words.ts";
import { spoken } from "./shape.ts";
import { Ways } from "../preflight/ways.tsx";
import { Verdict } from "./verdict.tsx";
import { advice, said } from "./words.ts";

const SHAPES = { ok: check, warn: alert, failed: close, skipped: clockIcon } as const;

export function Drawer({ test, shut }: { test: Preflight; shut: () => void }) {
  const code = spoken(test.code);
  return (
    <Details
      name="tests"
      label={h("tests.details", { code })}
      plain
      head={
        <span class="live-title">
          <h2 class="title-part number">{code}</h2>
          <span class="small muted number">{dayAndTime(test.createdAt)}</span>
        </span>
      }
      shut={shut}
    >
      <section class="live-part">
        <dl class="pairs">
          <dt>{h("tests.result")}</dt>
          <dd>
            <Verdict result={test.verdict} />
          </dd>
          <dt>{h("tests.who")}</dt>
          <dd>{test.who ?? h(`tests.via.${test.via}`)}</dd>
          {test.report && (
            <>
              <dt>{h("tests.device")}</dt>
              <dd>{test.report.browser}</dd>
            </>
          )}
        </dl>
      </section>
      {test.report ? <Steps test={test} /> : <Unsent />}
      <Figures test={test} />
    </Details>
  );
}

const Unsent = () => (
  <section class="live-part">
    <Notice role="status">{h("tests.unsent")}</Notice>
  </section>
);

function Steps({ test }: { test: Preflight }) {
  const steps = test.report?.steps ?? [];
  const ways = test.report?.figures.relay;
  return (
    <section class="live-part" aria-label={said("steps")}>
      <h3 class="title-small">{said("steps")}</h3>
      <ol class="tests-steps">
        {steps.map(({ step, result, code }) => (
          <li key={step} class={`tests-step is-${result}`}>
            <Icon d={SHAPES[result]} small />
            <span>{said(`step.${step}`)}</span>
            <span class="small muted">{said(`state.${result}`)}</span>
            {(result === "warn" || result === "failed") && <p class="small">{advice(code)}</p>}
            {step === "relay" && ways && <Ways ways={ways} say={said} />}
          </li>
        ))}
      </ol>
    </section>
  );
}

const ms = (value: number): string => `${wholeNumber(value)} ms`;

/** What was measured; the browser's and the server's figures are never merged. */
function Figures({ test }: { test: Preflight }) {
  const [browser, server] = [test.report?.figures, test.line];
  const lost = server ? server.packetsLost / Math.max(1, server.packetsLost + server.packetsReceived) : undefined;
  const rows: [string, number | null | undefined, number | null | undefined, (value: number) => string][] = [
    [said("figure.mos"), browser?.mos, server?.mos, oneDigit],
    [said("figure.rtt"), browser?.rttMs, server?.rttMs, ms],
    [said("figure.loss"), browser?.loss, lost, (value) => `${oneDigit(value * 100)} %`],
    [said("figure.jitter"), browser?.jitterMs, server?.jitterMs, ms],
    [said("figure.total"), browser?.totalMs, undefined, ms],
  ];
  const text = (value: number | null | undefined, show: (value: number) => string): string =>
    typeof value === "number" ? show(value) : "–";
  return (
    <section class="live-part" aria-label={said("figures")}>
      <table class="table tests-figures">
        <thead>
          <tr>
            <th scope="col">{said("figures")}</th>
            <th scope="col" class="is-number">
              {h("tests.by_browser")}
            </th>
            <th scope="col" class="is-number">
              {h("tests.by_server")}
            </th>
          </tr>
        </thead>
        <tbody>
          {rows.map(([name, here, there, show]) => (
            <tr key={name}>
              <th scope="row">{name}</th>
              <td class="is-number">{text(here, show)}</td>
              <td class="is-number">{text(there, show)}</td>
            </tr>
          ))}
        </tbody>
      </table>
      {browser && (
        <dl class="pairs">
          <dt>{said("figure.path")}</dt>
          <dd>
            {browser.path && browser.local
              ? `${said(`path.${browser.path}`)}, ${said(`kind.${browser.local}`)}`
              : said("unmeasured")}
          </dd>
          <dt>{said("figure.candidates")}</dt>
          <dd>{said("candidates", { ...browser.candidates })}</dd>
        </dl>
      )}
    </section>
  );
}
