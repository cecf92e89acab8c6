// What a visitor sees of his line test: one button, a list of steps with advice beside what is wrong, a report to send.

import { alert, check, close, clock, refresh, send as sendIcon, signal } from "../../../shared/design/icons.ts";
import { Bars, Icon, Level, Notice, Select } from "../../../shared/design/parts.tsx";
import { LANGUAGES } from "../../../shared/i18n/index.ts";
import { bars } from "../../../shared/quality.ts";
import { useChanged } from "../../changed.ts";
import { ECHO_SECONDS, type LineTest, type Step } from "./test.ts";
import { Ways } from "./ways.tsx";
import { has, language, numeral, setLanguage, t, type Key } from "./words.ts";

const NAMES = { en: "English", sw: "Kiswahili" } as const;
const ICONS = { waiting: clock, running: signal, ok: check, warn: alert, failed: close, skipped: clock } as const;

interface Props {
  test: LineTest;
  /** Loudness of the microphone now. */
  level: () => number;
}

export function Page({ test, level }: Props) {
  useChanged(test);
  return (
    <main class="test" data-testid="preflight" data-phase={test.phase}>
      <header class="test-head">
        <div class="segments" role="group" aria-label={t("language")}>
          {LANGUAGES.map((one) => (
            <button
              key={one}
              class="segment"
              aria-pressed={one === language.value}
              lang={one}
              onClick={() => void setLanguage(one)}
            >
              {NAMES[one]}
            </button>
          ))}
        </div>
        <h1 class="title-large">{t("title")}</h1>
        {test.phase === "ready" && <p class="test-lead muted">{t("lead")}</p>}
      </header>
      {test.phase === "ready" && (
        <button class="button button-wide" data-testid="start" onClick={() => void test.run()}>
          {t("start")}
        </button>
      )}
      {test.phase === "running" && <Now test={test} level={level} />}
      {test.phase === "done" && <Verdict test={test} />}
      {test.phase !== "ready" && <Steps test={test} />}
      {test.phase === "done" && <Report test={test} />}
    </main>
  );
}

/** What the visitor is asked to do at this moment. */
function Now({ test, level }: Props) {
  const now = test.steps.find((step) => step.result === "running")?.step;
  const echo = now === "echo";
  const said =
    now === "microphone" ? t("say.microphone") : now === "level" ? t("say.level") : echo ? t("say.echo") : "";
  return (
    <section class="test-now" aria-label={t("progress")}>
      <p class="title-page" role="status">
        {said || t("running")}
      </p>
      {(now === "level" || echo) && (
        <p class="test-level">
          <span>{t("your_level")}</span>
          <Level read={level} name={t("your_level")} customer />
        </p>
      )}
      {now === "level" && <Microphone test={test} />}
      {echo && (
        <>
          <p class="test-level">
            <span>{t("echo_level")}</span>
            <Level read={() => test.echoLevel()} name={t("echo_level")} />
          </p>
          <p class="muted number">{t("say.echo.left", { n: ECHO_SECONDS - test.second })}</p>
          <progress class="progress" max={ECHO_SECONDS} value={test.second} aria-label={t("say.echo")} />
        </>
      )}
    </section>
  );
}

/** Which microphone, where there is a choice. */
function Microphone({ test }: { test: LineTest }) {
  if (test.microphones.length < 2) return null;
  return (
    <Select
      label={t("microphone")}
      value={test.microphone}
      options={test.microphones}
      onChange={(id) => void test.choose(id)}
    />
  );
}

function Verdict({ test }: { test: LineTest }) {
  const verdict = test.verdict === "skipped" ? "failed" : test.verdict;
  const score = test.figures.mos;
  return (
    <section class={`test-verdict is-${verdict}`} data-testid="verdict" data-verdict={verdict} role="status">
      <h2 class="title-page">
        <Icon d={ICONS[verdict]} />
        {t(`verdict.${verdict}`)}
      </h2>
      <p class="muted">{t(`verdict.${verdict}.hint`)}</p>
      {typeof score === "number" && (
        <p class="test-score">
          <span>{t("figure.mos")}</span>
          <Bars bars={bars(score)} word={t(`quality.${bars(score)}`)} />
        </p>
      )}
      <Microphone test={test} />
      <button class="button button-plain" data-testid="again" onClick={() => void test.run()}>
        <Icon d={refresh} />
        {t("again")}
      </button>
    </section>
  );
}

/** What the relay's row says beyond its state, once it is known. */
function Relay({ test, step }: { test: LineTest; step: Step }) {
  if (step.step !== "relay" || !test.figures.relay) return null;
  const open = step.result === "warn" && test.closed.length > 0;
  return (
    <>
      <Ways ways={test.figures.relay} say={t} />
      {open && <p class="test-advice muted test-open">{t("relay.open", { list: test.closed.join(", ") })}</p>}
    </>
  );
}

function Steps({ test }: { test: LineTest }) {
  return (
    <section aria-label={t("steps")}>
      <ol class="test-steps">
        {test.steps.map((step) => (
          <li key={step.step} class={`test-step is-${step.result}`} data-testid={step.step} data-result={step.result}>
            <Icon d={ICONS[step.result]} />
            <span class="medium">{t(`step.${step.step}`)}</span>
            <span class="test-state">{t(`state.${step.result}`)}</span>
            {(step.result === "warn" || step.result === "failed") && <p class="test-advice">{advice(step.code)}</p>}
            <Relay test={test} step={step} />
          </li>
        ))}
      </ol>
    </section>
  );
}

/** One sentence that says what to do. */
function advice(code: string | undefined): string {
  const key = `advice.${code}`;
  return has(key) ? t(key) : t("advice.generic");
}

function Report({ test }: { test: LineTest }) {
  const { figures } = test;
  return (
    <section class="test-report">
      {test.code && (
        <div class="test-send">
          {test.sending === "sent" ? (
            <div
              role="status"
              class="test-code"
              data-testid="sent"
              ref={(box) => box?.scrollIntoView({ block: "nearest" })}
            >
              <p>{t("sent")}</p>
              <p class="test-code-letters number" data-testid="code">
                {test.code.slice(0, 3)} {test.code.slice(3)}
              </p>
            </div>
          ) : (
            <>
              <button
                class="button button-wide"
                data-testid="send"
                disabled={test.sending === "sending"}
                onClick={() => void test.send()}
              >
                <Icon d={sendIcon} />
                {t(test.sending === "sending" ? "sending" : "send")}
              </button>
              {test.sending === "failed" && (
                <Notice kind="notice-warn" role="alert">
                  {t("send.failed")}
                </Notice>
              )}
              <p class="small muted">{t("send.note")}</p>
            </>
          )}
        </div>
      )}
      <details class="test-figures">
        <summary>{t("figures")}</summary>
        <dl class="pairs">
          <Figure name="figure.mos" value={figures.mos} show={(n) => t("figure.mos.value", { n: numeral(n, 1) })} />
          <Figure name="figure.rtt" value={figures.rttMs} show={ms} />
          <Figure name="figure.loss" value={figures.loss} show={(n) => t("percent", { n: numeral(n * 100, 1) })} />
          <Figure name="figure.jitter" value={figures.jitterMs} show={ms} />
          <Figure name="figure.signalling" value={figures.signallingMs} show={ms} />
          <Figure name="figure.ice" value={figures.iceMs} show={ms} />
          <Figure name="figure.dtls" value={figures.dtlsMs} show={ms} />
          <Figure name="figure.total" value={figures.totalMs} show={ms} />
          <dt>{t("figure.path")}</dt>
          <dd>
            {figures.path && figures.local
              ? `${t(`path.${figures.path}`)}, ${t(`kind.${figures.local}`)}`
              : t("unmeasured")}
          </dd>
          <dt>{t("figure.candidates")}</dt>
          <dd>{t("candidates", { ...figures.candidates })}</dd>
        </dl>
      </details>
    </section>
  );
}

const ms = (value: number): string => t("ms", { n: numeral(value) });

function Figure(props: { name: Key; value: number | null | undefined; show: (value: number) => string }) {
  return (
    <>
      <dt>{t(props.name)}</dt>
      <dd class="number">{typeof props.value === "number" ? props.show(props.value) : t("unmeasured")}</dd>
    </>
  );
}
