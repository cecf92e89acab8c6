// One call to listen to: waves, quality, player, events, the ten-second table, and what is known of the recording.

import { useEffect, useMemo, useState } from "preact/hooks";
import { left, shield } from "../../../shared/design/icons.ts";
import { Icon, Notice } from "../../../shared/design/parts.tsx";
import { clock } from "../../../shared/format.ts";
import type { CallEvent } from "../../../shared/gen/CallEvent.ts";
import type { CallEvents } from "../../../shared/gen/CallEvents.ts";
import type { CallView } from "../../../shared/gen/CallView.ts";
import type { Quality } from "../../../shared/gen/Quality.ts";
import type { Recording } from "../../../shared/gen/Recording.ts";
import type { Recordings } from "../../../shared/gen/Recordings.ts";
import type { VoiceWaveform } from "../../../shared/gen/VoiceWaveform.ts";
import type { Waveform } from "../../../shared/gen/Waveform.ts";
import { api } from "../../state.ts";
import { dayAndTime, oneDigit, t, wholeNumber, type Key } from "../../words.ts";
import type { Both, Side } from "./charts.tsx";
import { Events } from "./events.tsx";
import { useFollow } from "./follow.ts";
import { Outcome } from "./list.tsx";
import { usePictures } from "./pictures.ts";
import { Player, usePlayback, type Playback } from "./player.tsx";
import { Scores } from "./scores.tsx";
import { fileSize, heardOf, LIMITS, mean, ROW_SECONDS, rowsOf, samplesOf, weakSpans, type Sample } from "./shape.ts";
import { Tracks } from "./tracks.tsx";
import { partName, useVoices, Voices } from "./voices.tsx";
import type { Wave } from "./wave.ts";

/** A recording that is still being written is asked for again after this time, milliseconds. */
const AGAIN_MS = 3000;

interface Loaded {
  call: CallView;
  events: CallEvent[];
  quality: Quality;
  recording: Recording | undefined;
}

/** The recording that can be played, or the newest that exists. */
const pick = (recordings: readonly Recording[]): Recording | undefined =>
  recordings.find((one) => one.state === "stored") ?? recordings.at(-1);

async function load(callId: string): Promise<Loaded | undefined> {
  const base = `/api/support/call/${callId}`;
  const [call, events, quality, recordings] = await Promise.all([
    api.get<CallView>(base),
    api.get<CallEvents>(`${base}/events`),
    api.get<Quality>(`${base}/quality`),
    api.get<Recordings>(`${base}/recordings`),
  ]);
  if (!call.ok) return undefined;
  return {
    call: call.value,
    events: events.ok ? events.value.events : [],
    quality: quality.ok ? quality.value : { tracks: [], heard: [] },
    recording: recordings.ok ? pick(recordings.value.recordings) : undefined,
  };
}

export function Review({ callId }: { callId: string }) {
  const [loaded, setLoaded] = useState<Loaded | null>();
  useEffect(() => {
    let gone = false;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const read = (): void =>
      void load(callId).then((found) => {
        if (gone) return;
        setLoaded(found ?? null);
        const state = found?.recording?.state;
        if (state === "recording" || state === "finalising") timer = setTimeout(read, AGAIN_MS);
      });
    read();
    return () => {
      gone = true;
      clearTimeout(timer);
    };
  }, [callId]);
  if (loaded === undefined) return <main class="page" aria-busy="true" aria-label={t("qa.loading")} />;
  if (loaded === null) {
    return (
      <main class="page">
        <div class="idle" role="alert">
          <p>{t("qa.missing")}</p>
          <a class="button button-plain" href="/qa">
            {t("qa.back")}
          </a>
        </div>
      </main>
    );
  }
  return <CallPage {...loaded} />;
}

function CallPage({ call, events, quality, recording }: Loaded) {
  const ready = recording?.state === "stored";
  const waveUrl = ready ? recording.waveformUrl : "";
  const [waves, drawAgain] = usePictures<Waveform>(waveUrl);
  const wave = waves[waveUrl] ?? NOT_DRAWN;
  const playback = usePlayback(ready ? recording.audioUrl : undefined);
  const voices = useMemo(() => (ready ? recording.voices : []), [ready, recording]);
  // The recording's own picture first: whoever waits sees most of the call soonest.
  const first = wave.at === "drawn" || wave.at === "failed";
  const [voiceWaves, drawVoicesAgain] = usePictures<VoiceWaveform>(
    first ? voices.map((voice) => voice.waveformUrl).join(" ") : "",
  );
  const [silent, setSilent] = useState<number[]>([]);
  useVoices(playback.audio, voices, silent);
  const [side, setSide] = useState<Side>("customer");
  const samples = useMemo(() => ofBoth((one) => samplesOf(quality.tracks, one)), [quality]);
  const heard = useMemo(() => ofBoth((one) => heardOf(quality.heard, one)), [quality]);
  const weak = useMemo(() => ofBoth((one) => weakSpans(samples[one])), [samples]);
  const origin = Date.parse(recording?.startedAt ?? call.answeredAt ?? call.createdAt);
  const durationMs = lengthOf(call, recording, wave, playback.durationMs, samples[side]);
  useSpaceKey(playback);
  const seek = ready ? playback.seek : undefined;
  const names = { customer: call.customerName || t("unknown_customer"), agent: call.agentName ?? t("agent") };
  return (
    <main class="page" data-testid="qa-call" data-call-id={call.callId}>
      <Head call={call} durationMs={durationMs} />
      <div class="qa-call">
        <div class="qa-main">
          {playback.fault && (
            <div class="qa-message">
              <Notice kind="notice-warn" role="alert">
                {t("qa.play_failed", { code: playback.fault })}
              </Notice>
            </div>
          )}
          {wave.at === "failed" && (
            <div class="qa-message" data-testid="qa-wave-failed">
              <Notice role="status">
                {t("qa.wave_failed")}{" "}
                <button class="button button-plain" onClick={drawAgain}>
                  {t("qa.wave_again")}
                </button>
              </Notice>
            </div>
          )}
          {durationMs > 0 && (
            <Tracks
              durationMs={durationMs}
              positionMs={playback.positionMs}
              sounds={recording !== undefined && recording.state !== "failed"}
              wave={wave}
              samples={samples}
              heard={heard}
              weak={weak}
              names={names}
              onSeek={seek}
            />
          )}
          <Voices
            voices={voices}
            waves={voiceWaves}
            drawAgain={drawVoicesAgain}
            durationMs={durationMs}
            positionMs={playback.positionMs}
            silent={silent}
            setSilent={setSilent}
            callId={call.callId}
          />
          {ready ? (
            <Player
              playback={playback}
              durationMs={durationMs}
              url={recording.audioUrl}
              name={`call-${call.callId.slice(0, 8)}.ogg`}
            />
          ) : (
            <div class="qa-message">
              <Notice role="status">
                {t(recording && recording.state !== "failed" ? "qa.not_ready" : "qa.no_recording")}
              </Notice>
            </div>
          )}
          <Lines call={call} names={names} />
          <div class="qa-below">
            <Events
              call={call}
              events={events}
              weak={weak}
              origin={origin}
              positionMs={playback.positionMs}
              seek={seek}
            />
            <TenSeconds
              samples={samples[side]}
              side={side}
              setSide={setSide}
              positionMs={playback.positionMs}
              seek={seek}
            />
          </div>
          <Scores quality={quality} names={names} />
          {recording && <Certificate recording={recording} names={names} />}
        </div>
      </div>
    </main>
  );
}

const NOT_DRAWN: Wave = { at: "none" };

const ofBoth = <T,>(make: (side: Side) => T): Both<T> => ({ customer: make("customer"), agent: make("agent") });

/** Length of the axis: the recording's, as exactly as it is known; the call's when there is none. */
function lengthOf(
  call: CallView,
  recording: Recording | undefined,
  wave: Wave,
  played: number | undefined,
  samples: readonly Sample[],
): number {
  if (wave.at === "drawn" && wave.wave.durationMs > 0) return wave.wave.durationMs;
  if (recording?.durationSeconds) return recording.durationSeconds * 1000;
  if (played) return played;
  if (call.answeredAt && call.endedAt) return Date.parse(call.endedAt) - Date.parse(call.answeredAt);
  return (samples.at(-1)?.atMs ?? -1000) + 1000;
}

/** Space plays and pauses wherever no control of its own has the focus. */
function useSpaceKey(playback: Playback): void {
  useEffect(() => {
    const keys = (event: KeyboardEvent): void => {
      if (event.key !== " " || event.repeat) return;
      if ((event.target as HTMLElement | null)?.closest("button, a, select, input:not([type=range])")) return;
      event.preventDefault();
      playback.toggle();
    };
    addEventListener("keydown", keys);
    return () => removeEventListener("keydown", keys);
  });
}

function Head({ call, durationMs }: { call: CallView; durationMs: number }) {
  const customer = call.customerName || t("unknown_customer");
  return (
    <header class="page-head">
      <a class="icon-button" href="/qa" aria-label={t("qa.back")} data-testid="qa-back">
        <Icon d={left} />
      </a>
      <h1 class="title-page clip">{call.agentName ? t("qa.with", { customer, agent: call.agentName }) : customer}</h1>
      <span class="badge">{call.queue}</span>
      <span class="small muted qa-when">
        {dayAndTime(call.createdAt)}
        {durationMs > 0 && `. ${t("qa.length")} ${clock(durationMs / 1000)}`}
      </span>
      <span class="end">
        <Outcome row={call} />
      </span>
    </header>
  );
}

/** Over what each side's sound went: a relay explains a long delay, and a network that lets nothing else through. */
function Lines({ call, names }: { call: CallView; names: Both<string> }) {
  const lines = (["customer", "agent"] as const).flatMap((side) => {
    const line = call.lines?.find(({ part }) => part === side);
    return line ? [`${names[side]} ${t(`event.path.${line.path}`)}`] : [];
  });
  if (lines.length === 0) return null;
  return (
    <p class="qa-message small muted" data-testid="qa-lines">
      {t("event.leg.path")}: {lines.join(", ")}
    </p>
  );
}

function TenSeconds(props: {
  samples: Sample[];
  side: Side;
  setSide: (side: Side) => void;
  positionMs: number;
  seek: ((ms: number) => void) | undefined;
}) {
  const rows = useMemo(() => rowsOf(props.samples), [props.samples]);
  const scores = props.samples.map((sample) => sample.mos);
  const now = props.positionMs > 0 ? Math.floor(props.positionMs / 1000 / ROW_SECONDS) * ROW_SECONDS * 1000 : undefined;
  const holder = useFollow<HTMLDivElement>(now);
  return (
    <section>
      <div class="part-head part-head-tight">
        <h2 class="title-part">{t("qa.every10")}</h2>
        <span class="end">
          <span class="segments" role="group" aria-label={t("qa.every10")}>
            {(["customer", "agent"] as const).map((side) => (
              <button
                key={side}
                class="segment"
                aria-pressed={props.side === side}
                data-testid={`qa-side-${side}`}
                onClick={() => props.setSide(side)}
              >
                {t(side)}
              </button>
            ))}
          </span>
        </span>
      </div>
      {rows.length === 0 ? (
        <p class="muted small">{t("qa.no_quality")}</p>
      ) : (
        <div class="table-holder" ref={holder} tabIndex={0} role="region" aria-label={t("qa.every10")}>
          <table class="table table-short" data-testid="qa-quality">
            <caption class="visually-hidden">
              {t(props.side === "customer" ? "qa.from_customer" : "qa.from_agent")}, {oneDigit(mean(scores))}
            </caption>
            <thead>
              <tr>
                <th>{t("qa.at")}</th>
                <th class="is-number">{t("qa.quality")}</th>
                <th class="is-number">{t("qa.loss_percent")}</th>
                <th class="is-number">{t("qa.jitter_ms")}</th>
                <th class="is-number">{t("qa.delay_ms")}</th>
              </tr>
            </thead>
            <tbody>
              {rows.map((row) => {
                const here = row.fromMs === now;
                return (
                  <tr
                    key={row.fromMs}
                    class={here ? "is-selected" : ""}
                    aria-current={here ? "true" : undefined}
                    onClick={() => props.seek?.(row.fromMs)}
                  >
                    <td class="number">{clock(row.fromMs / 1000)}</td>
                    <Value bad={row.mos < LIMITS.mos}>{oneDigit(row.mos)}</Value>
                    <Value bad={row.loss > LIMITS.loss}>{oneDigit(row.loss * 100)}</Value>
                    <Value bad={row.jitterMs > LIMITS.jitterMs}>{wholeNumber(row.jitterMs)}</Value>
                    <Value bad={false}>{row.rttMs === undefined ? "–" : wholeNumber(row.rttMs)}</Value>
                  </tr>
                );
              })}
            </tbody>
          </table>
        </div>
      )}
    </section>
  );
}

const Value = ({ bad, children }: { bad: boolean; children: string }) => (
  <td class={bad ? "is-number is-bad" : "is-number"}>{children}</td>
);

function Certificate({ recording, names }: { recording: Recording; names: Both<string> }) {
  const sides: [name: string, share: number][] = recording.coverage
    ? [
        [names.customer, recording.coverage[0]],
        [names.agent, recording.coverage[1]],
      ]
    : [];
  return (
    <section
      class="certificate"
      aria-label={t("qa.certificate")}
      data-testid="qa-recording"
      data-state={recording.state}
    >
      <div class="part-head part-head-tight">
        <h2 class="title-part">{t("qa.certificate")}</h2>
        <span
          class={`badge ${recording.state === "failed" ? "badge-danger" : recording.degraded ? "badge-warn" : "badge-ok"}`}
        >
          <Icon d={shield} />
          {recording.state === "stored" && recording.degraded
            ? t("qa.degraded")
            : t(`qa.state.${recording.state}` as Key)}
        </span>
      </div>
      <div class="certificate-cols">
        <div class="cover qa-cover">
          {sides.map(([name, share]) => (
            <Cover key={name} name={name} share={share} />
          ))}
        </div>
        <dl class="pairs">
          {recording.durationSeconds != null && (
            <>
              <dt>{t("qa.duration")}</dt>
              <dd class="number">{clock(recording.durationSeconds)}</dd>
            </>
          )}
          {recording.sizeBytes !== undefined && (
            <>
              <dt>{t("qa.size")}</dt>
              <dd class="number">{fileSize(recording.sizeBytes)}, Ogg Opus</dd>
            </>
          )}
        </dl>
      </div>
      {recording.sha256 && <p class="hash">sha256 {inGroups(recording.sha256)}</p>}
      {recording.voices.map((voice) => (
        <p key={voice.number} class="hash">
          {partName(voice)}: sha256 {inGroups(voice.sha256)}
        </p>
      ))}
    </section>
  );
}

const inGroups = (digest: string): string => digest.replace(/(.{8})/g, "$1 ").trim();

function Cover({ name, share }: { name: string; share: number }) {
  const percent = Math.round(share * 1000) / 10;
  return (
    <>
      <span class="small clip">{name}</span>
      <svg class="coverage" viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true">
        <rect class="lost" width="100" height="8" />
        <rect class="have" width={percent} height="8" />
      </svg>
      <span class="small number">{oneDigit(percent)} %</span>
    </>
  );
}
