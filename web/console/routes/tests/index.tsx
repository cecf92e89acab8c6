// /admin/tests: what came of line tests, found by the code that a visitor reads out.

import { useState } from "preact/hooks";
import { Notice } from "../../../shared/design/parts.tsx";
import type { Preflight } from "../../../shared/gen/Preflight.ts";
import type { PreflightPage } from "../../../shared/gen/PreflightPage.ts";
import { h } from "../../house.ts";
import { Nothing, Pages, Search, useAnswer } from "../../lists.tsx";
import { go, query } from "../../state.ts";
import { dayAndTime, oneDigit, t, timeOfDay, wholeNumber } from "../../words.ts";
import "../admin/admin.css";
import { Drawer } from "./drawer.tsx";
import { LinkButton, LinkForm } from "./link.tsx";
import { codeOf, rttOf, scoreOf, spoken, troublesOf } from "./shape.ts";
import "./tests.css";
import { Verdict } from "./verdict.tsx";
import { advice } from "./words.ts";

/** Rows of one page. */
const PAGE = 50;

/** The address with other names in it; `undefined` takes one out. */
function addressOf(changes: Record<string, string | undefined>): string {
  const next = new URLSearchParams(query.value);
  for (const [name, value] of Object.entries(changes)) {
    if (value) next.set(name, value);
    else next.delete(name);
  }
  const text = next.toString();
  return text ? `/admin/tests?${text}` : "/admin/tests";
}

const wish = (changes: Record<string, string | undefined>): void => go(addressOf(changes), true);

const shut = (): void => wish({ test: undefined });

/** The request for what the address says. */
export function requestOf(wishes: URLSearchParams): string {
  const out = new URLSearchParams({ limit: String(PAGE) });
  for (const name of ["code", "before"]) {
    const value = wishes.get(name);
    if (value) out.set(name, value);
  }
  return `/api/support/preflight?${out.toString()}`;
}

export default function TestsPage() {
  const shown = useAnswer<PreflightPage>(requestOf(query.value));
  const [linking, setLinking] = useState(false);
  const rows = shown.at === "page" ? shown.page.preflights : [];
  const next = shown.at === "page" ? shown.page.next : undefined;
  const selected = rows.find(({ preflightId }) => preflightId === query.value.get("test"));
  return (
    <main class={`page live tests ${selected ? "has-drawer" : ""}`} data-testid="tests">
      <header class="page-head">
        <h1 class="title-page">{h("tests.title")}</h1>
        <span class="end">
          <LinkButton open={linking} toggle={() => setLinking(!linking)} />
        </span>
      </header>
      {linking && (
        <div class="link-panel">
          <LinkForm />
        </div>
      )}
      <div class="filters" role="search">
        <CodeBox />
      </div>
      {shown.at === "failed" && (
        <div class="live-stale">
          <Notice kind="notice-warn" role="alert">
            {h("tests.error")}
          </Notice>
        </div>
      )}
      <div class="live-body">
        <div class="table-scroll" tabIndex={0} role="region" aria-label={h("tests.title")}>
          {rows.length > 0 && <Table rows={rows} selected={selected} />}
          {shown.at === "page" && rows.length === 0 && (
            <Nothing title={h("tests.empty")} hint={h("tests.empty.hint")} />
          )}
        </div>
        {selected && <Drawer test={selected} shut={shut} />}
      </div>
      <Pages
        newer={query.value.get("before") ? () => wish({ before: undefined, test: undefined }) : undefined}
        older={next ? () => wish({ before: next, test: undefined }) : undefined}
      />
    </main>
  );
}

/** A whole code is looked for as soon as it is there; an empty field shows all again. */
function CodeBox() {
  const [text, setText] = useState(query.value.get("code") ?? "");
  const write = (typed: string): void => {
    setText(typed);
    const code = codeOf(typed);
    if (code || typed.trim() === "") wish({ code, before: undefined, test: undefined });
  };
  return <Search testId="tests-code" label={h("tests.code")} value={text} write={write} />;
}

function Table({ rows, selected }: { rows: Preflight[]; selected: Preflight | undefined }) {
  return (
    <table class="table table-roomy tests-table">
      <thead>
        <tr>
          <th scope="col">{t("qa.time")}</th>
          <th scope="col">{h("tests.result")}</th>
          <th scope="col" class="is-number">
            {t("quality.score")}
          </th>
          <th scope="col" class="is-number">
            {t("quality.delay")}
          </th>
          <th scope="col" class="tests-advice">
            {h("tests.advice")}
          </th>
          <th scope="col" class="tests-who">
            {h("tests.who")}
          </th>
          <th scope="col" class="tests-device">
            {h("tests.device")}
          </th>
        </tr>
      </thead>
      <tbody>
        {rows.map((row) => (
          <Row key={row.preflightId} row={row} chosen={row === selected} />
        ))}
      </tbody>
    </table>
  );
}

function Row({ row, chosen }: { row: Preflight; chosen: boolean }) {
  const today = new Date(row.createdAt).toDateString() === new Date().toDateString();
  const [score, rtt, [trouble]] = [scoreOf(row), rttOf(row), troublesOf(row)];
  return (
    <tr class={chosen ? "is-selected" : ""} data-testid="tests-row" aria-current={chosen ? "true" : undefined}>
      <td class="tests-when">
        <a
          class="row-link number"
          href={addressOf({ test: row.preflightId })}
          aria-label={h("tests.details", { code: spoken(row.code) })}
        >
          {spoken(row.code)}
        </a>
        <span class="small muted number">{today ? timeOfDay(row.createdAt) : dayAndTime(row.createdAt)}</span>
      </td>
      <td class="tests-verdict">
        <Verdict result={row.verdict} />
      </td>
      <td class="is-number tests-score">{score === undefined ? "–" : oneDigit(score)}</td>
      <td class="is-number tests-rtt">{rtt === undefined ? "–" : `${wholeNumber(rtt)} ms`}</td>
      <td class={`tests-advice ${trouble ? "" : "is-none"}`}>
        <span class="clip">{trouble ? advice(trouble.code) : "–"}</span>
      </td>
      <td class="tests-who muted">
        <span class="clip">{row.who ?? h(`tests.via.${row.via}`)}</span>
      </td>
      <td class="tests-device muted">
        <span class="clip">{row.report?.browser ?? "–"}</span>
      </td>
    </tr>
  );
}
